import assert from "node:assert/strict";
import { test } from "node:test";

import { WSFlaskError } from "../../static/wsflask.js";
import { collect, held, outcome, setUp, setUpOpen } from "./harness.js";

const count = (server) => server.sent.length;

test("a request carries an id and resolves with the payload of its reply", async () => {
  const { ws, server } = setUpOpen();

  const reply = ws.channel("weather").request({ city: "NYC" });
  assert.deepEqual(server.sent, [{ channel: "weather", payload: { city: "NYC" }, id: "1" }]);
  server.answer({ degrees: 21 });

  assert.deepEqual(await reply, { degrees: 21 });
});

test("replies find their requests in any order", async () => {
  const { ws, server } = setUpOpen();
  const [first, second] = [ws.channel("a").request(1), ws.channel("a").request(2)];

  server.answer("two", { to: server.sent[1] });
  server.answer("one", { to: server.sent[0] });

  assert.deepEqual(await Promise.all([first, second]), ["one", "two"]);
});

test("a refusal rejects with the server's code and sentence", async () => {
  const { ws, server } = setUpOpen();
  const reply = ws.channel("a").request({});

  server.refuse("bad_data");

  await assert.rejects(reply, (error) => {
    assert.ok(error instanceof WSFlaskError && error instanceof Error);
    assert.deepEqual([error.name, error.code, error.message], ["WSFlaskError", "bad_data", "refused: bad_data"]);
    return true;
  });
});

test("a refusal that says nothing is internal", async () => {
  const { ws, server } = setUpOpen();
  const reply = ws.channel("a").request({});

  server.say("error", {}, { id: "1" });

  assert.deepEqual(await outcome(reply), { code: "internal" });
});

test("no answer within ten seconds is a timeout, and a later answer is nobody's", async () => {
  const { ws, server, clock } = setUpOpen();
  const messages = collect(ws.channel("a"), "message");
  const errors = collect(ws, "error");
  const reply = ws.channel("a").request({});

  clock.pass(9_999);
  assert.equal(await outcome(reply), undefined);
  clock.pass(1);
  server.answer("late");
  server.refuse("internal");

  assert.deepEqual(await outcome(reply), { code: "timeout" });
  assert.deepEqual([messages, errors], [[], []]);
});

test("a request may have a timeout of its own", async () => {
  const { ws, clock } = setUpOpen();
  const reply = ws.channel("a").request({}, { timeoutMs: 50 });

  clock.pass(50);

  assert.deepEqual(await outcome(reply), { code: "timeout" });
});

test("what was sent when the connection is lost has an unknown outcome", async () => {
  const { ws, server } = setUpOpen();
  const reply = ws.channel("a").request({});

  server.end();

  assert.deepEqual(await outcome(reply), { code: "unknown" });
});

test("what was not sent waits for the connection, in order", async () => {
  const world = setUp();
  const replies = [1, 2, 3].map((n) => world.ws.channel("a").request(n));
  assert.equal(count(world.server), 0);

  world.server.welcome();

  assert.deepEqual(world.server.sent.map(({ payload }) => payload), [1, 2, 3]);
  world.server.answer("ok", { to: world.server.sent[0] });
  assert.equal(await replies[0], "ok");
});

test("requests wait through a reconnect", async () => {
  const world = setUpOpen();
  world.server.end();
  const reply = world.ws.channel("a").request("later");

  world.comeBack();
  world.server.welcome();
  world.server.answer("done");

  assert.equal(await reply, "done");
});

test("the wait for the connection counts as waiting for the answer", async () => {
  const { ws, server, clock } = setUp();
  const reply = ws.channel("a").request({});

  clock.pass(10_000);
  server.welcome();

  assert.deepEqual(await outcome(reply), { code: "timeout" });
  assert.equal(count(server), 0);
});

test("of a hundred and one requests that wait the oldest is refused", async () => {
  const { ws, server } = setUp();
  const replies = Array.from({ length: 101 }, (_, n) => held(ws.channel("a").request(n)));

  assert.deepEqual(await outcome(replies[0]), { code: "queue_full" });
  assert.equal(await outcome(replies[1]), undefined);
  server.welcome();
  assert.equal(server.sent[0].payload, 1);
});

test("requests to a closed client are refused at once", async () => {
  const { ws, server } = setUpOpen();
  server.end(4501);

  assert.deepEqual(await outcome(ws.channel("a").request({})), { code: "closed" });
  assert.deepEqual(await outcome(ws.notifications.list()), { code: "closed" });
  assert.deepEqual(await outcome(ws.clipboard.add(1)), { code: "closed" });
});

test("closing refuses what waits", async () => {
  const { ws, clock } = setUp();
  const reply = ws.channel("a").request({});

  ws.close();

  assert.deepEqual(await outcome(reply), { code: "closed" });
  assert.equal(clock.timers, 0);
});

test("closing leaves the outcome of what was sent unknown", async () => {
  const { ws } = setUpOpen();
  const replies = [ws.channel("a").request({}), ws.clipboard.add(1)].map(held);

  ws.close();

  assert.deepEqual(await outcome(replies[0]), { code: "unknown" });
  assert.deepEqual(await outcome(replies[1]), { code: "unknown" });
});

