import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, setUp, setUpOpen } from "./harness.js";
import { actions, ids, row, setUpLive, subscribed, tell, tellAll } from "./views.js";

test("a lost connection leaves the rows, stale", () => {
  const { view, server } = setUpLive();
  const states = collect(view, "state");

  server.end();

  assert.deepEqual([view.state, states, ids(view)], ["stale", ["stale"], ["a", "b"]]);
});

test("after a reconnect it resumes after the last position seen", () => {
  const { view, world } = setUpLive({ catalog: { gate: null } });
  tell(world.server, "U", row("a", { gate: 5 }), "107");
  const loads = collect(view, "load");
  const changes = collect(view, "change");

  world.reconnect();
  assert.deepEqual(world.server.sent[0].payload.data, {
    class_name: "Flight",
    catalog: { gate: null },
    start_seq: "107",
    view: "v1",
    rows: ["a", "b"],
  });
  world.server.answer(subscribed(2, { state: "resumed", seq: "109", view: "v7" }));
  tell(world.server, "U", row("a", { gate: 6 }), "108", { view: "v7" });
  assert.equal(view.state, "stale");
  tell(world.server, "D", row("b"), "109", { view: "v7" });

  assert.deepEqual([view.state, [...view.rows.values()]], ["live", [row("a", { gate: 6 })]]);
  assert.deepEqual([changes.length, loads], [2, []]);
});

test("after a load it resumes after the position that the last row bears", () => {
  const world = setUpOpen();
  world.ws.documents("Flight");
  world.server.answer(subscribed(2, { seq: "" }));
  tell(world.server, "L", row("a"), "");
  tell(world.server, "L", row("b"), "105");

  world.reconnect();

  const { start_seq: seq, rows } = world.server.sent[0].payload.data;
  assert.deepEqual([seq, rows], ["105", ["a", "b"]]);
});

test("it names the rows it holds by their ids, whatever these are", () => {
  const { world } = setUpLive();
  tell(world.server, "I", row({ carrier: "UA", number: 1 }), "101");
  tell(world.server, "I", row(7), "102");
  tell(world.server, "D", row("a"), "103");

  world.reconnect();

  assert.deepEqual(world.server.sent[0].payload.data.rows, ["b", { carrier: "UA", number: 1 }, 7]);
});

for (const [what, limits, count] of [
  ["in 48 KiB", {}, 1000],
  ["in three quarters of what the server takes", { message_bytes: 16_384 }, 250],
]) {
  test(`rows that have no room ${what} are not named`, () => {
    const { server, world } = setUpLive();
    for (let n = 0; n < count; n += 1) tell(server, "I", row(`é${n}`.padEnd(38, "x")), "101");
    const again = () => {
      world.server.end();
      world.comeBack();
      world.server.welcome({ limits });
      return world.server.sent[0].payload.data;
    };

    const { rows } = again();
    world.server.answer(subscribed(0, { state: "resumed" }));
    tell(world.server, "I", row("y".repeat(20_000)), "102");
    const data = again();

    assert.equal(rows.length, count + 2);
    assert.deepEqual([data.start_seq, data.view, data.rows], ["102", "v1", undefined]);
  });
}

test("rows whose ids are too much for the server are not named again", () => {
  const { view, world } = setUpLive();
  const errors = collect(view, "error");

  world.reconnect();
  world.server.refuse("too_big");

  assert.deepEqual(world.server.sent[1].payload.data, { class_name: "Flight", start_seq: "100", view: "v1" });
  assert.deepEqual([view.state, errors], ["stale", []]);
  world.server.refuse("too_big");
  assert.deepEqual([view.state, errors.length, world.server.sent.length], ["failed", 1, 2]);
});

test("what comes with a resume is counted whatever it is", () => {
  const { view, world } = setUpLive();
  const changes = collect(view, "change");

  world.reconnect();
  world.server.answer(subscribed(4, { state: "resumed" }));
  tell(world.server, "R", row("gone since"), "");
  tell(world.server, "R", row("b"), "");
  tell(world.server, "U", row("a", { gate: 5 }), "");
  assert.equal(view.state, "stale");
  tell(world.server, "I", row("c"), "110");

  assert.deepEqual([view.state, ids(view)], ["live", ["a", "c"]]);
  assert.equal(changes.map(({ op }) => op).join(""), "RUI");
});

test("resumed with nothing missed is live at once", () => {
  const { view, world } = setUpLive();

  world.reconnect();
  world.server.answer(subscribed(0, { state: "resumed" }));

  assert.deepEqual([view.state, ids(view)], ["live", ["a", "b"]]);
});

