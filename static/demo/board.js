/** The board: the flights of a live view, in order, as the filter has it. */

import { byId, make, setText } from "./dom.js";
import { fillRow, makeRow } from "./rows.js";
import { sayFailed } from "./toasts.js";

const PAGE = 60;
/** More changes at once than that are shown without animation. */
const ANIMATED = 40;
const LEAVING_MS = 400;
const SKELETONS = 8;
const STILL_TO_LEAVE = ["scheduled", "delayed", "boarding"];

/** The fields that the board shows; the reference to the airline is expanded to its name. */
const CATALOG = {
  flight: null, origin: null, destination: null, destination_name: null, scheduled: null, estimated: null,
  gate: null, status: null, delay: null, remark: null, airline: { name: null },
};

/**
 * @param {import("../wsflask/client.js").Client} ws
 * @param {ReturnType<typeof import("./clips.js").showClipboard>} clips
 */
export function showBoard(ws, clips) {
  const form = byId("filters");
  if (form) new Board(ws, clips, form);
}

class Board {
  #ws;
  #clips;
  #form;
  #body = byId("rows");
  #limit = PAGE;
  #isDrawing = false;
  /** Ids that changed since the last drawing. @type {Set<string>} */
  #changed = new Set();
  /** @type {import("../wsflask/view.js").View | null} */
  #view = null;
  /** Rows of the table by flight. @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {import("../wsflask/client.js").Client} ws
   * @param {ReturnType<typeof import("./clips.js").showClipboard>} clips
   * @param {any} form
   */
  constructor(ws, clips, form) {
    this.#ws = ws;
    this.#clips = clips;
    this.#form = form;
    this.#adopt();
    form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => this.#filter());
    byId("find").addEventListener("input", () => this.#draw());
    byId("more").addEventListener("click", () => {
      this.#limit += PAGE;
      this.#draw();
    });
    byId("apply").hidden = true;
    this.#subscribe();
  }

  /** Take over the rows that came with the page. */
  #adopt() {
    for (const row of this.#body.querySelectorAll("tr[data-id]")) {
      const label = row.querySelector(".flight a").textContent;
      row.querySelector(".act").replaceChildren(this.#clips.button(row.dataset.id, label));
      this.#rows.set(row.dataset.id, row);
    }
  }

  #filter() {
    const address = new URL(location.href);
    for (const { name, value, disabled } of this.#form.querySelectorAll("select")) {
      if (value === "" || disabled) address.searchParams.delete(name);
      else address.searchParams.set(name, value);
    }
    history.replaceState(null, "", address);
    this.#limit = PAGE;
    this.#rows.clear();
    this.#body.replaceChildren(...Array.from({ length: SKELETONS }, skeleton));
    byId("nothing").hidden = byId("more").hidden = true;
    setText(byId("summary"), "Loading …");
    this.#subscribe();
  }

  #subscribe() {
    this.#view?.close();
    byId("board").setAttribute("aria-busy", "true");
    const view = (this.#view = this.#ws.documents("Flight", { scope: this.#scope(), catalog: CATALOG }));
    const isCurrent = () => view === this.#view;
    view.on("load", () => isCurrent() && this.#loaded());
    view.on("change", ({ id, op }) => {
      if (!isCurrent()) return;
      if (op !== "L") this.#changed.add(/** @type {string} */ (id));
      this.#draw();
    });
    view.on("error", (error) => isCurrent() && sayFailed(error));
  }

  /** @returns {import("../wsflask/wish.js").Condition[]} */
  #scope() {
    const { origin, carrier, status } = this.#form.elements;
    /** @type {import("../wsflask/wish.js").Condition[]} */
    const scope = [];
    if (origin.value) scope.push({ fn: "origin", op: "==", val: origin.value });
    if (carrier.value) scope.push({ fn: "carrier", op: "==", val: carrier.value });
    if (status.value === "") scope.push({ fn: "status", op: "in", val: STILL_TO_LEAVE });
    else if (status.value !== "all") scope.push({ fn: "status", op: "==", val: status.value });
    return scope;
  }

  #loaded() {
    byId("board").setAttribute("aria-busy", "false");
    for (const row of this.#body.querySelectorAll(".skeleton")) row.remove();
    this.#changed.clear();
    this.#draw();
  }

  /** Draw once for all changes of a frame. */
  #draw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      if (this.#view?.rows.size || this.#view?.state === "live") this.#show();
    });
  }

  #show() {
    const all = this.#found();
    const shown = all.slice(0, this.#limit);
    const isAnimated = this.#changed.size <= ANIMATED && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#drop(new Set(shown.map((flight) => flight._id)), isAnimated);
    let place = this.#body.firstElementChild;
    for (const flight of shown) {
      while (place?.classList.contains("leaving")) place = place.nextElementSibling;
      const row = this.#row(flight);
      fillRow(row, flight, { isAnimated: isAnimated && this.#changed.has(flight._id) });
      if (row === place) place = place.nextElementSibling;
      else this.#body.insertBefore(row, place);
    }
    this.#changed.clear();
    byId("nothing").hidden = all.length > 0;
    byId("more").hidden = all.length <= this.#limit;
    setText(byId("summary"), summary(all));
  }

  #row(/** @type {any} */ flight) {
    const known = this.#rows.get(flight._id);
    if (known) return known;
    const row = makeRow(flight._id, this.#clips.button(flight._id, flight.flight));
    this.#rows.set(flight._id, row);
    return row;
  }

  /** Take rows away that are no longer shown; what left the view fades. */
  #drop(/** @type {Set<string>} */ shown, /** @type {boolean} */ isAnimated) {
    for (const [id, row] of this.#rows) {
      if (shown.has(id)) continue;
      this.#rows.delete(id);
      if (isAnimated && this.#changed.has(id) && !this.#view?.rows.has(id)) {
        row.classList.add("leaving");
        setTimeout(() => row.remove(), LEAVING_MS);
      } else row.remove();
    }
  }

  #found() {
    const words = byId("find").value.trim().toLowerCase();
    const flights = [...(this.#view?.rows.values() ?? [])];
    const found = words === "" ? flights : flights.filter((flight) => textOf(flight).includes(words));
    return found.sort((a, b) => compare(a.estimated, b.estimated) || compare(a._id, b._id));
  }
}

/** @param {any} flight */
function textOf(flight) {
  const { origin, gate, destination, destination_name, airline } = flight;
  return `${flight.flight} ${flight.flight.replace(" ", "")} ${destination} ${destination_name} ${origin} ${gate} ${airline?.name}`.toLowerCase();
}

function compare(/** @type {any} */ a, /** @type {any} */ b) {
  return a < b ? -1 : Number(a > b);
}

/** @param {any[]} flights */
function summary(flights) {
  const parts = [`${flights.length} flight${flights.length === 1 ? "" : "s"}`];
  for (const status of ["boarding", "delayed", "cancelled"]) {
    const count = flights.filter((flight) => flight.status === status).length;
    if (count > 0 && count < flights.length) parts.push(`${count} ${status}`);
  }
  return parts.join(" · ");
}

function skeleton() {
  const cells = Array.from({ length: 7 }, () => make("td", { role: "cell" }, make("i")));
  return make("tr", { role: "row", class: "skeleton", "aria-hidden": "true" }, ...cells);
}
