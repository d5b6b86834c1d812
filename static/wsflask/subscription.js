/** The rows of one subscription, as the server's messages make them; no I/O. */

import { isObject } from "./envelope.js";
import { Rows, rowKey } from "./rows.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {"loading" | "live" | "stale" | "failed" | "closed"} ViewState */

/**
 * @typedef {object} Shown rows that are in the page before anything was asked for
 * @property {string} [seq] as of when
 * @property {string} [view] the server's name for it
 * @property {unknown[]} ids
 */

/**
 * @typedef {object} Granted what the server made of the wish
 * @property {boolean} showHidden whether hidden fields are shown
 * @property {unknown} orderBy null: in no order
 * @property {number | null} limit null: all rows
 */

/**
 * @typedef {object} RowChange
 * @property {"L" | "I" | "U" | "D" | "R"} op insert, update, delete, removed from view (L: loaded again, because what
 *   the user may read changed)
 * @property {unknown} id
 * @property {Row | null} row as it is now; null after D and R
 * @property {Row | null} previous as it was before, if it was there
 * @property {unknown} [after] in an ordered view, of a row that is there: the id of the one in front, null: it is first
 */

/**
 * @typedef {object} ViewEvents
 * @property {RowChange} change one row changed
 * @property {ReadonlyMap<unknown, Row>} load all rows are there: at first, and after each reset
 * @property {{ rows: number }} reset continuity was lost: that many rows are loaded anew, then comes `load`
 * @property {ViewState} state
 * @property {import("./errors.js").WSFlaskError} error the server refused it, or it is tried again
 */

/** @typedef {(event: keyof ViewEvents | "joined" | "refused", value: any) => void} Sink */

/** Load, insert, update, delete, removed from view. */
const OPS = new Set(["L", "I", "U", "D", "R"]);

const UTF8 = new TextEncoder();

/** What the server was asked for, and the rows it has told so far. */
export class Subscription {
  /** @type {ViewState} */
  state = "loading";
  /** Why it failed. @type {import("./errors.js").WSFlaskError | null} */
  error = null;
  /** Whether all rows were there once. */
  isLoaded = false;
  /** @type {Granted} */
  granted = { showHidden: false, orderBy: null, limit: null };
  /** @type {string | undefined} */
  viewId;
  /** Who is told of it; none left: it ends. @type {Set<Sink>} */
  sinks = new Set();
  /** Whether it has to be asked for, and whether it is being asked for. */
  isWanted = true;
  isAsked = false;
  failures = 0;
  #rows = new Rows();
  /** @type {string | undefined} */
  #seq;
  /** Rows of a load under way: they replace the old ones together, so that nothing flashes. */
  #fresh = /** @type {Rows | null} */ (null);
  /** @type {string | undefined} */
  #freshSeq;
  /** Messages to come of the load or of what was missed. */
  #left = 0;

  /**
   * @param {string} key
   * @param {import("./wish.js").Wish} wish
   * @param {Shown} [shown]
   */
  constructor(key, wish, shown) {
    this.key = key;
    this.wish = wish;
    if (!shown) return;
    for (const id of shown.ids) this.#rows.change(rowKey(id), { _id: id });
    this.#seq = shown.seq;
    this.viewId = shown.view;
    this.isLoaded = true;
    this.state = "stale";
  }

  /** By key. */
  get rows() {
    return this.#rows.byKey;
  }

  /** In order. */
  get list() {
    return this.#rows.list;
  }

  /**
   * Data of the request that subscribes, or that resumes after what was seen last: with the ids of the rows that are
   * held, so that the server can tell which of them are gone, unless they take too much room.
   * @param {number} roomBytes
   */
  request(roomBytes) {
    if (this.#seq === undefined) return this.wish;
    const seen = { ...this.wish, start_seq: this.#seq, view: this.viewId };
    const held = { ...seen, rows: this.list.map(({ _id }) => _id) };
    return UTF8.encode(JSON.stringify(held)).length < roomBytes ? held : seen;
  }

  /**
   * Take the server's answer to the request.
   * @param {Record<string, any>} answer
   */
  begin({ view, state, seq, rows, show_hidden: showHidden, order_by: orderBy = null, limit = null }) {
    this.viewId = view;
    this.granted = { showHidden: showHidden === true, orderBy, limit };
    this.failures = 0;
    if (state === "resumed" && this.isLoaded) {
      this.#left = count(rows);
      if (this.#left === 0) this.#enter("live");
    } else this.#load(rows, seq, state === "reset");
  }

  /**
   * Take a message about the view.
   * @param {Record<string, any>} message
   */
  apply({ op, seq, rows, message, after: front }) {
    if (op === "reset") return this.#load(rows, seq, true);
    if (!OPS.has(op) || !isObject(message) || message._id === undefined) return;
    const id = rowKey(message._id);
    const after = rowKey(front);
    const row = op === "D" || op === "R" ? null : message;
    const previous = (this.#fresh ?? this.#rows).change(id, row, after);
    if (!this.#fresh || op !== "L" || seq > (this.#freshSeq ?? "")) this.#advance(seq);
    if (this.#fresh) {
      if (op === "L") this.#left -= 1;
      if (this.#left === 0) this.#loaded();
      return;
    }
    if (row || previous) this.emit("change", { op, id, row, previous, after });
    if (this.#left > 0 && --this.#left === 0) this.#enter("live");
  }

  /**
   * What the user may read changed: the view has another name, and its rows stay but for what is told next.
   * @param {Record<string, any>} message
   */
  move({ to, seq }) {
    this.viewId = to;
    this.#advance(seq);
  }

  /** The connection is lost: the rows stay, and stay as they are. */
  interrupt() {
    if (this.#fresh) this.#seq = undefined;
    this.#fresh = null;
    this.#left = 0;
    this.#enter(this.isLoaded ? "stale" : "loading");
  }

  /**
   * The server refuses it: what may not be read any more is not kept.
   * @param {import("./errors.js").WSFlaskError} error
   */
  fail(error) {
    this.#fresh = null;
    this.#rows = new Rows();
    this.error = error;
    this.#enter("failed");
    this.emit("refused", error);
    this.emit("error", error);
  }

  /**
   * Take over the listeners of another that turned out to be the same view.
   * @param {Subscription} other
   */
  absorb(other) {
    for (const sink of other.sinks) {
      this.sinks.add(sink);
      sink("joined", this);
      if (this.isLoaded) sink("load", this.rows);
    }
    other.sinks.clear();
  }

  /** @type {Sink} */
  emit(event, value) {
    for (const sink of [...this.sinks]) sink(event, value);
  }

  /**
   * @param {unknown} rows
   * @param {string | undefined} seq
   * @param {boolean} isReset
   */
  #load(rows, seq, isReset) {
    this.#fresh = new Rows();
    this.#freshSeq = seq;
    this.#left = count(rows);
    if (isReset) this.emit("reset", { rows: this.#left });
    this.#enter("loading");
    if (this.#left === 0) this.#loaded();
  }

  #loaded() {
    this.#rows = this.#fresh ?? new Rows();
    this.#seq = this.#freshSeq;
    this.#fresh = null;
    this.isLoaded = true;
    this.#enter("live");
    this.emit("load", this.rows);
  }

  /** @param {string | undefined} seq */
  #advance(seq) {
    if (this.#fresh) this.#freshSeq = seq ?? this.#freshSeq;
    else this.#seq = seq ?? this.#seq;
  }

  /** @param {ViewState} state */
  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }
}

/** @param {unknown} rows */
function count(rows) {
  return typeof rows === "number" && rows > 0 ? Math.floor(rows) : 0;
}
