/** Requests and their answers, over a connection that comes and goes. */

import { fullJitter } from "./backoff.js";
import { report } from "./emitter.js";
import { WSFlaskError } from "./errors.js";
import { Connection } from "./connection.js";
import { Outbox } from "./outbox.js";
import { RESERVED } from "./protocol.js";

/** A request waits this long for its answer, the wait for a connection included. */
export const REQUEST_MS = 10_000;

/**
 * @typedef {object} AskOptions
 * @property {number} [timeoutMs] default 10,000
 * @property {"unknown" | "disconnected" | "resend"} [lost] what becomes of it when the connection is lost after
 *   it was sent: the code it fails with (default "unknown"), or it is sent again, as it is after "unavailable"
 */

/** @typedef {import("./envelope.js").Envelope} Envelope */

/**
 * @typedef {object} Entry a message that is not settled yet
 * @property {string} [id] none: nobody waits for an answer
 * @property {string} text
 * @property {"unknown" | "disconnected" | "resend"} lost
 * @property {boolean} wasSent
 * @property {number} failures answers "unavailable" so far
 * @property {any} timer
 * @property {(error: WSFlaskError | null, answer?: any) => void} done called once, at once
 * @property {(error: WSFlaskError) => void} refuse
 */

/** Sends requests, settles them, and hands other messages to those who wait for their channel. */
export class Messenger {
  #clock;
  #random;
  #fault;
  #connection;
  /** @type {Outbox<Entry>} */
  #outbox;
  /** @type {Map<string, Entry>} */
  #sent = new Map();
  /** @type {Map<string, Set<(message: Envelope) => void>>} */
  #routes = new Map();
  /** @type {((change: import("./connection.js").StateChange) => void)[]} */
  #watchers = [];
  #lastId = 0;

  /**
   * @param {import("./connection.js").ConnectionOptions} options
   * @param {(error: WSFlaskError) => void} fault told what belongs to no request
   */
  constructor(options, fault) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#fault = fault;
    this.#outbox = new Outbox(options.clock, (entry) => this.#transmit(entry));
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
    if (this.state === "closed") return done(new WSFlaskError("closed"));
    const refuse = (/** @type {WSFlaskError} */ error) => this.#settle(entry, error);
    /** @type {Entry} */
    const entry = { id, text, lost, done, refuse, wasSent: false, failures: 0, timer: undefined };
    if (timeoutMs !== undefined) {
      const late = () => refuse(new WSFlaskError(entry.failures ? "unavailable" : "timeout"));
      entry.timer = this.#clock.setTimeout(late, timeoutMs);
    }
    this.#outbox.add(entry);
  }

  /** @param {Entry} entry */
  #transmit(entry) {
    entry.wasSent = true;
    if (entry.id !== undefined) this.#sent.set(entry.id, entry);
    this.#connection.send(entry.text);
  }

  /**
   * @param {Entry} entry
   * @param {WSFlaskError | null} error
   * @param {Envelope} [answer]
   */
  #settle(entry, error, answer) {
    this.#outbox.remove(entry);
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
        if (channel === RESERVED.error) this.#refused(entry, WSFlaskError.from(payload));
        else this.#settle(entry, null, message);
      } else if (channel === RESERVED.error) this.#fault(WSFlaskError.from(payload));
      else this.#routes.get(channel)?.forEach((receive) => receive(message));
    } catch (error) {
      report(error);
    }
  }

  /**
   * @param {Entry} entry
   * @param {WSFlaskError} error
   */
  #refused(entry, error) {
    const { id = "", lost } = entry;
    if (lost !== "resend" || error.code !== "unavailable") return this.#settle(entry, error);
    this.#clock.setTimeout(
      () => {
        if (this.#sent.delete(id)) this.#outbox.add(entry);
      },
      fullJitter(entry.failures++, this.#random),
    );
  }

  /** @param {import("./connection.js").StateChange} change */
  #changed(change) {
    const { state, previous, welcome } = change;
    if (previous === "open") this.#disconnected();
    if (state === "closed") {
      for (const { wasSent, refuse } of this.#outbox.clear()) refuse(new WSFlaskError(wasSent ? "unknown" : "closed"));
    }
    if (welcome) this.#outbox.open(welcome.limits);
    for (const watcher of this.#watchers) watcher(change);
  }

  #disconnected() {
    const sent = [...this.#sent.values()];
    this.#sent.clear();
    this.#outbox.pause(sent.filter(({ lost }) => lost === "resend"));
    for (const { lost, refuse } of sent) if (lost !== "resend") refuse(new WSFlaskError(lost));
  }
}
