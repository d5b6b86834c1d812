import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome, setUpOpen } from "./harness.js";
import { actions, setUpLive, subscribed } from "./views.js";

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

test("a subscription that is answered when nobody waits for it any more is ended", () => {
  const { ws, server, clock } = setUpOpen();
  const view = ws.documents("Flight");
  clock.pass(10_000);
  view.close();

  server.answer(subscribed(0), { to: server.sent[0] });

  assert.deepEqual(actions(server), ["subscribe", "unsubscribe"]);
  server.answer({ view: "v1" });
  clock.pass(5_000);
  assert.equal(actions(server).length, 2);
});

test("a late answer to a subscription that was asked for again ends nothing", async () => {
  const { ws, server, clock } = setUpOpen();
  const view = ws.documents("Flight");
  clock.pass(10_250);

  server.answer(subscribed(0), { to: server.sent[0] });
  server.answer(subscribed(0), { to: server.sent[1] });

  assert.equal(await view.ready, view);
  assert.deepEqual(actions(server), ["subscribe", "subscribe"]);
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

test("ready rejects when the client is closed before the rows came", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const after = (server.end(4501), ws.documents("Airport"));

  assert.deepEqual(await outcome(view.ready), { code: "closed" });
  assert.deepEqual(await outcome(after.ready), { code: "closed" });
});

test("a failed view can be closed and asked for again", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  server.refuse("forbidden");

  view.close();
  ws.documents("Flight");

  assert.deepEqual(actions(server), ["subscribe", "subscribe"]);
});
