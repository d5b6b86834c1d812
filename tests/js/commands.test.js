import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, held, outcome, setUp, setUpOpen } from "./harness.js";

test("a command is a request with a name of its own, whatever page, tab or client gives it", async () => {
  const [one, other] = [setUpOpen(), setUpOpen()];
  const added = one.ws.channel("orders").command({ action: "add", data: 1 });
  for (const { ws } of [one, other]) {
    void ws.channel("orders").command({});
    void ws.clipboard.flush();
    void ws.notifications.markAllRead();
  }
  const names = [one, other].flatMap(({ server }) => server.sent.map(({ payload }) => payload.cmd_id));
  const [{ channel, payload }] = one.server.sent;

  one.server.answer("done", { to: one.server.sent[0] });

  assert.equal(await added, "done");
  assert.deepEqual([channel, payload], ["orders", { action: "add", data: 1, cmd_id: names[0] }]);
  assert.equal(new Set(names).size, 7);
  assert.ok(names.every((name) => /^[\d.]{1,64}$/.test(name)));
});

test("a command is repeated over the next connections until it is answered", async () => {
  const world = setUpOpen();
  const done = world.ws.channel("a").command({ n: 1 });
  const [first] = world.server.sent;

  world.reconnect();
  world.reconnect(4001);
  assert.deepEqual(world.server.sent, [first]);
  world.server.answer("yes");
  world.reconnect();

  assert.equal(await done, "yes");
  assert.deepEqual(world.server.sent, []);
});

test("commands keep the order in which they were given, over reconnects and beside requests", () => {
  const world = setUp();
  const channel = world.ws.channel("a");
  const give = (n) => void held(channel.command({ n }));
  give(1);
  world.server.welcome();
  give(2);
  held(channel.request({ n: "asked" }));
  world.server.end();
  give(3);
  held(channel.request({ n: "asked later" }));
  give(4);

  world.comeBack();
  world.server.welcome();
  world.reconnect();

  assert.deepEqual(world.sockets[1].sent.map(({ payload }) => payload.n), [1, 2, 3, "asked later", 4]);
  assert.deepEqual(world.server.sent.map(({ payload }) => payload.n), [1, 2, 3, 4]);
});

test("of more than a hundred that wait the oldest is refused, as done perhaps where it was sent", async () => {
  const world = setUpOpen({ random: () => 0 });
  const sent = [1, 2].map((n) => held(world.ws.channel("a").command({ n })));
  world.server.end();
  const waiting = Array.from({ length: 99 }, (_, n) => held(world.ws.channel("a").command({ n })));
  assert.deepEqual([await outcome(sent[0]), await outcome(sent[1])], [{ code: "unknown" }, undefined]);

  for (let n = 0; n < 3; n += 1) waiting.push(held(world.ws.channel("a").command({ n })));

  const codes = (await Promise.all([...sent, ...waiting].map(outcome))).map((found) => found?.code);
  assert.deepEqual(codes.slice(0, 5), ["unknown", "unknown", "queue_full", "queue_full", undefined]);
  assert.equal(codes.filter((code) => code === undefined).length, 100);
});

test("a command is given up after thirty seconds, or after the time it was given", async () => {
  const { ws, clock } = setUp();
  const [short, long] = [ws.channel("a").command({}, { timeoutMs: 50 }), ws.channel("a").command({})].map(held);

  clock.pass(50);
  assert.deepEqual([await outcome(short), await outcome(long)], [{ code: "timeout" }, undefined]);
  clock.pass(29_950);

  assert.deepEqual(await outcome(long), { code: "timeout" });
});

test("a command that finds no database is repeated; one that is refused is not", async () => {
  const { ws, server, clock } = setUpOpen();
  const [away, refused] = [ws.channel("a").command({ n: 1 }), ws.channel("a").command({ n: 2 })].map(held);
  const { sent } = server;

  server.refuse("unavailable", sent[0]);
  server.refuse("forbidden", sent[1]);
  clock.pass(250);

  assert.deepEqual(await outcome(refused), { code: "forbidden" });
  assert.deepEqual(sent[2], sent[0]);
  assert.equal(await outcome(away), undefined);
});

