/** One row of the board: made from the document, changed cell by cell. */

import { make, pageAddress, replay, setText } from "./dom.js";
import { hour } from "./time.js";

/**
 * Make an empty row.
 * @param {string} id
 * @param {HTMLButtonElement} button puts the flight into the clipboard
 */
export function makeRow(id, button) {
  const cell = (/** @type {string} */ name, /** @type {Node[]} */ ...children) => make("td", { role: "cell", class: name }, ...children);
  const link = make("a", { href: pageAddress(`flights/${id}`) });
  return make(
    "tr",
    { role: "row", "data-id": id },
    cell("time", make("time")),
    make("th", { role: "rowheader", scope: "row", class: "flight" }, link, make("small")),
    cell("to", make("span"), make("small")),
    cell("from"),
    cell("gate", make("span")),
    cell("state", make("span", { class: "status" }), make("small")),
    cell("act", button),
  );
}

/**
 * Show a document in its row; what changed flips, if it may.
 * @param {HTMLElement} row
 * @param {Record<string, any>} flight
 * @param {{ isAnimated: boolean }} options
 */
export function fillRow(row, flight, { isAnimated }) {
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (row.querySelector(selector));
  const flipped = [];
  const status = flight.status[0].toUpperCase() + flight.status.slice(1);
  row.dataset.status = flight.status;

  const time = find(".time time");
  time.setAttribute("datetime", flight.scheduled);
  setText(time, hour(flight.scheduled));
  if (showNewTime(row, flight)) flipped.push(find(".new-time"));
  setText(find(".flight a"), flight.flight);
  setText(find(".flight small"), flight.airline?.name ?? "");
  setText(find(".to span"), flight.destination_name);
  setText(find(".to small"), flight.destination);
  setText(find(".from"), flight.origin);
  if (setText(find(".gate span"), flight.gate ?? "")) flipped.push(find(".gate span"));
  if (setText(find(".status"), status)) flipped.push(find(".status"));
  const isRemarked = setText(find(".state small"), flight.remark ?? "");

  const changed = flipped.filter((element) => element !== null);
  if (!isAnimated || (changed.length === 0 && !isRemarked)) return;
  for (const element of changed) replay(element, "flip");
  replay(row, "changed");
}

/**
 * @param {HTMLElement} row
 * @param {Record<string, any>} flight
 */
function showNewTime(row, flight) {
  const cell = /** @type {HTMLElement} */ (row.querySelector(".time"));
  const shown = cell.querySelector(".new-time");
  if (flight.estimated === flight.scheduled) {
    shown?.remove();
    return false;
  }
  const element = shown ?? make("b", { class: "new-time" });
  if (!shown) cell.append(element);
  return setText(element, hour(flight.estimated));
}
