/** Requests, their answers, and messages for each channel, over a connection that comes and goes. */

import { WSFlaskError } from "./errors.js";
import { Connection } from "./connection.js";
import { Outbox } from "./outbox.js";
import { RESERVED } from "./protocol.js";

/** A request waits this long for its answer, the wait for a connection included. */
export const REQUEST_MS = 10_000;

/**
 * @typedef {object} AskOptions
 * @property {number} [timeoutMs] default 10,000
 * @property {import("./outbox.js").Lost} [lost] what becomes of it when the connection is lost after it was sent: the
 *   code it fails with (default "unknown"), or it is sent again, as it is after "unavailable"
 */

/** @typedef {import("./envelope.js").Envelope} Envelope */
/** @typedef {import("./outbox.js").Entry} Entry */

/** Sends requests, and hands other messages to those who wait for their channel. */
export class Messenger {
  #fault;
  #connection;
  #outbox;
  /** @type {[channel: string, receive: (message: Envelope) => void, isAll?: boolean][]} */
  #routes = [];
  /** @type {((change: import("./connection.js").StateChange) => void)[]} */
  #watchers = [];
  #lastId = 0;

  /**
   * @param {import("./connection.js").ConnectionOptions} options
   * @param {(error: WSFlaskError) => void} fault told what belongs to no request
   */
  constructor(options, fault) {
    this.#fault = fault;
    this.#outbox = new Outbox(options, (text) => this.#connection.send(text));
    this.#connection = new Connection(options, {
      state: (change) => this.#changed(change),
      message: (message) => this.#receive(message),
      fault,
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
   * @param {boolean} [isAll] hand it the answers too, before those who asked get them; also those that nobody waits
   *   for any more
   */
  route(channel, receive, isAll) {
    this.#routes.push([channel, receive, isAll]);
  }

  /**
   * Send without asking for an answer; what cannot be sent is told to `fault`.
   * @param {string} channel
   * @param {unknown} payload
   */
  send(channel, payload) {
    this.#queue(channel, payload, undefined, { done: (error) => error && this.#fault(error) });
  }

  /**
   * Send a request; `done` gets the error or the answer, in order with the messages around it.
   * @param {string} channel
   * @param {unknown} payload
   * @param {AskOptions} options
   * @param {(error: WSFlaskError | null, answer: Envelope) => void} done
   */
  ask(channel, payload, { timeoutMs = REQUEST_MS, lost }, done) {
    this.#queue(channel, payload, timeoutMs, { id: String(++this.#lastId), lost, done });
  }

  /**
   * Send a request.
   * @param {string} channel
   * @param {unknown} payload
   * @param {AskOptions} [options]
   * @returns {Promise<Envelope>} the answer; rejects with a WSFlaskError
   */
  request(channel, payload, options = {}) {
    return new Promise((resolve, reject) => {
      this.ask(channel, payload, options, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /**
   * @param {string} channel
   * @param {unknown} payload
   * @param {number | undefined} timeoutMs
   * @param {Omit<Entry, "text">} entry
   */
  #queue(channel, payload, timeoutMs, entry) {
    const text = JSON.stringify({ channel, payload: payload ?? null, id: entry.id });
    if (this.state === "closed") entry.done(new WSFlaskError("closed"));
    else this.#outbox.add({ ...entry, text }, timeoutMs);
  }

  /** @param {Envelope} message */
  #receive(message) {
    const { channel, id, payload } = message;
    const error = channel === RESERVED.error ? WSFlaskError.from(payload) : null;
    for (const [name, receive, isAll] of this.#routes) if (name === channel && (isAll || id == null)) receive(message);
    if (id != null) this.#outbox.answer(message, error);
    else if (error) this.#fault(error);
  }

  /** @param {import("./connection.js").StateChange} change */
  #changed(change) {
    const { state, previous, welcome } = change;
    if (previous === "open") this.#outbox.pause();
    if (state === "closed") this.#outbox.close();
    if (welcome) this.#outbox.open(welcome.limits);
    for (const watcher of this.#watchers) watcher(change);
  }
}
