import assert from "node:assert/strict";
import { test } from "node:test";

import { changesOf } from "../../static/wsflask/changes.js";
import { outcome, setUpOpen } from "./harness.js";
import { row, setUpLive, subscribed, tell, tellAll } from "./views.js";

/** What waits in an iterator: all that it gives at once. */
async function waiting(changes) {
  const found = [];
  for (;;) {
    const next = changes.next();
    const got = await outcome(next);
    if (!got) return found;
    if (got.code || got.result.done) return [...found, got];
    found.push(got.result.value);
  }
}

const short = (changes) => changes.map(({ op, id, row, previous }) => [op, id, row?.gate, previous?.gate]);

test("the changes of a view are iterated, each with what was there before", async () => {
  const { view, server } = setUpLive();
  const found = [];
  const done = (async () => {
    for await (const { op, id, row, previous } of view) found.push([op, id, row?.gate, previous?.gate]);
  })();

  tell(server, "U", row("a", { gate: 5 }), "101");
  await outcome(done);
  tell(server, "I", row("c", { gate: 3 }), "102");
  tell(server, "R", row("b"), "103");
  await outcome(done);
  view.close();
  await done;

  assert.deepEqual(found, [
    ["U", "a", 5, 1],
    ["I", "c", 3, undefined],
    ["R", "b", undefined, 2],
  ]);
});

test("they begin after the rows", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const changes = view[Symbol.asyncIterator]();

  server.answer(subscribed(1));
  tell(server, "L", row("a", { gate: 1 }), "100");
  tell(server, "U", row("a", { gate: 2 }), "101");

  assert.deepEqual(short(await waiting(changes)), [["U", "a", 2, 1]]);
});

test("they begin when the iterator is made, also of a view that shares rows", async () => {
  const { ws, server } = setUpLive();
  const changes = ws.documents("Flight")[Symbol.asyncIterator]();

  await outcome(Promise.resolve());
  tell(server, "U", row("a", { gate: 2 }), "101");

  assert.deepEqual(short(await waiting(changes)), [["U", "a", 2, 1]]);
});

test("who is slow gets the newest change of each row, from what was seen last", async () => {
  const { view, server } = setUpLive();
  const changes = view[Symbol.asyncIterator]();

  for (let gate = 10; gate < 1000; gate += 1) tell(server, "U", row("a", { gate }), "101");
  tell(server, "U", row("b", { gate: 3 }), "102");
  tell(server, "D", row("a"), "103");

  assert.deepEqual(short(await waiting(changes)), [
    ["U", "b", 3, 2],
    ["D", "a", undefined, 1],
  ]);
});

test("a row that came and went unseen is not told", async () => {
  const { view, server } = setUpLive();
  const changes = view[Symbol.asyncIterator]();

  for (let n = 0; n < 100; n += 1) {
    tell(server, "I", row(n), "101");
    tell(server, "D", row(n), "102");
  }
  tell(server, "I", row("c", { gate: 3 }), "103");
  tell(server, "U", row("c", { gate: 4 }), "104");

  assert.deepEqual(short(await waiting(changes)), [["U", "c", 4, undefined]]);
});

test("rows that are loaded anew are told as what differs", async () => {
  const { view, server } = setUpLive();
  const changes = view[Symbol.asyncIterator]();

  tellAll(server, "reset", { seq: "200", rows: 2 });
  tell(server, "L", row("b", { gate: 7 }), "");
  tell(server, "L", row("c", { gate: 8 }), "200");

  assert.deepEqual(short(await waiting(changes)), [
    ["R", "a", undefined, 1],
    ["L", "b", 7, 2],
    ["L", "c", 8, undefined],
  ]);
});

test("a lost connection is waited for, and what was missed is told", async () => {
  const { view, world } = setUpLive();
  const changes = view[Symbol.asyncIterator]();

  world.reconnect();
  world.server.answer(subscribed(1, { state: "resumed" }));
  tell(world.server, "D", row("b"), "107");

  assert.deepEqual(short(await waiting(changes)), [["D", "b", undefined, 2]]);
});

test("they end when the view is closed", async () => {
  const { view, server } = setUpLive();
  const changes = view[Symbol.asyncIterator]();
  const next = changes.next();

  view.close();
  tell(server, "U", row("a"), "101");

  assert.deepEqual(await next, { value: undefined, done: true });
  assert.deepEqual(await changes.next(), { value: undefined, done: true });
});

test("they throw when the view fails, and at once when it has failed", async () => {
  const { view, server } = setUpLive();
  const next = view[Symbol.asyncIterator]().next();

  tell(server, "U", row("a"), "101");
  await next;
  const second = view[Symbol.asyncIterator]().next();
  tellAll(server, "end", { code: "forbidden" });

  assert.deepEqual(await outcome(second), { code: "forbidden" });
  assert.deepEqual(await outcome(view[Symbol.asyncIterator]().next()), { code: "forbidden" });
});

test("what waits when the view fails is not told: it may not be read any more", async () => {
  const { view, server } = setUpLive();
  const changes = view[Symbol.asyncIterator]();

  tell(server, "U", row("a"), "101");
  tellAll(server, "end", { code: "forbidden" });

  assert.deepEqual(await outcome(changes.next()), { code: "forbidden" });
});

test("two iterators do not take from one another", async () => {
  const { view, server } = setUpLive();
  const one = view[Symbol.asyncIterator]();
  const other = view[Symbol.asyncIterator]();

  tell(server, "U", row("a", { gate: 5 }), "101");

  assert.deepEqual(short(await waiting(one)), [["U", "a", 5, 1]]);
  assert.deepEqual(short(await waiting(other)), [["U", "a", 5, 1]]);
});

test("a loop that is left listens no more", async () => {
  const { view, server } = setUpLive();
  let listening = 0;
  const on = (event, listener) => {
    const stop = view.on(event, listener);
    listening += 1;
    return () => (stop(), (listening -= 1));
  };
  const changes = changesOf({ on, rows: view.rows, state: "live", error: null }, true);
  tell(server, "U", row("a"), "101");
  assert.equal(listening, 3);

  for await (const { id } of changes) if (id === "a") break;

  assert.equal(listening, 0);
});
