import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, setUp, setUpOpen } from "./harness.js";

const HOUR_MS = 3_600_000;

/** Have the server tell where a stream is. */
function tell(server, state, seq, { stream = "publications", channels = ["chat", "weather"], epoch = "e1", ...rest } = {}) {
  server.say("stream", { stream, channels, state, epoch, missed: 0, ...rest }, { seq });
}

/** An open client whose stream of publications was loaded at position 10. */
function setUpLoaded(options) {
  const world = setUpOpen(options);
  tell(world.server, "loaded", "10");
  return Object.assign(world, { chat: collect(world.ws.channel("chat"), "message") });
}

/** The places that a client names when it connects. */
const resumes = ({ url }) => new URL(url).searchParams.getAll("resume");

test("a client that knows of no stream asks for none", () => {
  assert.deepEqual(resumes(setUp().server), []);
});

test("at each connect the client names how far it has come in each stream", () => {
  const world = setUpLoaded();
  tell(world.server, "loaded", "7", { stream: "notifications", channels: ["notifications"], epoch: "e2" });
  world.server.say("chat", 1, { seq: "12.0001" });

  world.reconnect();
  assert.deepEqual(resumes(world.sockets[1]), ["publications~e1~12.0001", "notifications~e2~7"]);
  world.sockets[1].say("weather", 2, { seq: "13" });
  world.reconnect();

  assert.deepEqual(resumes(world.sockets[2]), ["publications~e1~13", "notifications~e2~7"]);
});

for (const [url, found] of [
  ["wss://ui.example/ws?token=a%20b&x", "wss://ui.example/ws?token=a%20b&x&resume=publications%7Ee1%7E10"],
  ["wss://ui.example/ws", "wss://ui.example/ws?resume=publications%7Ee1%7E10"],
]) {
  test(`the query of an address stays as it is: ${url}`, () => {
    const world = setUp({ url });
    assert.equal(world.server.url, url);
    world.server.welcome();
    tell(world.server, "loaded", "10");

    world.reconnect();

    assert.equal(world.sockets[1].url, found);
    assert.equal(world.ws.url, url);
  });
}

test("a message that was surfaced is not surfaced again", () => {
  const world = setUpLoaded();

  for (const seq of ["11", "11", "12", "11.0002", "10", "13"]) world.server.say("chat", seq, { seq });
  world.reconnect();
  for (const seq of ["13", "14"]) world.server.say("chat", seq, { seq });

  assert.deepEqual(world.chat, ["11", "12", "13", "14"]);
});

test("the channels of a stream share its positions, other channels do not", () => {
  const { ws, server } = setUpLoaded();
  const weather = collect(ws.channel("weather"), "message");
  const other = collect(ws.channel("other"), "message");

  server.say("chat", 1, { seq: "12" });
  for (const channel of ["weather", "other"]) for (const seq of ["11", "13"]) server.say(channel, seq, { seq });

  assert.deepEqual([weather, other], [["13"], ["11", "13"]]);
});

test("a message without a position is surfaced, and moves nothing", () => {
  const world = setUpLoaded();

  world.server.say("chat", "a");
  world.server.say("chat", "a");
  world.reconnect();

  assert.deepEqual(world.chat, ["a", "a"]);
  assert.deepEqual(resumes(world.server), ["publications~e1~10"]);
});

test("an answer is never dropped for its position", async () => {
  const { ws, server } = setUpLoaded();

  const answer = ws.channel("chat").request({});
  server.answer("yes", { seq: "1" });

  assert.equal(await answer, "yes");
});

test("a position moves when the listeners were called, not before", () => {
  const { ws, server, page } = setUpLoaded();
  const kept = [];
  ws.channel("chat").on("message", () => {
    page.window.dispatchEvent(new Event("pagehide"));
    kept.push(page.sessionStorage.getItem(ws.url).includes("11"));
  });

  server.say("chat", 1, { seq: "11" });
  page.window.dispatchEvent(new Event("pagehide"));

  assert.deepEqual(kept, [false]);
  assert.ok(page.sessionStorage.getItem(ws.url).includes("11"));
});

