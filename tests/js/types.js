/** Wrong calls that tsc has to refuse, and right ones that it has to take; never run. */

import { CLOSE_CODES, Client, ERROR_CODES, WSFlaskError, connect } from "../../static/wsflask.js";

/** @type {Client} */
const ws = connect({ url: "/wsflask/ws", port: 8101, start: false });

// --- options

// @ts-expect-error: an option that does not exist
connect({ adress: "/ws" });
// @ts-expect-error: the clock has no setTimeout
connect({ clock: { now: () => 0 } });
// @ts-expect-error: random is a function
connect({ random: 0.5 });

// --- the client

/** @type {"idle" | "connecting" | "open" | "waiting" | "closed"} */
const state = ws.state;
// @ts-expect-error: the state is told, not set
ws.state = state;
/** @type {() => void} */
const stop = ws.on("open", ({ limits, heartbeatMs }) => limits.burst + heartbeatMs);
stop();
ws.on("closed", ({ code }) => code === CLOSE_CODES.SESSION_ENDED);
ws.on("error", (error) => error.code === "rate_limited");
ws.on("state", ({ state, previous, retryMs = 0 }) => [state, previous, retryMs]);
// @ts-expect-error: no such event
ws.on("opened", () => {});
// @ts-expect-error: no such event detail
ws.on("closed", ({ reson }) => reson);
// @ts-expect-error: a listener is missing
ws.on("open");
// @ts-expect-error: no such close code
CLOSE_CODES.SESSION_OVER;
// @ts-expect-error: the codes are fixed
ERROR_CODES.push("other");
// @ts-expect-error: private
ws.messenger;

ws.on("stream", ({ stream, state, missed }) => state === "resumed" && `${stream} ${missed + 1}`);
// @ts-expect-error: no such state of a stream
ws.on("stream", ({ state }) => state === "lost");
ws.on("health", ({ degraded }) => degraded === ws.degraded);
// @ts-expect-error: health is told, not set
ws.degraded = false;

// --- notifications

/** @type {number} */
const unread = ws.notifications.unread;
// @ts-expect-error: the count is the server's
ws.notifications.unread = unread + 1;
ws.notifications.on("change", ({ unread, last }) => `${unread} ${last?.label}`);
// @ts-expect-error: there may be no last
ws.notifications.on("change", ({ last }) => last.label);
ws.notifications.on("arrival", ({ label, is_read }) => `${label} ${is_read}`);
/** @type {Promise<number>} */
const marked = ws.notifications.markRead("585a");
// @ts-expect-error: an id is a string
ws.notifications.markRead(1);
void ws.notifications.list({ before: null, limit: 10, unreadOnly: true }).then(({ notifications, next }) => [
  notifications[0].id,
  next,
]);
// @ts-expect-error: the option is called unreadOnly
ws.notifications.list({ unread_only: true });

// --- clipboard

ws.clipboard.on("change", (entries) => entries.map(({ id, label }) => `${id} ${label}`));
for (const entry of ws.clipboard.entries) {
  // @ts-expect-error: only a reference has a model
  entry.model;
  if (entry.kind === "reference") entry.missing && entry.model;
}
void ws.clipboard.load("Flight", ["a"]);
// @ts-expect-error: ids are a list
ws.clipboard.load("Flight", "a");
// @ts-expect-error: an entry's id is a number
ws.clipboard.remove("1");
// @ts-expect-error: flush takes nothing
ws.clipboard.flush("all");

// --- documents

const view = ws.documents("Flight", {
  scope: [{ fn: "origin", op: "==", val: "JFK" }],
  catalog: { flight: null, airline: { name: null }, aircraft: false },
  showHidden: true,
});
view.on("change", ({ op, id, row, previous }) => [op, id, row?.gate, previous?.gate]);
view.on("load", (rows) => rows.size);
view.on("error", (error) => error instanceof WSFlaskError);
void view.ready.then(({ rows }) => rows.get("a")?.gate);
// @ts-expect-error: rows are the server's
view.rows.set("a", {});
// @ts-expect-error: no such operator
ws.documents("Flight", { scope: [{ fn: "origin", op: "=~", val: "J.*" }] });
// @ts-expect-error: a catalog has null, booleans and catalogs
ws.documents("Flight", { catalog: { gate: "yes" } });
// @ts-expect-error: a class is named
ws.documents();
// @ts-expect-error: there may be no row
view.on("change", ({ row }) => row.gate);

ws.documents("Order", { scope: { status: "open", total: { ">=": 100, "<": 500 }, kind: { in: ["a", "b"] } } });
// @ts-expect-error: a list is compared with "in"
ws.documents("Order", { scope: { kind: ["a", "b"] } });
// @ts-expect-error: no such operator
ws.documents("Order", { scope: { total: { "=~": 1 } } });
const newest = ws.documents("Order", { fields: ["total"], orderBy: ["-placed", "customer"], limit: 20 });
// @ts-expect-error: fields are a list
ws.documents("Order", { fields: "total" });
// @ts-expect-error: the option is called orderBy
ws.documents("Order", { order_by: "total" });
newest.on("change", ({ after }) => after === null);
/** @type {number | null} */
const limit = newest.limit;
newest.list.map(({ total }) => total + limit);
// @ts-expect-error: the list is the server's
newest.list.push({});
// @ts-expect-error: it may not have failed
newest.error.code;
for await (const { op, id, row, previous } of newest) {
  // @ts-expect-error: there may be no row
  row.total;
  [op, id, row?.total, previous?.total];
}

// --- what was written, and pages that are live

void fetch("/orders", { method: "POST" }).then((response) => ws.caughtUp(response));
void ws.caughtUp("07463021948573941761").then(() => newest.list);
// @ts-expect-error: a position is a string
ws.caughtUp(1);
for (const view of ws.live()) view.on("error", ({ code }) => code);
ws.live(document.createElement("table"))[0].close();
// @ts-expect-error: an element, not a selector
ws.live("#orders");

// --- presence

const room = ws.presence("flight:7", { editing: true });
room.on("load", ({ you }) => room.members.get(you)?.tabs);
room.on("change", ({ joined, left }) => [joined[0].about.name, left[0].length, room.total]);
room.on("error", ({ code }) => code === "forbidden");
room.update({ editing: false });
// @ts-expect-error: what a tab shows is an object
room.update("editing");
// @ts-expect-error: a room is a name
ws.presence(7);
// @ts-expect-error: who left is named by id
room.on("change", ({ left }) => left[0].user);

// --- channels

const channel = ws.channel("weather");
channel.on("message", (payload) => payload);
void channel.request({ city: "NYC" }, { timeoutMs: 2000 });
// @ts-expect-error: the unit is part of the name
channel.request({}, { timeout: 2 });
// @ts-expect-error: send answers nothing
channel.send({}).then(() => {});

channel.on("reset", ({ stream, channels }) => [stream, ...channels]);
void channel.command({ action: "book", seat: "12A" }, { timeoutMs: 5000 }).then((answer) => answer);
// @ts-expect-error: a command is an object, for it gets a name
channel.command("book");
// @ts-expect-error: what happens to a command when the connection is lost is no option
channel.command({}, { lost: "unknown" });

export { marked };
