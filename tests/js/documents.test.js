import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome, setUp, setUpOpen } from "./harness.js";

const row = (id, rest = {}) => ({ _id: id, ...rest });

/** The server's part of a subscription. */
const subscribed = (rows, rest = {}) => ({
  view: "v1",
  class_name: "Flight",
  data_scope: [],
  catalog: null,
  show_hidden: false,
  seq: "100",
  state: "loaded",
  rows,
  ...rest,
});

const tell = (server, op, message, seq, view = "v1") =>
  server.say("documents", { doc_class: "Flight", op, seq, view, message });

const actions = (server) => server.sent.map(({ payload }) => payload.action);

/** A live view with rows a and b. */
function setUpLive(options) {
  const world = setUpOpen();
  const view = world.ws.documents("Flight", options);
  world.server.answer(subscribed(2));
  tell(world.server, "L", row("a", { gate: 1 }), "100");
  tell(world.server, "L", row("b", { gate: 2 }), "100");
  return { ...world, world, view, server: world.server };
}

const ids = (view) => [...view.rows.keys()];

test("a view subscribes with what it was given", () => {
  const { ws, server } = setUpOpen();

  const scope = [{ fn: "origin", op: "==", val: "JFK" }];
  ws.documents("Flight", { scope, catalog: { gate: null }, showHidden: true });

  assert.deepEqual(server.sent, [
    {
      channel: "documents",
      id: "1",
      payload: {
        action: "subscribe",
        data: {
          class_name: "Flight",
          data_scope: [{ fn: "origin", op: "==", val: "JFK" }],
          catalog: { gate: null },
          show_hidden: true,
        },
      },
    },
  ]);
});

test("what is not given is not sent", () => {
  const { ws, server } = setUpOpen();

  ws.documents("Flight");

  assert.deepEqual(server.sent[0].payload.data, { class_name: "Flight" });
});

test("the rows appear together when all are loaded", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const loads = collect(view, "load");
  const states = collect(view, "state");

  server.answer(subscribed(2));
  tell(server, "L", row("a"), "100");
  assert.deepEqual([view.state, view.rows.size, await outcome(view.ready)], ["loading", 0, undefined]);
  tell(server, "L", row("b"), "100");

  assert.deepEqual(ids(view), ["a", "b"]);
  assert.deepEqual([view.state, states, loads], ["live", ["live"], [view.rows]]);
  assert.equal(await view.ready, view);
});

test("a view without rows is loaded by the answer", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");

  server.answer(subscribed(0));

  assert.equal(view.state, "live");
  assert.equal(await view.ready, view);
});

test("a view made before the connection subscribes when it is open", () => {
  const { ws, server } = setUp();
  ws.documents("Flight");
  assert.deepEqual(server.sent, []);

  server.welcome();

  assert.deepEqual(actions(server), ["subscribe"]);
});

test("inserts and updates put rows, deletes and removals take them", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");

  tell(server, "I", row("c", { gate: 3 }), "101");
  tell(server, "U", row("a", { gate: 9 }), "102");
  tell(server, "D", row("b", { gate: 2 }), "103");
  tell(server, "R", row("c"), "104");

  assert.deepEqual([...view.rows], [["a", row("a", { gate: 9 })]]);
  assert.deepEqual(changes, [
    { op: "I", id: "c", row: row("c", { gate: 3 }), previous: null },
    { op: "U", id: "a", row: row("a", { gate: 9 }), previous: row("a", { gate: 1 }) },
    { op: "D", id: "b", row: null, previous: row("b", { gate: 2 }) },
    { op: "R", id: "c", row: null, previous: row("c", { gate: 3 }) },
  ]);
});

test("an update of a row that was not there puts it, a delete of one is nothing", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");

  tell(server, "U", row("z"), "101");
  tell(server, "D", row("y"), "102");

  assert.ok(view.rows.has("z"));
  assert.equal(changes.length, 1);
});

test("changes during the load are part of it", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const changes = collect(view, "change");
  server.answer(subscribed(2));

  tell(server, "L", row("a", { gate: 1 }), "100");
  tell(server, "U", row("a", { gate: 2 }), "101");
  tell(server, "I", row("c"), "102");
  tell(server, "D", row("a"), "103");
  tell(server, "L", row("b"), "100");

  assert.deepEqual(ids(view), ["c", "b"]);
  assert.deepEqual(changes, []);
});

