import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, setUp, setUpOpen } from "./harness.js";

const member = (user, tabs = { 1: {} }) => ({ user, about: { name: user }, tabs });
const asked = ({ sent }) => sent.filter(({ channel }) => channel === "presence").map(({ payload }) => payload);
const load = (room, ...members) => ({ room, you: "ada", members, total: members.length, next: null });
const news = (room, rest) => ({ room, joined: [], changed: [], left: [], total: 0, ...rest });
const users = (room) => [...room.members.keys()];

test("who joins gets the members, then who comes, changes and goes", () => {
  const { ws, server } = setUpOpen();
  const room = ws.presence("a", { editing: true });
  const [loads, changes] = [collect(room, "load"), collect(room, "change")];

  const [{ action, data }] = asked(server);
  assert.deepEqual([action, data.room, data.meta], ["join", "a", { editing: true }]);
  assert.match(data.tab, /^[\w.-]{1,64}$/);
  server.answer(load("a", member("ada"), member("bob")));
  server.say("presence", news("a", { joined: [member("eve")], changed: [member("bob", {})], left: ["ada"], total: 2 }));

  assert.deepEqual(loads.map(({ you }) => you), ["ada"]);
  assert.deepEqual(users(room), ["bob", "eve"]);
  assert.deepEqual(room.members.get("bob").tabs, {});
  assert.equal(room.total, 2);
  assert.deepEqual(changes.map(({ left }) => left), [["ada"]]);
});

test("rooms do not hear of one another, and have one object each", () => {
  const { ws, server } = setUpOpen();
  const [one, other] = [ws.presence(), ws.presence("a")];

  server.say("presence", news("a", { joined: [member("ada")] }));
  server.say("presence", news("nowhere", { joined: [member("ada")] }));

  assert.deepEqual([users(one), users(other)], [[], ["ada"]]);
  assert.equal(ws.presence(""), one);
});

test("a room that was entered before there is a connection is joined with it", () => {
  const { ws, server } = setUp();
  ws.presence();

  server.welcome();

  assert.deepEqual(asked(server).map(({ action }) => action), ["join"]);
});

test("after a lost connection a room is joined again as it is then, and its members are those of now", () => {
  const world = setUpOpen();
  const room = world.ws.presence("a", { n: 1 });
  world.server.answer(load("a", member("ada"), member("bob")));

  world.server.end();
  room.update({ n: 2 });
  world.comeBack();
  world.server.welcome();

  assert.deepEqual(asked(world.server).map(({ action, data }) => [action, data.meta]), [["join", { n: 2 }]]);
  assert.deepEqual(users(room), ["ada", "bob"], "nobody is gone meanwhile");
  world.server.answer(load("a", member("bob")));
  assert.deepEqual(users(room), ["bob"]);
});

test("what was on its way with a lost connection is told by the next join, and is no error", () => {
  const world = setUpOpen();
  const room = world.ws.presence("a", { n: 1 });
  const errors = collect(room, "error");
  world.server.answer(load("a"));

  room.update({ n: 2 });
  world.server.end();
  world.comeBack();
  world.server.welcome();

  assert.deepEqual(asked(world.server).map(({ action, data }) => [action, data.meta]), [["join", { n: 2 }]]);
  assert.deepEqual(errors, []);
});

test("a room that was left is not joined again", () => {
  const world = setUpOpen();
  const room = world.ws.presence("a");
  world.server.answer(load("a"));

  room.update({ n: 1 });
  world.server.answer(null);
  room.leave();
  world.server.answer(null);
  assert.deepEqual(asked(world.server).map(({ action }) => action), ["join", "update", "leave"]);
  world.reconnect();

  assert.deepEqual(asked(world.server), []);
  assert.notEqual(world.ws.presence("a"), room);
});

test("a refusal is told, and may be tried again", () => {
  const { ws, server } = setUpOpen();
  const room = ws.presence("a");
  const errors = collect(room, "error");

  server.refuse("forbidden");
  room.join();
  server.answer(load("a"));
  server.say("presence", { room: "a", code: "forbidden", message: "That is not allowed." });

  assert.deepEqual(errors.map(({ code }) => code), ["forbidden", "forbidden"]);
  assert.equal(errors[1].message, "That is not allowed.");
});

test("a tab has one name, over a reload too; its copy has another", () => {
  const tabOf = ({ ws, server }) => {
    server.welcome();
    ws.presence();
    return asked(server)[0].data.tab;
  };
  const world = setUp();
  const first = tabOf(world);

  const copied = tabOf(world.reload({ sessionStorage: world.page.sessionStorage.copy() }));
  const reloaded = tabOf(world.reload());

  assert.notEqual(copied, first);
  assert.equal(reloaded, first);
});

test("without storage there is a name all the same", () => {
  const page = { window: new EventTarget(), document: new EventTarget() };
  const world = setUp({ page });
  world.server.welcome();
  world.ws.presence();

  assert.ok(asked(world.server)[0].data.tab);
});
