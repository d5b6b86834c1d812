/** The server's part of a view, in the words of a test. */

import { setUpOpen } from "./harness.js";

export const row = (id, rest = {}) => ({ _id: id, ...rest });

/** The answer to a subscription. */
export const subscribed = (rows, rest = {}) => ({
  view: "v1",
  class_name: "Flight",
  data_scope: [],
  catalog: null,
  show_hidden: false,
  order_by: null,
  limit: null,
  seq: "100",
  state: "loaded",
  rows,
  ...rest,
});

/** A message about a row; `rest` may hold `view` and `after`. */
export const tell = (server, op, message, seq, rest = {}) =>
  server.say("documents", { doc_class: "Flight", op, seq, view: "v1", message, ...rest });

/** A message about the whole view: reset, moved, end. */
export const tellAll = (server, op, rest = {}) => server.say("documents", { doc_class: "Flight", op, view: "v1", ...rest });

export const actions = (server) => server.sent.map(({ payload }) => payload.action);

export const ids = (view) => [...view.rows.keys()];

/** A live view with rows a and b. */
export function setUpLive(options) {
  const world = setUpOpen();
  const view = world.ws.documents("Flight", options);
  world.server.answer(subscribed(2));
  tell(world.server, "L", row("a", { gate: 1 }), "100");
  tell(world.server, "L", row("b", { gate: 2 }), "100");
  return { ...world, world, view, server: world.server };
}
