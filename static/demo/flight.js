/** The page of one flight: its facts change under the reader's eyes. */

import { byId, replay, setText } from "./dom.js";
import { hour } from "./time.js";

const STILL_TO_LEAVE = ["scheduled", "delayed", "boarding"];

/** How each field is shown. @type {Record<string, (value: any) => string>} */
const SHOWN = {
  status: (status) => status[0].toUpperCase() + status.slice(1),
  gate: (gate) => gate ?? "",
  scheduled: hour,
  estimated: hour,
  departed: hour,
  landed: hour,
  delay: (delay) => (delay ? `${delay} min` : "–"),
  remark: (remark) => remark ?? "",
  crew_remark: (remark) => remark || "No crew remark.",
};

/**
 * @param {import("../wsflask/client.js").Client} ws
 * @param {ReturnType<typeof import("./clips.js").showClipboard>} clips
 */
export function showFlight(ws, clips) {
  const page = byId("flight");
  if (!page) return;
  const { id, label } = page.dataset;
  byId("ticket-foot").append(clips.button(id, label, true));

  const isSupervisor = document.body.dataset.supervisor === "true";
  const view = ws.documents("Flight", {
    scope: [{ fn: "_id", op: "==", val: id }],
    catalog: Object.fromEntries(Object.keys(SHOWN).filter((name) => isSupervisor || name !== "crew_remark").map((name) => [name, null])),
    showHidden: isSupervisor,
  });
  const show = () => {
    const row = view.rows.get(id);
    byId("gone").hidden = row !== undefined;
    if (row) fill(page, row);
  };
  view.on("load", show);
  view.on("change", show);
}

/**
 * @param {HTMLElement} page
 * @param {Record<string, any>} row
 */
function fill(page, row) {
  page.dataset.status = row.status;
  const isOver = !STILL_TO_LEAVE.includes(row.status);
  for (const field of document.querySelectorAll("[data-before-departure] :is(input:not([type=hidden]), button)")) {
    /** @type {HTMLInputElement | HTMLButtonElement} */ (field).disabled = isOver;
  }
  for (const [name, say] of Object.entries(SHOWN)) {
    const field = page.querySelector(`[data-field="${name}"]`);
    if (!field || !(name in row)) continue;
    const place = /** @type {HTMLElement} */ (field.querySelector("span") ?? field);
    if (setText(place, say(row[name]))) replay(place, "flip");
  }
}
