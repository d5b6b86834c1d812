/** What a page holds of a subscription: live rows, events, and the way to end it. */

import { changesOf } from "./changes.js";
import { Emitter } from "./emitter.js";
import { WSFlaskError } from "./errors.js";

/** @typedef {import("./subscription.js").Subscription} Subscription */
/** @typedef {import("./subscription.js").Sink} Sink */
/** @typedef {import("./subscription.js").ViewEvents} ViewEvents */

/** What `ws.documents(className)` returns. */
export class View {
  /** @type {Emitter<ViewEvents>} */
  #events = new Emitter(["change", "load", "reset", "state", "error"]);
  /** @type {Subscription} */
  #subscription;
  #release;
  #isClosed = false;
  /** @type {(view: View) => void} */
  #resolve = () => {};
  /** @type {(reason: unknown) => void} */
  #reject = () => {};

  /**
   * @param {Subscription} subscription
   * @param {(subscription: Subscription, sink: Sink) => void} release
   */
  constructor(subscription, release) {
    this.#subscription = subscription;
    this.#release = release;
    /** Resolves with this view when its rows are there; rejects when it is refused or closed before. */
    this.ready = new Promise((/** @type {(view: View) => void} */ resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ready.catch(() => {});
    subscription.sinks.add(this.#sink);
    if (subscription.isLoaded) queueMicrotask(() => this.#sink("load", this.rows));
  }

  /** @type {Sink} */
  #sink = (event, value) => {
    if (this.#isClosed) return;
    if (event === "joined") this.#subscription = value;
    else if (event === "refused") this.#reject(value);
    else {
      if (event === "load") this.#resolve(this);
      this.#events.emit(event, value);
    }
  };

  /** The rows by `_id`; a new Map after each load. @returns {ReadonlyMap<any, import("./subscription.js").Row>} */
  get rows() {
    return this.#subscription.rows;
  }

  /** The rows in order: the server's in an ordered view, else as they came; another array after each change. */
  get list() {
    return this.#subscription.list;
  }

  /** loading, live, stale (the connection is lost; rows as last seen), failed (refused), closed. */
  get state() {
    return this.#isClosed ? "closed" : this.#subscription.state;
  }

  /** Why it failed, or null. */
  get error() {
    return this.#subscription.error;
  }

  /** Whether hidden fields are shown: what the server granted. */
  get showHidden() {
    return this.#subscription.granted.showHidden;
  }

  /** By what the server orders the rows; null: in no order. */
  get orderBy() {
    return this.#subscription.granted.orderBy;
  }

  /** How many rows there are at most; null: all. */
  get limit() {
    return this.#subscription.granted.limit;
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof ViewEvents} K
   * @param {K} event
   * @param {(value: ViewEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * The changes that come after the rows: `for await (const { op, id, row, previous } of view)`. Who is slow gets of
   * each row the newest change. Ends when the view is closed, throws its WSFlaskError when it fails.
   */
  [Symbol.asyncIterator]() {
    return changesOf(this, this.#subscription.isLoaded);
  }

  /** End it; the last of equal views ends the subscription. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release(this.#subscription, this.#sink);
    this.#reject(new WSFlaskError("closed", "The view was closed."));
    this.#events.emit("state", "closed");
  }
}
