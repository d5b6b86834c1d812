import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome } from "./harness.js";
import { actions, ids, row, setUpLive, subscribed, tell, tellAll } from "./views.js";

test("a view that moved keeps its rows, and its changes bear the new name", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");
  const states = collect(view, "state");

  tellAll(server, "moved", { seq: "101", to: "v2" });
  assert.deepEqual(ids(view), ["a", "b"]);
  tell(server, "R", row("b"), "", { view: "v2" });
  tell(server, "L", row("a", { gate: 1, price: 9 }), "", { view: "v2" });
  tell(server, "L", row("c", { gate: 3, price: 7 }), "101", { view: "v2" });
  tell(server, "U", row("a"), "102", { view: "v1" });

  assert.deepEqual([...view.rows.values()], [row("a", { gate: 1, price: 9 }), row("c", { gate: 3, price: 7 })]);
  assert.deepEqual([changes.map(({ op, id }) => op + id), states], [["Rb", "La", "Lc"], []]);
  assert.deepEqual(changes[1].previous, row("a", { gate: 1 }));
});

test("a view that moved resumes and ends under its new name", () => {
  const { view, server, world } = setUpLive();
  tellAll(server, "moved", { seq: "101", to: "v2" });

  world.reconnect();
  const { view: name, start_seq: seq } = world.server.sent[0].payload.data;
  world.server.answer(subscribed(0, { state: "resumed", view: "v2" }));
  tellAll(world.server, "moved", { seq: "102", view: "v2", to: "v3" });
  view.close();

  assert.deepEqual([name, seq], ["v2", "101"]);
  assert.deepEqual(world.server.sent.at(-1).payload, { action: "unsubscribe", data: { view: "v3" } });
});

test("a view that moved while nobody watches it is ended under its new name", () => {
  const { view, ws, server } = setUpLive();
  ws.documents("Airport");
  view.close();

  tellAll(server, "moved", { seq: "101", to: "v2" });
  server.answer(subscribed(0, { view: "w" }));

  assert.deepEqual(server.sent.at(-1).payload, { action: "unsubscribe", data: { view: "v2" } });
});

test("views that become one share the rows of the one that moved, for the server goes on from these", () => {
  const { view, ws, server } = setUpLive({ showHidden: true });
  const plain = ws.documents("Flight");
  server.answer(subscribed(2, { view: "w" }));
  tell(server, "L", row("b"), "", { view: "w" });
  const loads = collect(plain, "load");

  tellAll(server, "moved", { seq: "", to: "w" });
  tell(server, "R", row("a"), "", { view: "w" });
  tell(server, "L", row("c"), "101", { view: "w" });

  assert.deepEqual([ids(view), ids(plain), loads.length], [["b", "c"], ["b", "c"], 1]);
  assert.deepEqual([view.state, plain.state], ["live", "live"]);
  view.close();
  assert.deepEqual(actions(server), ["subscribe", "subscribe"]);
  plain.close();
  assert.deepEqual(server.sent.at(-1).payload, { action: "unsubscribe", data: { view: "w" } });
});

test("a view that the server ends loses its rows and fails", async () => {
  const { view, server, clock, world } = setUpLive();
  const errors = collect(view, "error");

  tellAll(server, "end", { code: "too_big" });
  clock.pass(30_000);
  world.reconnect();

  assert.deepEqual([view.state, view.rows.size, view.list], ["failed", 0, []]);
  assert.deepEqual([view.error.code, errors.map(({ code }) => code)], ["too_big", ["too_big"]]);
  assert.deepEqual([actions(server), actions(world.server)], [["subscribe"], []]);
});

test("a view that ended before its rows came rejects, and can be asked for again", async () => {
  const { ws, server } = setUpLive();
  const view = ws.documents("Airport");
  server.answer(subscribed(2, { view: "w" }));

  tellAll(server, "end", { view: "w", code: "not_found" });
  view.close();
  ws.documents("Airport");

  assert.deepEqual(await outcome(view.ready), { code: "not_found" });
  assert.deepEqual(actions(server), ["subscribe", "subscribe", "subscribe"]);
});

test("a view that moved before its rows came is reset under its new name", () => {
  const { ws, server } = setUpLive();
  const view = ws.documents("Airport");
  server.answer(subscribed(2, { view: "w" }));
  tell(server, "L", row("x"), "", { view: "w" });

  tellAll(server, "moved", { seq: "", view: "w", to: "w2" });
  tellAll(server, "reset", { seq: "", view: "w2", rows: 1 });
  tell(server, "L", row("y"), "101", { view: "w2" });

  assert.deepEqual([view.state, ids(view)], ["live", ["y"]]);
});

test("a name that is none changes nothing", () => {
  const { view, server } = setUpLive();

  tellAll(server, "moved", { seq: "101" });
  tellAll(server, "moved", { seq: "101", view: "unknown", to: "v1" });
  tellAll(server, "end", { view: "unknown", code: "not_found" });
  tell(server, "U", row("a", { gate: 3 }), "102");

  assert.deepEqual([view.state, view.rows.get("a").gate], ["live", 3]);
});