test("a listener that throws does not hold the stream up", (t) => {
  t.mock.method(console, "error", () => {});
  const world = setUpLoaded();
  world.ws.channel("chat").on("message", () => {
    throw new Error("in a listener");
  });

  world.server.say("chat", 1, { seq: "11" });
  world.reconnect();

  assert.deepEqual(resumes(world.server), ["publications~e1~11"]);
});

test("a reset begins anew at its position, also at an earlier one, and is told", () => {
  const world = setUpLoaded();
  const told = collect(world.ws, "stream");
  const resets = collect(world.ws.channel("chat"), "reset");
  const others = collect(world.ws.channel("other"), "reset");

  tell(world.server, "reset", "05", { epoch: "e9" });
  world.server.say("chat", "new", { seq: "06" });
  world.reconnect();

  assert.deepEqual(told.map(({ stream, state, missed }) => [stream, state, missed]), [["publications", "reset", 0]]);
  assert.equal(resets.length, 1);
  assert.deepEqual([others, world.chat], [[], ["new"]]);
  assert.deepEqual(resumes(world.server), ["publications~e9~06"]);
});

test("what was missed comes before the stream says that it was resumed", () => {
  const world = setUpLoaded();
  const seen = [];
  world.ws.channel("chat").on("message", (payload) => seen.push(payload));
  world.ws.on("stream", ({ state, missed }) => seen.push(`${state} ${missed}`));
  const resets = collect(world.ws.channel("chat"), "reset");

  world.reconnect();
  for (const seq of ["11", "12"]) world.server.say("chat", seq, { seq });
  tell(world.server, "resumed", "15", { missed: 2 });
  world.reconnect();

  assert.deepEqual(seen, ["11", "12", "resumed 2"]);
  assert.deepEqual(resets, []);
  assert.deepEqual(resumes(world.server), ["publications~e1~15"]);
});

test("a ping moves the streams that were told on this connection, and is answered", () => {
  const world = setUpLoaded();
  tell(world.server, "loaded", "10", { stream: "notifications", channels: ["notifications"], epoch: "e2" });
  world.server.say("ping", {}, { seq: "20" });
  world.reconnect();
  assert.deepEqual(resumes(world.server), ["publications~e1~20", "notifications~e2~20"]);

  tell(world.server, "resumed", "20");
  world.server.say("ping", {}, { seq: "30" });
  world.server.say("ping", {});
  world.reconnect();

  assert.deepEqual(resumes(world.server), ["publications~e1~30", "notifications~e2~20"]);
  assert.deepEqual(world.sockets[1].sent, Array(2).fill({ channel: "pong", payload: {} }));
});

test("after a reload what was missed comes as if nothing had happened", () => {
  const before = setUpLoaded();
  before.server.say("chat", 1, { seq: "11" });

  const after = before.reload();
  const chat = collect(after.ws.channel("chat"), "message");
  assert.deepEqual(resumes(after.server), ["publications~e1~11"]);
  after.server.welcome();
  for (const seq of ["11", "12"]) after.server.say("chat", seq, { seq });

  assert.deepEqual(chat, ["12"]);
});

test("notifications that arrived during a reload are arrivals, each once, in order", () => {
  const before = setUpOpen();
  const stream = { stream: "notifications", channels: ["notifications"] };
  const arrive = (server, n) =>
    server.say("notifications", { unread: n, category: "info", last: { id: `a${n}`, label: "" } }, { seq: `1${n}` });
  tell(before.server, "loaded", "10", stream);
  arrive(before.server, 1);

  const after = before.reload();
  const arrivals = collect(after.ws.notifications, "arrival");
  after.server.welcome();
  for (const n of [1, 2, 3]) arrive(after.server, n);
  tell(after.server, "resumed", "13", { ...stream, missed: 2 });
  arrive(after.server, 3);
  after.server.say("notifications", { unread: 3, category: "info" });

  assert.deepEqual(arrivals.map(({ id }) => id), ["a2", "a3"]);
  assert.equal(after.ws.notifications.unread, 3);
});

