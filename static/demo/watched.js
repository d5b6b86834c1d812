/** What the flights in the clipboard do right now: one live view of just these flights. */

/** @typedef {import("../wsflask/client.js").Client} Client */

const CATALOG = { origin: null, gate: null, status: null };

export class Watched {
  #ws;
  #changed;
  #key = "";
  /** @type {import("../wsflask/view.js").View | null} */
  #view = null;

  /**
   * @param {Client} ws
   * @param {() => void} changed called when one of the flights changed
   */
  constructor(ws, changed) {
    this.#ws = ws;
    this.#changed = changed;
  }

  /**
   * Watch these flights, and no others.
   * @param {string[]} ids
   */
  watch(ids) {
    const key = JSON.stringify([...new Set(ids)].sort());
    if (key === this.#key) return;
    this.#key = key;
    this.#view?.close();
    this.#view = null;
    if (ids.length === 0) return;
    const scope = [{ fn: "_id", op: /** @type {"in"} */ ("in"), val: JSON.parse(key) }];
    this.#view = this.#ws.documents("Flight", { scope, catalog: CATALOG });
    this.#view.on("load", this.#changed);
    this.#view.on("change", this.#changed);
  }

  /**
   * Say where a flight is, if that is known by now.
   * @param {string} id
   */
  say(id) {
    const row = this.#view?.rows.get(id);
    return row ? `${row.origin} ${row.gate} · ${row.status}` : `from ${id.split("-").at(-1)}`;
  }
}
