import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, setUp, setUpOpen } from "./harness.js";

test("a client connects at once and offers the subprotocol", () => {
  const { ws, server } = setUp();

  assert.equal(ws.state, "connecting");
  assert.equal(server.url, "wss://ui.example/wsflask/ws");
  assert.deepEqual(server.protocols, ["wsflask.v1"]);
});

test("a client that is not started is idle until open()", () => {
  const { ws, sockets } = setUp({ start: false });
  assert.equal(ws.state, "idle");
  assert.equal(sockets.length, 0);

  ws.open();

  assert.equal(ws.state, "connecting");
});

test("open() twice makes one connection", () => {
  const { ws, sockets } = setUp();

  ws.open();

  assert.equal(sockets.length, 1);
});

test("a client is open when it was welcomed, not before", () => {
  const world = setUp();
  const opened = collect(world.ws, "open");
  world.server.accept();
  assert.equal(world.ws.state, "connecting");

  world.server.welcome({ heartbeat: 10 });

  assert.equal(world.ws.state, "open");
  assert.deepEqual(opened, [
    {
      heartbeatMs: 10_000,
      limits: { messageBytes: 65536, messagesPerSecond: 20, burst: 60, subscriptions: 100 },
      channels: ["notifications", "clipboard", "documents"],
    },
  ]);
});

test("nonsense in a welcome gives the documented defaults", () => {
  const { ws, server } = setUp();
  const opened = collect(ws, "open");
  server.accept();

  server.say("welcome", { heartbeat: "soon", limits: [1], channels: { a: 1 } });

  assert.equal(opened[0].heartbeatMs, 25_000);
  assert.equal(opened[0].limits.burst, 60);
  assert.deepEqual(opened[0].channels, []);
});

test("a second welcome changes nothing", () => {
  const { ws, server } = setUpOpen();
  const opened = collect(ws, "open");

  server.say("welcome", {});

  assert.deepEqual(opened, []);
});

test("a server without the subprotocol is an error, and is tried again later", () => {
  const { ws, server } = setUp();
  const errors = collect(ws, "error");

  server.accept("");

  assert.equal(errors[0].code, "bad_protocol");
  assert.equal(ws.state, "waiting");
  assert.notEqual(server.closedWith, undefined);
});

test("a handshake of more than twenty seconds is dropped", () => {
  const { ws, server, clock } = setUp();

  clock.pass(20_000);

  assert.equal(ws.state, "waiting");
  assert.notEqual(server.closedWith, undefined);
});

test("a socket that was opened but not welcomed is dropped as well", () => {
  const { ws, server, clock } = setUp();
  server.accept();

  clock.pass(20_000);

  assert.equal(ws.state, "waiting");
});

test("what a dropped socket still says is not heard", () => {
  const { ws, server, clock } = setUp();
  clock.pass(20_000);

  server.welcome();
  server.end(4501);

  assert.equal(ws.state, "waiting");
});

test("the waits double with full jitter up to thirty seconds", () => {
  const world = setUp();
  const changes = collect(world.ws, "state");

  for (let attempt = 0; attempt < 9; attempt += 1) {
    world.server.end();
    world.comeBack();
  }

  const waits = changes.filter(({ state }) => state === "waiting").map(({ retryMs }) => retryMs);
  assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

test("a healthy connection resets the wait, a short one does not", () => {
  const world = setUp();
  const waits = collect(world.ws, "state");
  for (const openMs of [4_999, 4_999, 5_000]) {
    world.server.welcome();
    world.clock.pass(openMs);
    world.server.end();
    world.comeBack();
  }

  assert.deepEqual(waits.flatMap(({ retryMs }) => retryMs ?? []), [250, 500, 250]);
});

test("a goodbye spreads the next attempt over its window, once", () => {
  const { ws, clock, sockets, server } = setUpOpen();
  const changes = collect(ws, "state");

  server.say("goodbye", { reason: "restart", reconnect: 8 });
  server.end(1012);
  clock.pass(4_000);
  sockets.at(-1).end();

  assert.deepEqual(changes.flatMap(({ retryMs }) => retryMs ?? []), [4000, 250]);
});

test("a goodbye cannot send a client away for longer than five minutes", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws, "state");

  server.say("goodbye", { reconnect: 1e9 });
  server.end(1012);

  assert.equal(changes[0].retryMs, 150_000);
});

