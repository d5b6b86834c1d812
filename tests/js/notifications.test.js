import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome, setUpOpen } from "./harness.js";

const item = (id, label = "Hello, World!") => ({
  category: "success",
  data: { _cls: "Notification", _id: id, actions: [], category: 10, message: label },
  id,
  is_read: false,
  label,
  metainfo: { changedDatetime: "2016-12-21T14:50:42", changedUser: null },
});

test("the first message tells the unread count", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.notifications, "change");
  const arrivals = collect(ws.notifications, "arrival");

  server.say("notifications", { unread: 3, category: "success" });

  assert.deepEqual(changes, [{ unread: 3, category: "success", last: null }]);
  assert.deepEqual(arrivals, []);
  assert.deepEqual([ws.notifications.unread, ws.notifications.category, ws.notifications.last], [3, "success", null]);
});

test("an arrival tells the count and the notification", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.notifications, "change");
  const arrivals = collect(ws.notifications, "arrival");

  server.say("notifications", { unread: 4, category: "warning", last: item("a1") });

  assert.deepEqual(changes, [{ unread: 4, category: "warning", last: item("a1") }]);
  assert.deepEqual(arrivals, [item("a1")]);
  assert.deepEqual(ws.notifications.last, item("a1"));
});

test("a count that changes without an arrival keeps the last and is no arrival", () => {
  const { ws, server } = setUpOpen();
  server.say("notifications", { unread: 1, category: "success", last: item("a1") });
  const changes = collect(ws.notifications, "change");
  const arrivals = collect(ws.notifications, "arrival");

  server.say("notifications", { unread: 0, category: "success" });

  assert.deepEqual(changes, [{ unread: 0, category: "success", last: item("a1") }]);
  assert.deepEqual(arrivals, []);
});

test("one that comes twice arrives once", () => {
  const world = setUpOpen();
  const arrivals = collect(world.ws.notifications, "arrival");
  const message = { unread: 1, category: "success", last: item("a1") };
  const stream = { stream: "notifications", channels: ["notifications"], state: "loaded", epoch: "e1", missed: 0 };
  world.server.say("stream", stream, { seq: "1" });

  world.server.say("notifications", message, { seq: "2" });
  world.reconnect();
  world.server.say("notifications", message, { seq: "2" });

  assert.equal(arrivals.length, 1);
});

test("many arrivals are all told", () => {
  const { ws, server } = setUpOpen();
  const arrivals = collect(ws.notifications, "arrival");

  for (let n = 1; n <= 500; n += 1) server.say("notifications", { unread: n, category: "info", last: item(`a${n}`) });

  assert.deepEqual(arrivals.map(({ id }) => id), Array.from({ length: 500 }, (_, n) => `a${n + 1}`));
});

for (const payload of [null, [], "3", { unread: "3", last: null }, { unread: 1.5, category: 7, last: "x" }]) {
  test(`nonsense changes no count: ${JSON.stringify(payload)}`, () => {
    const { ws, server } = setUpOpen();
    const arrivals = collect(ws.notifications, "arrival");
    server.say("notifications", { unread: 2, category: "success" });

    server.say("notifications", payload);

    assert.deepEqual([ws.notifications.unread, ws.notifications.category, arrivals], [2, "success", []]);
  });
}

test("list() asks for a page", async () => {
  const { ws, server } = setUpOpen();
  const page = { notifications: [item("a2")], unread: 1, next: "a2" };

  const first = ws.notifications.list();
  assert.deepEqual(server.sent.at(-1).payload, {
    action: "list",
    data: { before: null, limit: 20, unread_only: false },
  });
  server.answer(page);
  void ws.notifications.list({ before: "a2", limit: 5, unreadOnly: true });

  assert.deepEqual(await first, page);
  assert.deepEqual(server.sent.at(-1).payload, { action: "list", data: { before: "a2", limit: 5, unread_only: true } });
});

test("list() rejects disconnected when the connection is lost: a read has no unknown outcome", async () => {
  const { ws, server } = setUpOpen();
  const page = ws.notifications.list();

  server.end();

  assert.deepEqual(await outcome(page), { code: "disconnected" });
});

test("markRead() and markAllRead() resolve with the count", async () => {
  const { ws, server } = setUpOpen();

  const one = ws.notifications.markRead("a1");
  const { cmd_id: first, ...read } = server.sent.at(-1).payload;
  server.answer({ unread: 2 });
  const all = ws.notifications.markAllRead();
  const { cmd_id: second, ...readAll } = server.sent.at(-1).payload;
  server.answer({ unread: 0 });

  assert.deepEqual([read, readAll], [{ action: "mark_read", data: { id: "a1" } }, { action: "mark_all_read" }]);
  assert.notEqual(first, second);
  assert.deepEqual([await one, await all], [2, 0]);
});

test("markRead() and markAllRead() are repeated after a lost connection, under their names", async () => {
  const world = setUpOpen();
  const marked = [world.ws.notifications.markRead("a1"), world.ws.notifications.markAllRead()];
  const { sent } = world.server;

  world.reconnect();

  assert.deepEqual(world.server.sent, sent);
  for (const to of sent) world.server.answer({ unread: 0 }, { to });
  assert.deepEqual(await Promise.all(marked), [0, 0]);
});
