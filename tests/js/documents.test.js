import assert from "node:assert/strict";
import { test } from "node:test";

import { collect, outcome, setUp, setUpOpen } from "./harness.js";
import { actions, ids, row, setUpLive, subscribed, tell } from "./views.js";

test("a view subscribes with what it was given", () => {
  const { ws, server } = setUpOpen();

  const scope = [{ fn: "origin", op: "==", val: "JFK" }];
  ws.documents("Flight", { scope, catalog: { gate: null }, showHidden: true });

  assert.deepEqual(server.sent, [
    {
      channel: "documents",
      id: "1",
      payload: {
        action: "subscribe",
        data: {
          class_name: "Flight",
          data_scope: [{ fn: "origin", op: "==", val: "JFK" }],
          catalog: { gate: null },
          show_hidden: true,
        },
      },
    },
  ]);
});

test("what is not given is not sent", () => {
  const { ws, server } = setUpOpen();

  ws.documents("Flight");

  assert.deepEqual(server.sent[0].payload.data, { class_name: "Flight" });
});

test("fields are a catalog without what is behind references", () => {
  const { ws, server } = setUpOpen();

  ws.documents("Flight", { fields: ["gate", "__proto__"] });

  assert.equal(JSON.stringify(server.sent[0].payload.data.catalog), '{"gate":null,"__proto__":null}');
  assert.throws(() => ws.documents("Flight", { fields: ["gate"], catalog: { gate: null } }), TypeError);
});

test("a scope in short is sent as it is", () => {
  const { ws, server } = setUpOpen();
  const scope = { origin: "JFK", delay: { ">=": 15, "<": 60 }, "airline.name": { in: ["UA", "B6"] } };

  ws.documents("Flight", { scope });

  assert.deepEqual(server.sent[0].payload.data.data_scope, scope);
});

test("the rows appear together when all are loaded", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const loads = collect(view, "load");
  const states = collect(view, "state");

  server.answer(subscribed(2));
  tell(server, "L", row("a"), "100");
  assert.deepEqual([view.state, view.rows.size, await outcome(view.ready)], ["loading", 0, undefined]);
  tell(server, "L", row("b"), "100");

  assert.deepEqual(ids(view), ["a", "b"]);
  assert.deepEqual([view.state, states, loads], ["live", ["live"], [view.rows]]);
  assert.equal(await view.ready, view);
});

test("a view without rows is loaded by the answer", async () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");

  server.answer(subscribed(0));

  assert.equal(view.state, "live");
  assert.equal(await view.ready, view);
});

test("a view made before the connection subscribes when it is open", () => {
  const { ws, server } = setUp();
  ws.documents("Flight");
  assert.deepEqual(server.sent, []);

  server.welcome();

  assert.deepEqual(actions(server), ["subscribe"]);
});

test("inserts and updates put rows, deletes and removals take them", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");

  tell(server, "I", row("c", { gate: 3 }), "101");
  tell(server, "U", row("a", { gate: 9 }), "102");
  tell(server, "D", row("b", { gate: 2 }), "103");
  tell(server, "R", row("c"), "104");

  assert.deepEqual([...view.rows], [["a", row("a", { gate: 9 })]]);
  assert.deepEqual(changes, [
    { op: "I", id: "c", row: row("c", { gate: 3 }), previous: null, after: undefined },
    { op: "U", id: "a", row: row("a", { gate: 9 }), previous: row("a", { gate: 1 }), after: undefined },
    { op: "D", id: "b", row: null, previous: row("b", { gate: 2 }), after: undefined },
    { op: "R", id: "c", row: null, previous: row("c", { gate: 3 }), after: undefined },
  ]);
});

test("an update of a row that was not there puts it, a delete of one is nothing", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");

  tell(server, "U", row("z"), "101");
  tell(server, "D", row("y"), "102");

  assert.ok(view.rows.has("z"));
  assert.equal(changes.length, 1);
});

test("changes during the load are part of it", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight");
  const changes = collect(view, "change");
  server.answer(subscribed(2));

  tell(server, "L", row("a", { gate: 1 }), "100");
  tell(server, "U", row("a", { gate: 2 }), "101");
  tell(server, "I", row("c"), "102");
  tell(server, "D", row("a"), "103");
  tell(server, "L", row("b"), "100");

  assert.deepEqual(ids(view), ["c", "b"]);
  assert.deepEqual(changes, []);
});

test("messages that make no sense are ignored", () => {
  const { view, server } = setUpLive();
  const changes = collect(view, "change");

  for (const payload of [null, [], "x", {}, { view: "v1" }, { view: "v1", op: "U", message: null }]) {
    server.say("documents", payload);
  }
  tell(server, "U", { gate: 1 }, "101");
  tell(server, "X", row("a"), "101");
  tell(server, "U", row("a"), "101", { view: "another" });
  tell(server, "U", row("a"), "101", { view: "__proto__" });

  assert.deepEqual(changes, []);
  assert.equal(view.rows.size, 2);
});

test("__proto__ is an id and a field like another", () => {
  const { view, server } = setUpLive();

  const row = '{"_id":"__proto__","__proto__":{"gate":1}}';
  server.raw(`{"channel":"documents","payload":{"op":"I","seq":"101","view":"v1","message":${row}}}`);

  assert.ok(view.rows.has("__proto__"));
  assert.equal(Object.prototype.gate, undefined);
});

test("a key that is an object counts by its content", () => {
  const { view, server } = setUpLive();

  tell(server, "I", row({ carrier: "UA", number: 1 }), "101");
  tell(server, "D", row({ carrier: "UA", number: 1 }), "102");

  assert.deepEqual(ids(view), ["a", "b"]);
});

test("what was granted is told", () => {
  const { ws, server } = setUpOpen();
  const view = ws.documents("Flight", { showHidden: true, orderBy: "-delay" });
  assert.deepEqual([view.showHidden, view.orderBy, view.limit], [false, null, null]);

  server.answer(subscribed(0, { show_hidden: true, order_by: ["-delay"], limit: 1000 }));

  assert.deepEqual([view.showHidden, view.orderBy, view.limit], [true, ["-delay"], 1000]);
});

test("a listener that throws does not keep a row from the others", (t) => {
  t.mock.method(console, "error", () => {});
  const { view, server } = setUpLive();
  view.on("change", () => {
    throw new Error("in a listener");
  });
  const changes = collect(view, "change");

  tell(server, "U", row("a", { gate: 3 }), "101");

  assert.deepEqual([changes.length, view.rows.get("a").gate], [1, 3]);
});

test("what is asked for cannot be changed afterwards", () => {
  const scope = [{ fn: "origin", op: "==", val: "JFK" }];
  const world = setUpOpen();
  world.ws.documents("Flight", { scope });

  scope[0].val = "EWR";
  world.reconnect();

  assert.equal(world.server.sent[0].payload.data.data_scope[0].val, "JFK");
});

test("a view needs the name of a class", () => {
  const { ws } = setUp();

  assert.throws(() => ws.documents(""), TypeError);
  assert.throws(() => ws.documents(undefined), TypeError);
});