for (const code of [1000, 1001, 1006, 1009, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4004, 4499, 5000]) {
  test(`close code ${code} means: come back`, () => {
    const { ws, server, sockets, clock } = setUpOpen();

    server.end(code);
    clock.pass(500);

    assert.equal(ws.state, "connecting");
    assert.equal(sockets.length, 2);
  });
}

for (const code of [4500, 4501, 4503, 4504, 4508, 4999]) {
  test(`close code ${code} means: do not come back`, () => {
    const { ws, server, sockets, clock, page } = setUpOpen();
    const closed = collect(ws, "closed");

    server.end(code, "why");
    clock.pass(600_000);
    page.window.dispatchEvent(new Event("online"));

    assert.equal(ws.state, "closed");
    assert.deepEqual(closed, [{ code, reason: "why" }]);
    assert.equal(sockets.length, 1);
    assert.equal(clock.timers, 0);
  });
}

test("a client that is signed out during the handshake is closed", () => {
  const { ws, server } = setUp();
  server.accept();

  server.end(4501);

  assert.equal(ws.state, "closed");
});

test("close() closes the socket, tells it, and leaves no timer", () => {
  const { ws, server, clock } = setUpOpen();
  const closed = collect(ws, "closed");

  ws.close();
  ws.close();

  assert.deepEqual(server.closedWith, [1000]);
  assert.deepEqual(closed, [{ code: 1000, reason: "" }]);
  assert.equal(clock.timers, 0);
});

test("open() after closed connects again", () => {
  const { ws, server, sockets } = setUpOpen();
  server.end(4501);

  ws.open();
  sockets[1].welcome();

  assert.equal(ws.state, "open");
});

test("the network's return ends the wait at once", () => {
  const { ws, server, page, sockets } = setUpOpen();
  server.end();

  page.window.dispatchEvent(new Event("online"));

  assert.equal(ws.state, "connecting");
  assert.equal(sockets.length, 2);
});

test("a page that becomes visible ends the wait at once, one that is hidden does not", () => {
  const { ws, server, page } = setUpOpen();
  server.end();
  page.document.visibilityState = "hidden";
  page.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(ws.state, "waiting");

  page.document.visibilityState = "visible";
  page.document.dispatchEvent(new Event("visibilitychange"));

  assert.equal(ws.state, "connecting");
});

test("waking does not disturb an attempt under way, nor reset the waits", () => {
  const { ws, page, sockets, clock } = setUp();
  const changes = collect(ws, "state");
  const wake = () => page.window.dispatchEvent(new Event("online"));
  wake();
  assert.equal(sockets.length, 1);

  sockets.at(-1).end();
  wake();
  sockets.at(-1).end();

  assert.deepEqual(changes.flatMap(({ retryMs }) => retryMs ?? []), [250, 500]);
  clock.pass(500);
  assert.equal(sockets.length, 3);
});

test("a ping is answered", () => {
  const { server } = setUpOpen();

  server.say("ping", {});

  assert.deepEqual(server.sent, [{ channel: "pong", payload: {} }]);
});

test("after one and a half heartbeats of silence the client asks, five seconds later it gives up", () => {
  const { ws, server, clock } = setUpOpen();

  clock.pass(37_499);
  assert.deepEqual(server.sent, []);
  clock.pass(1);
  assert.deepEqual(server.sent, [{ channel: "ping", payload: {} }]);
  clock.pass(4_999);
  assert.equal(ws.state, "open");
  clock.pass(1);

  assert.equal(ws.state, "waiting");
  assert.notEqual(server.closedWith, undefined);
});