test("a connection that is lost while missed changes arrive resumes after the last of them", () => {
  const { world } = setUpLive();
  world.reconnect();
  world.server.answer(subscribed(2, { state: "resumed" }));
  tell(world.server, "U", row("a"), "101");

  world.reconnect();

  assert.equal(world.server.sent[0].payload.data.start_seq, "101");
});

test("reset keeps the old rows until the new ones are all there", () => {
  const { view, world } = setUpLive();
  const resets = collect(view, "reset");
  const loads = collect(view, "load");

  world.reconnect();
  world.server.answer(subscribed(2, { state: "reset", seq: "200" }));
  tell(world.server, "L", row("x"), "200");
  assert.deepEqual([ids(view), resets, view.state], [["a", "b"], [{ rows: 2 }], "loading"]);
  tell(world.server, "L", row("y"), "200");

  assert.deepEqual([ids(view), loads.length, view.state], [["x", "y"], 1, "live"]);
});

test("a reset in the middle of a connection does the same", () => {
  const { view, server, world } = setUpLive();
  const resets = collect(view, "reset");

  tellAll(server, "reset", { seq: "300", rows: 1 });
  assert.deepEqual([ids(view), resets], [["a", "b"], [{ rows: 1 }]]);
  tell(server, "L", row("z"), "300");

  assert.deepEqual(ids(view), ["z"]);
  world.reconnect();
  assert.equal(world.server.sent[0].payload.data.start_seq, "300");
});

test("a reset in the middle of a load begins again", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  server.answer(subscribed(2));
  tell(server, "L", row("old"), "100");

  tellAll(server, "reset", { seq: "300", rows: 1 });
  tell(server, "L", row("new"), "300");

  assert.deepEqual(ids(view), ["new"]);
});

test("a reset to no rows is loaded at once", () => {
  const { view, server } = setUpLive();

  tellAll(server, "reset", { seq: "300", rows: 0 });

  assert.deepEqual([view.rows.size, view.state], [0, "live"]);
});

test("a load that was cut is not resumed: its position would skip rows", () => {
  const { ws, server, reconnect } = setUpOpen();
  const view = ws.documents("Flight");
  server.answer(subscribed(2));
  tell(server, "L", row("a"), "100");

  reconnect();

  assert.equal(view.state, "loading");
});

test("after a cut load it subscribes afresh", () => {
  const world = setUpOpen();
  world.ws.documents("Flight");
  world.server.answer(subscribed(2));
  tell(world.server, "L", row("a"), "100");

  world.reconnect();

  assert.deepEqual(world.server.sent[0].payload.data, { class_name: "Flight" });
});

test("a reset that was cut keeps the old rows and subscribes afresh", () => {
  const { view, world } = setUpLive();
  world.reconnect();
  world.server.answer(subscribed(2, { state: "reset", seq: "200" }));
  tell(world.server, "L", row("x"), "200");

  world.reconnect();

  assert.deepEqual(ids(view), ["a", "b"]);
  assert.deepEqual(world.server.sent[0].payload.data, { class_name: "Flight" });
});

test("changes during a load move its position on", () => {
  const world = setUpOpen();
  world.ws.documents("Flight");
  world.server.answer(subscribed(1));
  tell(world.server, "U", row("b"), "105");
  tell(world.server, "L", row("a"), "100");

  world.reconnect();

  assert.equal(world.server.sent[0].payload.data.start_seq, "105");
});

test("a cut before the answer subscribes again, once", () => {
  const world = setUpOpen();
  const view = world.ws.documents("Flight");
  const errors = collect(view, "error");

  world.reconnect();

  assert.deepEqual([actions(world.server), errors], [["subscribe"], []]);
});

test("a subscription that waits for the rate when the connection is lost is sent once", () => {
  const world = setUp();
  world.server.welcome({ limits: { messages_per_second: 1, burst: 2 } });
  world.ws.documents("A");
  world.ws.documents("B");

  world.reconnect();

  assert.deepEqual(world.server.sent.map(({ payload }) => payload.data.class_name).sort(), ["A", "B"]);
});

test("a client that is opened again resumes its views", () => {
  const { view, ws, world } = setUpLive();
  world.server.end(4501);
  assert.equal(view.state, "stale");

  ws.open();
  world.server.welcome();
  world.server.answer(subscribed(0, { state: "resumed" }));

  assert.equal(view.state, "live");
});
