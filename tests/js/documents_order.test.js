import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, setUpOpen } from "./harness.js";
import { row, setUpLive, subscribed, tell, tellAll } from "./views.js";

/** A live view of the rows a, b and c in this order. */
function setUpOrdered() {
  const world = setUpOpen();
  const view = world.ws.documents("Flight", { orderBy: ["-delay", "flight"], limit: 3 });
  world.server.answer(subscribed(3, { order_by: ["-delay", "flight"], limit: 3 }));
  tell(world.server, "L", row("a"), "", { after: null });
  tell(world.server, "L", row("b"), "", { after: "a" });
  tell(world.server, "L", row("c"), "100", { after: "b" });
  return { ...world, world, view, server: world.server };
}

const order = (view) => view.list.map(({ _id }) => _id).join(" ");

test("an order and a limit are asked for", () => {
  const { server } = setUpOrdered();

  const { order_by: orderBy, limit } = server.sent[0].payload.data;
  assert.deepEqual([orderBy, limit], [["-delay", "flight"], 3]);
});

test("the list of a view without an order has the rows as they came", () => {
  const { view, server } = setUpLive();

  tell(server, "I", row("c"), "101");
  tell(server, "U", row("a", { gate: 9 }), "102");
  tell(server, "D", row("b"), "103");
  tell(server, "I", row("b"), "104");

  assert.equal(order(view), "a c b");
  assert.equal(view.list[0], view.rows.get("a"));
});

test("the list is another array after each change, and the same between two", () => {
  const { view, server } = setUpLive();
  const before = view.list;

  assert.equal(view.list, before);
  tell(server, "U", row("a"), "101");

  assert.notEqual(view.list, before);
});

for (const [what, op, id, after, expected] of [
  ["a row that is new at the front", "I", "x", null, "x a b c"],
  ["a row that is new in the middle", "I", "x", "a", "a x b c"],
  ["a row that is new at the end", "I", "x", "c", "a b c x"],
  ["a row that moves up", "U", "c", null, "c a b"],
  ["a row that moves down", "U", "a", "b", "b a c"],
  ["a row that stays", "U", "b", "a", "a b c"],
]) {
  test(`${what} is put behind the one that the server names`, () => {
    const { view, server } = setUpOrdered();
    const changes = collect(view, "change");

    tell(server, op, row(id), "101", { after });

    assert.equal(order(view), expected);
    assert.equal(changes[0].after, after);
  });
}

test("a row that leaves the window makes room", () => {
  const { view, server } = setUpOrdered();

  tell(server, "R", row("c"), "101");
  tell(server, "I", row("x"), "101", { after: null });

  assert.equal(order(view), "x a b");
});

test("keys that are objects are put in order too", () => {
  const { view, server } = setUpOrdered();
  const changes = collect(view, "change");

  tell(server, "I", row({ n: 1 }), "101", { after: "a" });
  tell(server, "I", row({ n: 2 }), "102", { after: { n: 1 } });

  assert.deepEqual(view.list.map(({ _id }) => _id), ["a", { n: 1 }, { n: 2 }, "b", "c"]);
  assert.equal(changes[1].after, '{"n":1}');
});

test("changes during the load are put in their places", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight", { orderBy: "gate" });
  server.answer(subscribed(2, { order_by: ["gate"] }));

  tell(server, "L", row("b"), "", { after: null });
  tell(server, "I", row("a"), "101", { after: null });
  tell(server, "L", row("c"), "100", { after: "b" });

  assert.equal(order(view), "a b c");
});

test("what was missed is put in its place, and a reset brings its own order", () => {
  const { view, world } = setUpOrdered();

  world.reconnect();
  assert.deepEqual(world.server.sent[0].payload.data.rows, ["a", "b", "c"]);
  world.server.answer(subscribed(2, { state: "resumed" }));
  tell(world.server, "R", row("b"), "");
  tell(world.server, "U", row("c"), "110", { after: null });
  assert.equal(order(view), "c a");
  tellAll(world.server, "reset", { seq: "120", rows: 2 });
  tell(world.server, "L", row("a"), "", { after: null });
  tell(world.server, "L", row("c"), "120", { after: "a" });

  assert.equal(order(view), "a c");
});
