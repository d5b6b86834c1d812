import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome, setUpOpen } from "./harness.js";

const entry = (id, data = id) => ({ id, kind: "data", label: `${data}`, data, created_dt: "2026-01-01T00:00:00Z" });

test("the server's state is the clipboard", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.clipboard, "change");

  server.say("clipboard", [entry(1)], { seq: "1" });

  assert.deepEqual(changes, [[entry(1)]]);
  assert.deepEqual(ws.clipboard.entries, [entry(1)]);
});

test("each command is one action, with a name of its own", () => {
  const { ws, server } = setUpOpen();

  void ws.clipboard.add({ any: "data" });
  void ws.clipboard.load("Flight", ["a", "b"]);
  void ws.clipboard.remove(3);
  void ws.clipboard.flush();

  assert.deepEqual(server.sent.map(({ payload: { action, data } }) => [action, data]), [
    ["clipboard_add", { any: "data" }],
    ["clipboard_load", { model: "Flight", ids: ["a", "b"] }],
    ["clipboard_remove", 3],
    ["clipboard_flush", null],
  ]);
  const names = server.sent.map(({ payload }) => payload.cmd_id);
  assert.equal(new Set(names).size, 4);
  assert.ok(names.every((name) => typeof name === "string" && name.length <= 64));
});

test("two clients name their commands differently", () => {
  const [one, other] = [setUpOpen(), setUpOpen()];

  void one.ws.clipboard.add(1);
  void other.ws.clipboard.add(1);

  assert.notEqual(one.server.sent[0].payload.cmd_id, other.server.sent[0].payload.cmd_id);
});

test("a command resolves with the clipboard that it made", async () => {
  const { ws, server } = setUpOpen();

  const added = ws.clipboard.add("x");
  server.answer([entry(1, "x")]);

  assert.deepEqual(await added, [entry(1, "x")]);
});

test("an answer without a position does not get ahead of the states", async () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.clipboard, "change");
  void ws.clipboard.add("x");

  server.answer([entry(1), entry(2)]);
  server.say("clipboard", [entry(1)], { seq: "1" });
  server.say("clipboard", [entry(1), entry(2)], { seq: "2" });

  assert.deepEqual(changes, [[entry(1)], [entry(1), entry(2)]]);
});

test("an answer with a position is a state, told once", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.clipboard, "change");
  void ws.clipboard.add("x");

  server.answer([entry(1)], { seq: "09" });
  server.say("clipboard", [entry(1)], { seq: "09" });
  server.say("clipboard", [], { seq: "08" });
  server.say("clipboard", [entry(2)], { seq: "10" });

  assert.deepEqual(changes, [[entry(1)], [entry(2)]]);
});

test("the answer to a command that was given up is a state: no other message tells of it", async () => {
  const { ws, server, clock } = setUpOpen();
  const changes = collect(ws.clipboard, "change");
  const added = ws.clipboard.add("x");
  for (let second = 0; second < 30; second += 1) {
    server.say("ping", {});
    clock.pass(1_000);
  }
  assert.deepEqual(await outcome(added), { code: "timeout" });

  server.answer([entry(1, "x")], { to: server.sent[0], seq: "1" });

  assert.deepEqual(changes, [[entry(1, "x")]]);
  assert.deepEqual(ws.clipboard.entries, [entry(1, "x")]);
});

test("the answer to a request of the channel's own is a state too", async () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.clipboard, "change");
  const asked = ws.channel("clipboard").request({ action: "clipboard_add", data: "x" });

  server.answer([entry(1, "x")], { seq: "1" });

  assert.deepEqual(await asked, [entry(1, "x")]);
  assert.deepEqual(changes, [[entry(1, "x")]]);
});

test("the page knows the state that a command made before the command is settled", async () => {
  const { ws, server } = setUpOpen();
  const seen = ws.clipboard.add("x").then(() => ws.clipboard.entries);

  server.answer([entry(1, "x")], { seq: "1" });

  assert.deepEqual(await seen, [entry(1, "x")]);
});