test("a duplicate of the tab goes on from the copy, each tab for itself", () => {
  const one = setUpLoaded();
  one.server.say("chat", 1, { seq: "11" });
  one.page.window.dispatchEvent(new Event("pagehide"));
  const copy = one.page.sessionStorage.copy();
  one.server.say("chat", 2, { seq: "12" });

  const other = one.reload({ sessionStorage: copy });
  const chat = collect(other.ws.channel("chat"), "message");
  other.server.welcome();
  other.server.say("chat", 2, { seq: "12" });
  one.server.say("chat", 3, { seq: "13" });

  assert.deepEqual([one.chat, chat], [[1, 2, 3], [2]]);
});

test("a place is kept for an hour of the wall clock, whatever way that was set", (t) => {
  const now = t.mock.method(Date, "now", () => 1e12);
  const { reload } = setUpLoaded();
  assert.equal(resumes(reload().server).length, 1);
  const after = (ms) => {
    const { server } = reload({ sessionStorage: kept });
    now.mock.mockImplementation(() => 1e12);
    return [ms, resumes(server).length];
  };
  const kept = setUpLoaded().page.sessionStorage;
  for (const ms of [HOUR_MS - 1, HOUR_MS, HOUR_MS * 24, -HOUR_MS]) {
    now.mock.mockImplementation(() => 1e12 + ms);
    assert.deepEqual(after(ms), [ms, Math.abs(ms) < HOUR_MS ? 1 : 0]);
  }
});

test("places are written at most once a second, and when the page is left or the client closed", () => {
  const { ws, server, page, clock } = setUpLoaded();
  const { sessionStorage } = page;
  const writesOf = (act) => {
    const before = sessionStorage.writes[ws.url];
    act();
    return sessionStorage.writes[ws.url] - before;
  };
  clock.pass(1_000);

  const burst = writesOf(() => {
    for (let n = 100; n < 600; n += 1) {
      server.say("chat", n, { seq: String(n) });
      clock.pass(10);
    }
  });
  const quiet = writesOf(() => clock.pass(20_000));
  const left = writesOf(() => page.window.dispatchEvent(new Event("pagehide")));
  const closed = writesOf(() => ws.close());
  const gone = writesOf(() => page.window.dispatchEvent(new Event("pagehide")));

  assert.deepEqual([burst, quiet, left, closed, gone], [5, 0, 1, 1, 0]);
});

const forbidden = {
  get sessionStorage() {
    throw new Error("SecurityError");
  },
};
const full = { sessionStorage: { getItem: () => null, setItem: () => assert.fail("QuotaExceededError") } };
for (const [name, storage] of Object.entries({ forbidden, full, none: {} })) {
  test(`storage that is ${name} harms nothing`, () => {
    const page = Object.assign(Object.create(storage), { window: new EventTarget(), document: new EventTarget() });
    const world = setUpLoaded({ page });

    world.server.say("chat", 1, { seq: "11" });
    page.window.dispatchEvent(new Event("pagehide"));
    world.reconnect();

    assert.deepEqual(world.chat, [1]);
    assert.deepEqual(resumes(world.server), ["publications~e1~11"]);
  });
}

for (const text of ["", "{", "null", "7", "[]", "[1]", '[1e12,[["a",null]]]', '[1e12,[["a",{"channels":1}]]]', '[1e12,{"a":1}]']) {
  test(`what was kept and is no place is not used: ${text}`, (t) => {
    t.mock.method(Date, "now", () => 1e12);
    const world = setUpLoaded();
    world.page.sessionStorage.setItem(world.ws.url, text);

    const { server } = setUp({ page: { ...world.page, window: new EventTarget(), document: new EventTarget() } });

    assert.deepEqual(resumes(server), []);
  });
}

for (const payload of [null, 1, {}, { stream: "publications", channels: 1 }, { stream: "x", channels: null, state: "reset" }]) {
  test(`nonsense about a stream is reported and changes nothing: ${JSON.stringify(payload)}`, (t) => {
    const error = t.mock.method(console, "error", () => {});
    const world = setUpLoaded();
    const told = collect(world.ws, "stream");

    world.server.say("stream", payload, { seq: "99" });
    world.server.say("chat", 1, { seq: "11" });
    world.reconnect();

    assert.equal(error.mock.callCount(), 1);
    assert.deepEqual([told, world.chat, resumes(world.server)], [[], [1], ["publications~e1~11"]]);
  });
}
