/** Requests and their answers, over a connection that comes and goes. */

import { report } from "./emitter.js";
import { WSFlaskError } from "./errors.js";
import { Pace } from "./pace.js";
import { Connection } from "./connection.js";
import { RESERVED } from "./protocol.js";

/** A request waits this long for its answer, the wait for a connection included. */
export const REQUEST_MS = 10_000;
/** Messages that wait for the connection or for the rate limit; beyond it the oldest is refused. */
export const QUEUE_LENGTH = 100;

/**
 * @typedef {object} AskOptions
 * @property {number} [timeoutMs] default 10,000
 * @property {"unknown" | "disconnected" | "resend"} [lost] what becomes of it when the connection is lost after
 *   it was sent: the code it fails with (default "unknown"), or it is sent again
 */

/** @typedef {import("./envelope.js").Envelope} Envelope */

/**
 * @typedef {object} Entry a message that is not settled yet
 * @property {string} [id] none: nobody waits for an answer
 * @property {string} text
 * @property {"unknown" | "disconnected" | "resend"} lost
 * @property {boolean} wasSent
 * @property {any} timer
 * @property {(error: WSFlaskError | null, answer?: any) => void} done called once, at once
 */

export class Messenger {
  #clock;
  #connection;
  /** @type {Entry[]} */
  #waiting = [];
  /** @type {Map<string, Entry>} */
  #sent = new Map();
  /** @type {Map<string, Set<(message: Envelope) => void>>} */
  #routes = new Map();
  /** @type {((change: import("./connection.js").StateChange) => void)[]} */
  #watchers = [];
  #lastId = 0;
  /** @type {Pace | null} */
  #pace = null;
  /** @type {any} */
  #paceTimer = null;
  #messageBytes = Infinity;
  #fault;