test("states without a position are all taken", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.clipboard, "change");

  server.say("clipboard", []);
  server.say("clipboard", [entry(1)]);

  assert.equal(changes.length, 2);
});

test("after a reconnect the same state changes nothing, another is taken whatever its position", () => {
  const world = setUpOpen();
  world.server.say("clipboard", [entry(1)], { seq: "5" });
  const changes = collect(world.ws.clipboard, "change");

  world.reconnect();
  world.server.say("clipboard", [entry(1)], { seq: "5" });
  assert.deepEqual(changes, []);
  world.reconnect();
  world.server.say("clipboard", [], { seq: "4" });

  assert.deepEqual(changes, [[]]);
});

test("nonsense is no clipboard", () => {
  const { ws, server } = setUpOpen();
  const changes = collect(ws.clipboard, "change");

  for (const payload of [null, {}, "x", 1]) server.say("clipboard", payload);

  assert.deepEqual(changes, []);
});

test("a command is repeated under its name when the connection was lost before the answer", async () => {
  const world = setUpOpen();
  const added = world.ws.clipboard.add("x");
  const [first] = world.server.sent;

  world.reconnect();
  assert.deepEqual(world.server.sent, [first]);
  world.server.answer([entry(1, "x")]);

  assert.deepEqual(await added, [entry(1, "x")]);
});

test("repeated commands keep their order, before later ones", () => {
  const world = setUpOpen();
  void world.ws.clipboard.add(1);
  void world.ws.clipboard.add(2);
  world.server.end();
  void world.ws.clipboard.add(3);

  world.comeBack();
  world.server.welcome();

  assert.deepEqual(world.server.sent.map(({ payload }) => payload.data), [1, 2, 3]);
});

test("a command that was answered is not repeated", () => {
  const world = setUpOpen();
  void world.ws.clipboard.add(1);
  world.server.answer([entry(1)]);

  world.reconnect();

  assert.deepEqual(world.server.sent, []);
});

test("a command is given up after thirty seconds", async () => {
  const world = setUpOpen();
  const added = world.ws.clipboard.add("x");
  world.server.end();

  world.clock.pass(30_000);
  world.page.window.dispatchEvent(new Event("online"));
  world.server.welcome();

  assert.deepEqual(await outcome(added), { code: "timeout" });
  assert.deepEqual(world.server.sent, []);
});

test("a refused command is not repeated", async () => {
  const world = setUpOpen();
  const removed = world.ws.clipboard.remove(99);

  world.server.refuse("not_found");
  world.reconnect();

  assert.deepEqual(await outcome(removed), { code: "not_found" });
  assert.deepEqual(world.server.sent, []);
});

test("a command that finds no database is repeated under its name: it may have been applied", async () => {
  const { ws, server, clock } = setUpOpen();
  const added = ws.clipboard.add("x");

  server.refuse("unavailable");
  assert.equal(server.sent.length, 1);
  clock.pass(250);
  server.refuse("unavailable");
  clock.pass(500);
  assert.deepEqual(server.sent, Array(3).fill(server.sent[0]));
  server.answer([entry(1, "x")]);

  assert.deepEqual(await added, [entry(1, "x")]);
});

test("a command that never finds a database rejects unavailable after thirty seconds", async () => {
  const { ws, server, clock } = setUpOpen();
  const added = ws.clipboard.add("x");

  server.refuse("unavailable");
  for (let second = 0; second < 30; second += 1) {
    server.say("ping", {});
    clock.pass(1_000);
  }
  const { length } = server.sent;
  clock.pass(5_000);

  assert.deepEqual(await outcome(added), { code: "unavailable" });
  assert.equal(server.sent.length, length);
});

test("a command that waits to be repeated goes over the next connection, once", () => {
  const world = setUpOpen();
  void world.ws.clipboard.add("x");
  world.server.refuse("unavailable");

  world.reconnect();
  assert.equal(world.server.sent.length, 1);
  world.server.answer([entry(1)]);
  world.clock.pass(5_000);

  assert.equal(world.server.sent.length, 1);
});
