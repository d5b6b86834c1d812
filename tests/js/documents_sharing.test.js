import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome, setUpOpen } from "./harness.js";
import { actions, ids, row, setUpLive, subscribed, tell } from "./views.js";

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

test("of many views eight are asked for at a time", () => {
  const { ws, server } = setUpOpen();
  for (let n = 0; n < 20; n += 1) ws.documents(`Class${n}`);
  assert.equal(server.sent.length, 8);

  server.answer(subscribed(0, { view: "a" }), { to: server.sent[0] });
  server.answer(subscribed(0, { view: "b" }), { to: server.sent[1] });

  assert.equal(server.sent.length, 10);
});
