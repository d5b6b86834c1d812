/** The rows of one subscription, as the server's messages make them; no I/O. */

import { isObject } from "./envelope.js";

/**
 * @typedef {object} Condition
 * @property {string} fn field
 * @property {"==" | "!=" | "<" | "<=" | ">" | ">=" | "in"} op
 * @property {unknown} val
 */

/**
 * The keys select the fields; null and true leave a reference as an id, false and a catalog expand it.
 * @typedef {{ [field: string]: null | boolean | Catalog }} Catalog
 */
/** @typedef {Record<string, any>} Row with its `_id` */
/** @typedef {"loading" | "live" | "stale" | "failed" | "closed"} ViewState */

/**
 * @typedef {object} Wish what is subscribed to
 * @property {string} class_name
 * @property {Condition[]} [data_scope]
 * @property {Catalog} [catalog]
 * @property {boolean} [show_hidden]
 */

/**
 * @typedef {object} RowChange
 * @property {"L" | "I" | "U" | "D" | "R"} op insert, update, delete, removed from view (L: loaded again)
 * @property {unknown} id
 * @property {Row | null} row as it is now; null after D and R
 * @property {Row | null} previous as it was before, if it was there
 */

/**
 * @typedef {object} ViewEvents
 * @property {RowChange} change one row changed
 * @property {ReadonlyMap<unknown, Row>} load all rows are there: at first, and after each reset
 * @property {{ rows: number }} reset continuity was lost: that many rows are loaded anew, then comes `load`
 * @property {ViewState} state
 * @property {import("./errors.js").WSFlaskError} error the server refused it, or it is tried again
 */

/** @typedef {(event: keyof ViewEvents | "moved" | "refused", value: any) => void} Sink */

/** Load, insert, update, delete, removed from view. */
const OPS = new Set(["L", "I", "U", "D", "R"]);

/** What the server was asked for, and the rows it has told so far. */
export class Subscription {
  /** @type {Map<unknown, Row>} */
  rows = new Map();
  /** @type {ViewState} */
  state = "loading";
  /** Whether all rows were there once. */
  isLoaded = false;
  /** Whether hidden fields are shown: what the server granted, not what was asked. */
  showHidden = false;
  /** @type {string | undefined} */
  viewId;
  /** Who is told of it; none left: it ends. @type {Set<Sink>} */
  sinks = new Set();
  /** Whether it has to be asked for, and whether it is being asked for. */
  isWanted = true;
  isAsked = false;
  failures = 0;
  /** @type {string | undefined} */
  #seq;
  /** Rows of a load under way: they replace the old ones together, so that nothing flashes. */
  #fresh = /** @type {Map<unknown, Row> | null} */ (null);
  /** @type {string | undefined} */
  #freshSeq;
  /** Messages to come of the load or of what was missed. */
  #left = 0;

  /**
   * @param {string} key
   * @param {Wish} wish
   */
  constructor(key, wish) {
    this.key = key;
    this.wish = wish;
  }

  /** Data of the request that subscribes, or that resumes after what was seen last. */
  request() {
    return this.#seq === undefined ? this.wish : { ...this.wish, start_seq: this.#seq, view: this.viewId };
  }

  /**
   * Take the server's answer to the request.
   * @param {Record<string, any>} answer
   */
  begin({ view, state, seq, rows, show_hidden: showHidden }) {
    this.viewId = view;
    this.showHidden = showHidden === true;
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
  apply({ op, seq, rows, message }) {
    if (op === "reset") return this.#load(rows, seq, true);
    if (!OPS.has(op) || !isObject(message) || message._id === undefined) return;
    const id = rowKey(message._id);
    const isGone = op === "D" || op === "R";
    if (this.#fresh) {
      if (isGone) this.#fresh.delete(id);
      else this.#fresh.set(id, message);
      if (op === "L") this.#left -= 1;
      else this.#freshSeq = seq ?? this.#freshSeq;
      if (this.#left === 0) this.#loaded();
      return;
    }
    const previous = this.rows.get(id) ?? null;
    if (isGone) this.rows.delete(id);
    else this.rows.set(id, message);
    this.#seq = seq ?? this.#seq;
    if (!isGone || previous) this.emit("change", { op, id, row: isGone ? null : message, previous });
    if (this.#left > 0 && --this.#left === 0) this.#enter("live");
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
    this.rows = new Map();
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
      sink("moved", this);
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
    this.#fresh = new Map();
    this.#freshSeq = seq;
    this.#left = count(rows);
    if (isReset) this.emit("reset", { rows: this.#left });
    this.#enter("loading");
    if (this.#left === 0) this.#loaded();
  }

  #loaded() {
    this.rows = this.#fresh ?? new Map();
    this.#seq = this.#freshSeq;
    this.#fresh = null;
    this.isLoaded = true;
    this.#enter("live");
    this.emit("load", this.rows);
  }

  /** @param {ViewState} state */
  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }
}

/**
 * A primary key as the key of a Map: one that is an object counts by its content.
 * @param {unknown} id
 */
function rowKey(id) {
  return typeof id === "object" && id !== null ? JSON.stringify(id) : id;
}

/** @param {unknown} rows */
function count(rows) {
  return typeof rows === "number" && rows > 0 ? Math.floor(rows) : 0;
}