test("commands that wait for one another are applied in their order, whatever fails meanwhile", async () => {
  const world = setUpOpen();
  const channel = world.ws.channel("a");
  const numbers = () => world.server.sent.map(({ payload }) => payload.n);
  const both = (async () => [await channel.command({ n: 1 }), await channel.command({ n: 2 })])();

  world.server.refuse("unavailable");
  world.clock.pass(250);
  assert.deepEqual(numbers(), [1, 1]);
  world.reconnect();
  assert.deepEqual(numbers(), [1]);
  world.server.answer("first");
  await new Promise(setImmediate);
  assert.deepEqual(numbers(), [1, 2]);
  world.server.answer("second");

  assert.deepEqual(await both, ["first", "second"]);
});

test("a command that was refused for now lets those given meanwhile pass it", () => {
  const world = setUpOpen();
  const give = (n) => held(world.ws.channel("a").command({ n }));
  give(1);
  give(2);
  world.server.refuse("unavailable", world.server.sent[0]);
  give(3);
  world.clock.pass(250);

  assert.deepEqual(world.server.sent.map(({ payload }) => payload.n), [1, 2, 3, 1]);
});

test("a command that was refused for now is repeated once when the connection is lost meanwhile", () => {
  const world = setUp();
  world.server.welcome({ limits: { messages_per_second: 1, burst: 2 } });
  held(world.ws.channel("a").command({ n: 1 }));
  world.server.refuse("unavailable");
  world.server.end();
  held(world.ws.channel("a").command({ n: 2 }));
  world.comeBack();
  world.server.welcome({ limits: { messages_per_second: 1, burst: 2 } });

  world.clock.pass(5_000);

  assert.deepEqual(world.server.sent.map(({ payload }) => payload.n), [1, 2]);
});

test("a client that closes leaves commands that were sent as done perhaps", async () => {
  const { ws, server } = setUpOpen();
  const sent = held(ws.channel("a").command({}));
  server.refuse("unavailable");

  ws.close();

  assert.deepEqual(await outcome(sent), { code: "unknown" });
  assert.deepEqual(await outcome(ws.channel("a").command({})), { code: "closed" });
});

test("a command is an object", async () => {
  const { ws, server } = setUpOpen();

  for (const payload of ["text", null, 1, [1]]) await assert.rejects(ws.channel("a").command(payload), TypeError);

  assert.deepEqual(server.sent, []);
});

// --- the server's health

test("a client knows whether the server has its database", () => {
  const { ws, server } = setUpOpen();
  const health = collect(ws, "health");
  assert.equal(ws.degraded, false);

  server.say("health", { degraded: true });
  server.say("health", { degraded: true });
  assert.equal(ws.degraded, true);
  server.say("health", { degraded: false });

  assert.equal(ws.degraded, false);
  assert.deepEqual(health, [{ degraded: true }, { degraded: false }]);
});

test("of a server that is gone nothing is known, of the next what it says", () => {
  const world = setUpOpen();
  const health = collect(world.ws, "health");
  world.server.say("health", { degraded: true });

  world.server.end();
  assert.equal(world.ws.degraded, false);
  world.comeBack();
  world.server.welcome();
  world.server.say("health", { degraded: true });

  assert.deepEqual(health.map(({ degraded }) => degraded), [true, false, true]);
});

for (const payload of [null, [], "x", {}, { degraded: "yes" }]) {
  test(`nonsense is no health: ${JSON.stringify(payload)}`, () => {
    const { ws, server } = setUpOpen();

    server.say("health", payload);

    assert.equal(ws.degraded, false);
  });
}