test("a message larger than the server takes is not sent", async () => {
  const { ws, server } = setUp();
  server.welcome({ limits: { message_bytes: 100 } });

  const large = ws.channel("a").request("é".repeat(40));
  const small = ws.channel("a").request("é".repeat(10));

  assert.deepEqual(await outcome(large), { code: "too_big" });
  assert.equal(count(server), 1);
  server.answer("fits");
  assert.equal(await small, "fits");
});

test("messages keep below the server's rate", () => {
  const { ws, server, clock } = setUp();
  server.welcome({ limits: { messages_per_second: 10, burst: 20 } });
  for (let n = 0; n < 100; n += 1) ws.channel("a").send(n);

  assert.equal(count(server), 10);
  clock.pass(1_000);
  assert.ok(count(server) > 15 && count(server) <= 20);
  clock.pass(10_000);

  assert.equal(count(server), 100);
  assert.deepEqual(server.sent.map(({ payload }) => payload), Array.from({ length: 100 }, (_, n) => n));
});

test("a connection that is lost while messages wait for the rate goes on in the next", () => {
  const world = setUp();
  world.server.welcome({ limits: { messages_per_second: 1, burst: 2 } });
  for (let n = 0; n < 3; n += 1) world.ws.channel("a").send(n);
  assert.equal(count(world.server), 1);

  world.server.end();
  world.comeBack();
  world.server.welcome();

  assert.deepEqual(world.server.sent.map(({ payload }) => payload), [1, 2]);
});

test("send() has no id, and waits for the connection as requests do", () => {
  const { ws, server } = setUp();

  ws.channel("a").send({ n: 1 });
  server.welcome();

  assert.deepEqual(server.sent, [{ channel: "a", payload: { n: 1 } }]);
});

test("what send() cannot send is told", () => {
  const { ws, server } = setUpOpen();
  const errors = collect(ws, "error");
  server.end(4501);

  ws.channel("a").send(1);

  assert.deepEqual(errors.map(({ code }) => code), ["closed"]);
});

test("nothing as a payload is null on the wire", () => {
  const { ws, server } = setUpOpen();

  ws.channel("a").send(undefined);

  assert.deepEqual(server.sent, [{ channel: "a", payload: null }]);
});

test("what JSON cannot hold fails where it is given", async () => {
  const { ws } = setUpOpen();

  assert.throws(() => ws.channel("a").send(1n), TypeError);
  await assert.rejects(ws.channel("a").request(1n), TypeError);
});

test("a channel gets its messages, and not those of others nor replies", () => {
  const { ws, server } = setUpOpen();
  const messages = collect(ws.channel("a"), "message");
  void ws.channel("a").request({});

  server.say("a", { n: 1 });
  server.say("b", { n: 2 });
  server.answer({ n: 3 });
  server.say("constructor", { n: 4 });

  assert.deepEqual(messages, [{ n: 1 }]);
});

test("a channel is one object", () => {
  const { ws } = setUp();

  assert.equal(ws.channel("a"), ws.channel("a"));
});

for (const name of ["welcome", "ping", "error", "A", "", "a b", "__proto__"]) {
  test(`"${name}" is no channel`, () => {
    const { ws } = setUp();

    assert.throws(() => ws.channel(name), TypeError);
  });
}

test("__proto__ is a key like another", async () => {
  const { ws, server } = setUpOpen();
  const messages = collect(ws.channel("a"), "message");

  server.raw('{"channel":"a","payload":{"__proto__":{"x":1}},"__proto__":{"id":"1"}}');
  server.raw('{"channel":"__proto__","payload":{}}');

  assert.deepEqual(Object.keys(messages[0]), ["__proto__"]);
  assert.equal(messages[0].x, undefined);
});

test("a listener that throws is reported and disturbs nobody", (t) => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  t.after(() => delete globalThis.reportError);
  const { ws, server } = setUpOpen();
  ws.channel("a").on("message", () => {
    throw new Error("in a listener");
  });
  const messages = collect(ws.channel("a"), "message");

  server.say("a", 1);

  assert.deepEqual([messages, reported, ws.state], [[1], ["in a listener"], "open"]);
});

test("where there is no reportError a listener's exception goes to the console", (t) => {
  const error = t.mock.method(console, "error", () => {});
  const { ws, server } = setUpOpen();
  ws.channel("a").on("message", () => {
    throw new Error("in a listener");
  });

  server.say("a", 1);

  assert.equal(error.mock.callCount(), 1);
});

test("on() returns the function that stops it, and only it", () => {
  const { ws, server } = setUpOpen();
  const seen = [];
  const listener = (value) => seen.push(value);
  const stop = ws.channel("a").on("message", listener);
  ws.channel("a").on("message", listener);
  server.say("a", 1);

  stop();
  stop();
  server.say("a", 2);

  assert.deepEqual(seen, [1, 1, 2]);
});

test("a mistyped event or a listener that is none fails at once", () => {
  const { ws } = setUp();

  assert.throws(() => ws.on("opne", () => {}), /there is no event "opne"; there are: state, open, closed, error/);
  assert.throws(() => ws.on("open", undefined), TypeError);
});
