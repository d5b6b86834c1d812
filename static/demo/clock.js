/** The clock of the replay: moved by the server, and by itself between two of its messages. */

import { byId, setText } from "./dom.js";
import { hour } from "./time.js";

/** The clock goes on by itself at most this long: a replay that stands still shows. */
const ALONE_MS = 3000;
const LOOK_MS = 250;

/** @param {import("../wsflask/client.js").Client} ws */
export function showClock(ws) {
  const box = byId("clock");
  if (!box) return;
  let now = Date.parse(box.dataset.now);
  let speed = Number(box.dataset.speed);
  let since = performance.now();

  const set = (/** @type {any} */ row) => {
    if (!row) return;
    now = Date.parse(row.now);
    if (row.speed !== speed) press(row.speed);
    speed = row.speed;
    since = performance.now();
  };
  const view = ws.documents("Clock", { catalog: { now: null, speed: null } });
  view.on("load", (rows) => set([...rows.values()][0]));
  view.on("change", ({ row }) => set(row));
  setInterval(() => {
    const aloneMs = Math.min(performance.now() - since, ALONE_MS);
    setText(byId("clock-time"), hour(now + aloneMs * speed * 60));
  }, LOOK_MS);
}

/** @param {number} speed */
function press(speed) {
  for (const button of document.querySelectorAll(".speed button")) {
    button.setAttribute("aria-pressed", String(Number(button.getAttribute("value")) === speed));
  }
}
