import assert from "node:assert/strict";
import { test } from "node:test";

import { held, outcome, setUp, setUpOpen } from "./harness.js";
import { actions, row, setUpLive, subscribed, tell, tellAll } from "./views.js";

const POSITION = "07463021948573941761";

test("it resolves when the server has sent what was written", async () => {
  const { ws, server, clock } = setUpLive();
  const timers = clock.timers;

  const shown = ws.caughtUp(POSITION);
  assert.deepEqual(server.sent.at(-1), {
    channel: "documents",
    id: "2",
    payload: { action: "caught_up", data: { seq: POSITION } },
  });
  assert.equal(await outcome(shown), undefined);
  server.answer({ seq: POSITION });

  assert.deepEqual([await outcome(shown), clock.timers], [{ result: undefined }, timers]);
});

test("the position is read from a response", () => {
  const { ws, server } = setUpOpen();

  void ws.caughtUp(new Response("", { headers: { "WSFlask-Position": POSITION } }));

  assert.deepEqual(server.sent[0].payload.data, { seq: POSITION });
});

test("a response that wrote nothing resolves at once", async () => {
  const { ws, server } = setUp();

  assert.deepEqual(await outcome(ws.caughtUp(new Response(""))), { result: undefined });
  assert.deepEqual(server.sent, []);
});

test("a refusal rejects", async () => {
  const { ws, server } = setUpLive();

  const shown = held(ws.caughtUp(POSITION));
  server.refuse("unavailable");

  assert.deepEqual(await outcome(shown), { code: "unavailable" });
});

test("views that are not live are waited for: they would not show it", async () => {
  const { ws, server } = setUpOpen();
  ws.documents("Flight");

  const shown = ws.caughtUp(POSITION);
  server.answer(subscribed(1));
  assert.deepEqual(actions(server), ["subscribe"]);
  tell(server, "L", row("a"), "100");
  assert.deepEqual(actions(server), ["subscribe", "caught_up"]);
  server.answer({ seq: POSITION });

  assert.deepEqual(await outcome(shown), { result: undefined });
});

test("a view that is refused or closed is not waited for", () => {
  const { ws, server } = setUpOpen();
  ws.documents("User");
  const second = ws.documents("Flight");
  void ws.caughtUp(POSITION);

  server.refuse("forbidden", server.sent[0]);
  second.close();

  assert.equal(actions(server).at(-1), "caught_up");
});

test("after a lost connection it is asked again, behind the views", async () => {
  const { ws, world } = setUpLive();
  const shown = ws.caughtUp(POSITION);

  world.reconnect();
  assert.deepEqual(actions(world.server), ["subscribe"]);
  world.server.answer(subscribed(0, { state: "resumed" }));
  assert.deepEqual(actions(world.server), ["subscribe", "caught_up"]);
  world.server.answer({ seq: POSITION });

  assert.deepEqual(await outcome(shown), { result: undefined });
});

test("an answer that came before the views were back is not taken for theirs", async () => {
  const world = setUp();
  world.server.welcome({ limits: { messages_per_second: 1, burst: 2 } });
  world.ws.documents("Flight");
  world.server.answer(subscribed(0));
  // The rate keeps this one until the next connection, which it then reaches before the view does.
  const shown = world.ws.caughtUp(POSITION);

  world.reconnect();
  assert.deepEqual(actions(world.server), ["caught_up", "subscribe"]);
  const [asked, subscribe] = world.server.sent;
  world.server.answer({ seq: POSITION }, { to: asked });
  assert.equal(await outcome(shown), undefined);
  world.server.answer(subscribed(0, { state: "resumed" }), { to: subscribe });

  assert.equal(actions(world.server).at(-1), "caught_up");
});

test("a reset before the answer is waited for", async () => {
  const { ws, server } = setUpLive();
  const shown = ws.caughtUp(POSITION);

  tellAll(server, "reset", { seq: "200", rows: 1 });
  server.answer({ seq: POSITION });
  assert.equal(await outcome(shown), undefined);
  tell(server, "L", row("a"), "200");
  server.answer({ seq: POSITION });

  assert.deepEqual(await outcome(shown), { result: undefined });
});

test("each is asked for once at a time", () => {
  const { ws, server } = setUpLive();

  void ws.caughtUp("1");
  void ws.caughtUp("2");
  tell(server, "U", row("a"), "101");

  assert.deepEqual(actions(server), ["subscribe", "caught_up", "caught_up"]);
});

test("a client that is closed rejects", async () => {
  const { ws, server } = setUpLive();
  const asked = held(ws.caughtUp(POSITION));

  server.end(4501);

  assert.deepEqual(await outcome(asked), { code: "closed" });
  assert.deepEqual(await outcome(ws.caughtUp(POSITION)), { code: "closed" });
});

test("a wait is given up after thirty seconds, and leaves nothing behind", async () => {
  const { ws, clock } = setUp({ start: false });
  const shown = held(ws.caughtUp(POSITION));

  clock.pass(29_999);
  assert.equal(await outcome(shown), undefined);
  clock.pass(1);

  assert.deepEqual(await outcome(shown), { code: "timeout" });
  assert.equal(clock.timers, 0);
});