  /**
   * @param {import("./connection.js").ConnectionOptions} options
   * @param {(error: WSFlaskError) => void} fault told what belongs to no request
   */
  constructor(options, fault) {
    this.#clock = options.clock;
    this.#fault = fault;
    this.#connection = new Connection(options, {
      state: (change) => this.#changed(change),
      message: (message) => this.#receive(message),
      fault: (code) => fault(new WSFlaskError(code)),
    });
  }

  get state() {
    return this.#connection.state;
  }

  open() {
    this.#connection.open();
  }

  close() {
    this.#connection.close();
  }

  /**
   * Be told each change of state, after the requests were.
   * @param {(change: import("./connection.js").StateChange) => void} watcher
   */
  watch(watcher) {
    this.#watchers.push(watcher);
  }

  /**
   * Hand what comes on a channel, and answers no request, to `receive`.
   * @param {string} channel
   * @param {(message: Envelope) => void} receive
   */
  route(channel, receive) {
    const found = this.#routes.get(channel) ?? new Set();
    this.#routes.set(channel, found.add(receive));
  }

  /**
   * Send without asking for an answer; what cannot be sent is told to `fault`.
   * @param {string} channel
   * @param {unknown} payload
   */
  send(channel, payload) {
    this.#queue(channel, payload, { done: (error) => error && this.#fault(error) });
  }

  /**
   * Send a request; `done` gets the error or the answer, in order with the messages around it.
   * @param {string} channel
   * @param {unknown} payload
   * @param {AskOptions} options
   * @param {(error: WSFlaskError | null, answer: Envelope) => void} done
   */
  ask(channel, payload, { timeoutMs = REQUEST_MS, lost = "unknown" }, done) {
    this.#queue(channel, payload, { id: String(++this.#lastId), timeoutMs, lost, done });
  }

  /**
   * Send a request.
   * @param {string} channel
   * @param {unknown} payload
   * @param {AskOptions} [options]
   * @returns {Promise<any>} the payload of the answer; rejects with a WSFlaskError
   */
  request(channel, payload, options = {}) {
    return new Promise((resolve, reject) => {
      this.ask(channel, payload, options, (error, answer) => (error ? reject(error) : resolve(answer.payload)));
    });
  }

  /**
   * @param {string} channel
   * @param {unknown} payload
   * @param {AskOptions & { id?: string, done: Entry["done"] }} options
   */
  #queue(channel, payload, { id, timeoutMs, lost = "unknown", done }) {
    const text = JSON.stringify({ channel, payload: payload ?? null, id });
    /** @type {Entry} */
    const entry = { id, text, lost, done, wasSent: false, timer: undefined };
    if (this.state === "closed") return done(new WSFlaskError("closed"));
    if (timeoutMs !== undefined) {
      entry.timer = this.#clock.setTimeout(() => this.#settle(entry, new WSFlaskError("timeout")), timeoutMs);
    }
    this.#waiting.push(entry);
    this.#flush();
    if (this.#waiting.length > QUEUE_LENGTH) this.#settle(this.#waiting[0], new WSFlaskError("queue_full"));
  }

  /** Send what waits, as far as the connection and the rate limit let it. */
  #flush() {
    if (this.state !== "open" || this.#paceTimer !== null) return;
    while (this.#waiting.length > 0) {
      const entry = this.#waiting[0];
      if (new TextEncoder().encode(entry.text).length > this.#messageBytes) {
        this.#settle(entry, new WSFlaskError("too_big", `more than ${this.#messageBytes} bytes`));
        continue;
      }
      const delayMs = this.#pace?.take() ?? 0;
      if (delayMs > 0) return this.#flushAfter(delayMs);
      this.#waiting.shift();
      this.#connection.send(entry.text);
      entry.wasSent = true;
      if (entry.id !== undefined) this.#sent.set(entry.id, entry);
    }
  }

  /** @param {number} delayMs */
  #flushAfter(delayMs) {
    this.#paceTimer = this.#clock.setTimeout(() => {
      this.#paceTimer = null;
      this.#flush();
    }, delayMs);
  }

  /**
   * @param {Entry} entry
   * @param {WSFlaskError | null} error
   * @param {Envelope} [answer]
   */
  #settle(entry, error, answer) {
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    if (entry.id !== undefined) this.#sent.delete(entry.id);
    this.#clock.clearTimeout(entry.timer);
    entry.done(error, answer);
  }

  /** @param {Envelope} message */
  #receive(message) {
    const { channel, id, payload } = message;
    try {
      if (id != null) {
        const entry = this.#sent.get(id);
        // An answer after the timeout has nobody left who waits for it.
        if (!entry) return;
        if (channel === RESERVED.error) this.#settle(entry, WSFlaskError.from(payload));
        else this.#settle(entry, null, message);
      } else if (channel === RESERVED.error) this.#fault(WSFlaskError.from(payload));
      else this.#routes.get(channel)?.forEach((receive) => receive(message));
    } catch (error) {
      report(error);
    }
  }

  /** @param {import("./connection.js").StateChange} change */
  #changed(change) {
    const { state, previous, welcome } = change;
    if (previous === "open") this.#disconnected();
    if (state === "closed") this.#closed();
    if (welcome) {
      this.#pace = new Pace(this.#clock, welcome.limits);
      this.#messageBytes = welcome.limits.messageBytes;
      this.#flush();
    }
    for (const watcher of this.#watchers) watcher(change);
  }

  #disconnected() {
    this.#clock.clearTimeout(this.#paceTimer);
    this.#paceTimer = null;
    const sent = [...this.#sent.values()];
    this.#sent.clear();
    this.#waiting.unshift(...sent.filter(({ lost }) => lost === "resend"));
    for (const entry of sent) if (entry.lost !== "resend") this.#settle(entry, new WSFlaskError(entry.lost));
  }

  #closed() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const entry of waiting) this.#settle(entry, new WSFlaskError(entry.wasSent ? "unknown" : "closed"));
  }
}