test("any message keeps the connection", () => {
  const { ws, server, clock } = setUpOpen();

  for (const channel of ["ping", "pong", "notifications", "unheard"]) {
    clock.pass(37_000);
    server.say(channel, {});
  }

  assert.equal(ws.state, "open");
  assert.deepEqual(server.sent, [{ channel: "pong", payload: {} }]);
});

test("waking asks an open connection for a sign of life", () => {
  const { ws, server, page, clock } = setUpOpen();

  page.window.dispatchEvent(new Event("online"));
  page.window.dispatchEvent(new Event("online"));
  assert.deepEqual(server.sent, [{ channel: "ping", payload: {} }]);
  clock.pass(5_000);

  assert.equal(ws.state, "waiting");
});

test("a connection that answers the question stays", () => {
  const { ws, server, page, clock } = setUpOpen();
  page.window.dispatchEvent(new Event("online"));
  clock.pass(4_000);

  server.say("pong", {});
  clock.pass(37_000);

  assert.equal(ws.state, "open");
});

test("after a sleep the client asks before it gives up", () => {
  const { ws, server, clock } = setUpOpen();

  clock.sleep(3_600_000);
  assert.equal(ws.state, "open");
  assert.equal(server.sent.at(-1).channel, "ping");
  clock.sleep(60_000);

  assert.equal(ws.state, "waiting");
});

for (const data of ["", "nonsense", "[]", "null", '"x"', "{}", '{"channel":1}', new ArrayBuffer(1)]) {
  test(`a frame that is no message is an error and nothing else: ${JSON.stringify(data)}`, () => {
    const { ws, server } = setUpOpen();
    const errors = collect(ws, "error");

    server.raw(data);

    assert.deepEqual(errors.map(({ code }) => code), ["bad_envelope"]);
    assert.equal(ws.state, "open");
  });
}

test("an error that belongs to no request is told", () => {
  const { ws, server } = setUpOpen();
  const errors = collect(ws, "error");

  server.say("error", { code: "rate_limited", message: "Too many messages; slow down." });
  server.say("error", null);

  assert.equal(errors[0].code, "rate_limited");
  assert.equal(errors[0].message, "Too many messages; slow down.");
  assert.equal(errors[1].code, "internal");
});

test("a constructor that throws in a later attempt is a failed attempt", (t) => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error);
  t.after(() => delete globalThis.reportError);
  const { ws, server, clock, sockets } = setUpOpen();
  const push = sockets.push;
  sockets.push = () => {
    throw new Error("no more sockets");
  };
  server.end();
  clock.pass(500);
  assert.equal(ws.state, "waiting");
  assert.equal(reported.length, 1);

  sockets.push = push;
  clock.pass(1_000);

  assert.equal(ws.state, "connecting");
});

test("a constructor that throws at first is told to the caller", () => {
  class WebSocket {
    constructor() {
      throw new SyntaxError("bad address");
    }
  }

  assert.throws(() => setUp({ WebSocket }), SyntaxError);
});

test("state changes tell where from and why", () => {
  const world = setUp();
  const changes = collect(world.ws, "state");

  world.server.welcome();
  world.server.end(1012, "restart");

  assert.deepEqual(
    changes.map(({ state, previous, code, reason }) => ({ state, previous, code, reason })),
    [
      { state: "open", previous: "connecting", code: undefined, reason: undefined },
      { state: "waiting", previous: "open", code: 1012, reason: "restart" },
    ],
  );
});

test("a listener may close the client in the middle of a change", () => {
  const { ws, server, clock } = setUpOpen();
  ws.on("state", ({ state }) => state === "waiting" && ws.close());

  server.end();
  clock.pass(60_000);

  assert.equal(ws.state, "closed");
  assert.equal(clock.timers, 0);
});

test("the states of a whole life are the five words", () => {
  const world = setUp({ start: false });
  const seen = [world.ws.state];
  world.ws.on("state", ({ state }) => seen.push(state));

  world.ws.open();
  world.server.welcome();
  world.server.end();
  world.ws.close();

  assert.deepEqual(seen, ["idle", "connecting", "open", "waiting", "closed"]);
});