test("messages that make no sense are ignored", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");

  for (const payload of [null, [], "x", {}, { view: "v1" }, { view: "v1", op: "U", message: null }]) {
    server.say("documents", payload);
  }
  tell(server, "U", { gate: 1 }, "101");
  tell(server, "X", row("a"), "101");
  tell(server, "U", row("a"), "101", "another");
  tell(server, "U", row("a"), "101", "__proto__");

  assert.deepEqual(changes, []);
  assert.equal(view.rows.size, 2);
});

test("__proto__ is an id and a field like another", () => {
  const { view, server } = setUpLive();

  const row = '{"_id":"__proto__","__proto__":{"gate":1}}';
  server.raw(`{"channel":"documents","payload":{"op":"I","seq":"101","view":"v1","message":${row}}}`);

  assert.ok(view.rows.has("__proto__"));
  assert.equal(Object.prototype.gate, undefined);
});

test("a key that is an object counts by its content", () => {
  const { view, server } = setUpLive();

  tell(server, "I", row({ carrier: "UA", number: 1 }), "101");
  tell(server, "D", row({ carrier: "UA", number: 1 }), "102");

  assert.deepEqual(ids(view), ["a", "b"]);
});

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
  });
  world.server.answer(subscribed(2, { state: "resumed", seq: "109", view: "v7" }));
  tell(world.server, "U", row("a", { gate: 6 }), "108", "v7");
  assert.equal(view.state, "stale");
  tell(world.server, "D", row("b"), "109", "v7");

  assert.deepEqual([view.state, [...view.rows.values()]], ["live", [row("a", { gate: 6 })]]);
  assert.deepEqual([changes.length, loads], [2, []]);
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

  server.say("documents", { doc_class: "Flight", op: "reset", view: "v1", seq: "300", rows: 1 });
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

  server.say("documents", { doc_class: "Flight", op: "reset", view: "v1", seq: "300", rows: 1 });
  tell(server, "L", row("new"), "300");

  assert.deepEqual(ids(view), ["new"]);
});

test("a reset to no rows is loaded at once", () => {
  const { view, server } = setUpLive();

  server.say("documents", { doc_class: "Flight", op: "reset", view: "v1", seq: "300", rows: 0 });

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

test("close() unsubscribes, and the view is told nothing more", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");
  const states = collect(view, "state");

  view.close();
  view.close();
  tell(server, "U", row("a"), "101");

  assert.deepEqual(server.sent.at(-1).payload, { action: "unsubscribe", data: { view: "v1" } });
  assert.equal(server.sent.length, 2);
  assert.deepEqual([view.state, changes, states], ["closed", [], ["closed"]]);
});

test("a closed view is not subscribed again", () => {
  const { view, world } = setUpLive();
  view.close();

  world.reconnect();

  assert.deepEqual(world.server.sent, []);
});

test("ready rejects when the view is closed before its rows came", async () => {
  const { ws } = setUpOpen();
  const view = ws.documents("Flight");

  view.close();

  assert.deepEqual(await outcome(view.ready), { code: "closed" });
});

test("a view closed before the answer unsubscribes after it", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");

  view.close();
  assert.deepEqual(actions(server), ["subscribe"]);
  server.answer(subscribed(0));

  assert.deepEqual(actions(server), ["subscribe", "unsubscribe"]);
});

test("equal views share one subscription, and the last ends it", async () => {
  const { view, ws, server } = setUpLive();
  const second = ws.documents("Flight");
  const loads = collect(second, "load");

  assert.deepEqual(actions(server), ["subscribe"]);
  assert.equal(await second.ready, second);
  assert.equal(loads.length, 1);
  view.close();
  tell(server, "U", row("a", { gate: 7 }), "101");
  assert.deepEqual([second.rows.get("a").gate, actions(server)], [7, ["subscribe"]]);
  second.close();

  assert.deepEqual(actions(server), ["subscribe", "unsubscribe"]);
});

test("views that the server finds equal become one", async () => {
  const { view, ws, server, world } = setUpLive({ catalog: { gate: null, time: null } });
  const second = ws.documents("Flight", { catalog: { time: null, gate: null } });
  const loads = collect(view, "load");

  server.answer(subscribed(1, { seq: "150" }));
  tell(server, "L", row("c"), "150");
  assert.equal(await second.ready, second);
  assert.deepEqual([ids(view), ids(second), loads.length], [["c"], ["c"], 1]);

  world.reconnect();
  assert.deepEqual(actions(world.server), ["subscribe"]);
  world.server.answer(subscribed(0, { state: "resumed" }));
  view.close();
  assert.deepEqual(actions(world.server), ["subscribe"]);
  second.close();
  assert.deepEqual(actions(world.server), ["subscribe", "unsubscribe"]);
});

test("a view is not ended while an answer may name it again", () => {
  const { view, ws, server } = setUpLive({ catalog: { gate: null, time: null } });
  const second = ws.documents("Flight", { catalog: { time: null, gate: null } });

  view.close();
  server.answer(subscribed(0), { to: server.sent[1] });

  assert.deepEqual(actions(server), ["subscribe", "subscribe"]);
  assert.equal(second.state, "live");
});

test("a class that was closed can be subscribed again", () => {
  const { view, ws, server } = setUpLive();
  view.close();

  const again = ws.documents("Flight");
  server.answer(subscribed(0, { view: "v2" }));

  assert.deepEqual([actions(server), again.state], [["subscribe", "unsubscribe", "subscribe"], "live"]);
});

for (const code of ["bad_data", "forbidden", "not_found", "too_big", "bad_action", "unknown_channel"]) {
  test(`a subscription refused with ${code} fails`, async () => {
    const { ws, server, clock } = setUpOpen();
    const view = ws.documents("Flight");
    const errors = collect(view, "error");

    server.refuse(code);
    clock.pass(30_000);

    assert.deepEqual(errors.map((error) => error.code), [code]);
    assert.deepEqual([view.state, await outcome(view.ready)], ["failed", { code }]);
    assert.deepEqual(actions(server), ["subscribe"]);
  });
}

for (const code of ["unavailable", "internal", "rate_limited"]) {
  test(`a subscription refused with ${code} is tried again`, async () => {
    const { ws, server, clock } = setUpOpen();
    const view = ws.documents("Flight");
    const errors = collect(view, "error");

    server.refuse(code);
    assert.deepEqual([errors.map((error) => error.code), view.state], [[code], "loading"]);
    clock.pass(250);
    server.answer(subscribed(0));

    assert.equal(await view.ready, view);
  });
}

test("a subscription without an answer is tried again", () => {
  const { ws, server, clock } = setUpOpen();
  const view = ws.documents("Flight");
  const errors = collect(view, "error");

  clock.pass(10_250);

  assert.deepEqual([actions(server), errors[0].code], [["subscribe", "subscribe"], "timeout"]);
});

test("an answer that names no view is an error of the server", () => {
  const { ws, server } = setUpOpen();
  const errors = collect(ws.documents("Flight"), "error");

  server.answer([]);

  assert.equal(errors[0].code, "internal");
});

test("a view that may no longer be read shows no rows", () => {
  const { view, world } = setUpLive();
  const errors = collect(view, "error");

  world.reconnect();
  world.server.refuse("forbidden");

  assert.deepEqual([view.state, view.rows.size, errors[0].code], ["failed", 0, "forbidden"]);
});

test("a failed view can be closed and asked for again", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  server.refuse("forbidden");

  view.close();
  ws.documents("Flight");

  assert.deepEqual(actions(server), ["subscribe", "subscribe"]);
});

test("what was granted is told", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight", { showHidden: true });

  server.answer(subscribed(0, { show_hidden: true }));

  assert.equal(view.showHidden, true);
});

test("ready rejects when the client is closed before the rows came", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const after = (server.end(4501), ws.documents("Airport"));

  assert.deepEqual(await outcome(view.ready), { code: "closed" });
  assert.deepEqual(await outcome(after.ready), { code: "closed" });
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

test("of many views eight are asked for at a time", () => {
  const { ws, server } = setUpOpen();
  for (let n = 0; n < 20; n += 1) ws.documents(`Class${n}`);
  assert.equal(server.sent.length, 8);

  server.answer(subscribed(0, { view: "a" }), { to: server.sent[0] });
  server.answer(subscribed(0, { view: "b" }), { to: server.sent[1] });

  assert.equal(server.sent.length, 10);
});

test("a listener that throws does not keep a row from the others", (t) => {
  t.mock.method(console, "error", () => {});
  const { view, server } = setUpLive();
  view.on("change", () => {
    throw new Error("in a listener");
  });
  const changes = collect(view, "change");

  tell(server, "U", row("a", { gate: 3 }), "101");

  assert.deepEqual([changes.length, view.rows.get("a").gate], [1, 3]);
});

test("what is asked for cannot be changed afterwards", () => {
  const scope = [{ fn: "origin", op: "==", val: "JFK" }];
  const world = setUpOpen();
  world.ws.documents("Flight", { scope });

  scope[0].val = "EWR";
  world.reconnect();

  assert.equal(world.server.sent[0].payload.data.data_scope[0].val, "JFK");
});

test("a view needs the name of a class", () => {
  const { ws } = setUp();

  assert.throws(() => ws.documents(""), TypeError);
  assert.throws(() => ws.documents(undefined), TypeError);
});
