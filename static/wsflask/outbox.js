/** Messages that are not settled: they wait for the connection and for answers, in order and below the server's rate. */

import { fullJitter } from "./backoff.js";
import { WSFlaskError } from "./errors.js";
import { paceOf } from "./pace.js";

/** Messages that may wait; beyond it the oldest is refused. */
export const OUTBOX_LENGTH = 100;

/** @typedef {"unknown" | "disconnected" | "resend"} Lost */

/**
 * @typedef {object} Entry a message that is not settled yet
 * @property {string} text
 * @property {string} [id] none: nobody waits for an answer
 * @property {Lost} [lost] what becomes of it when the connection is lost after it was sent
 * @property {(error: WSFlaskError | null, answer?: any) => void} done called once, at once
 * @property {number} [sentOn] the connection it was sent on last; negative: it has to be sent on the same one again
 * @property {number} [failures] answers "unavailable" so far
 * @property {any} [timer]
 */

/** All that is not settled, in the order in which it was given. */
export class Outbox {
  #clock;
  #random;
  #send;
  /** @type {Set<Entry>} */
  #entries = new Set();
  /** Counts connections. */
  #connection = 1;
  /** None while there is no connection. @type {(() => number) | null} */
  #pace = null;
  #messageBytes = 0;
  /** @type {any} */
  #timer;

  /**
   * @param {{ clock: import("./clock.js").Clock, random: () => number }} options
   * @param {(text: string) => void} send
   */
  constructor({ clock, random }, send) {
    this.#clock = clock;
    this.#random = random;
    this.#send = send;
  }

  /** @param {import("./envelope.js").Limits} limits of the connection that is open now */
  open(limits) {
    this.#pace = paceOf(this.#clock, limits);
    this.#messageBytes = limits.messageBytes;
    this.#flush();
  }

  /** The connection is lost: what can be sent again waits for the next, before all that was given later. */
  pause() {
    const connection = this.#connection++;
    this.#pace = null;
    for (const entry of this.#entries) {
      const { sentOn, lost = "unknown" } = entry;
      if (sentOn === connection && lost !== "resend") this.#settle(entry, new WSFlaskError(lost));
    }
  }

  /** There will be no further connection. */
  close() {
    for (const entry of this.#entries) this.#refuse(entry, "closed");
  }

  /**
   * @param {Entry} entry
   * @param {number} [timeoutMs]
   */
  add(entry, timeoutMs) {
    const late = () => this.#settle(entry, new WSFlaskError(entry.failures ? "unavailable" : "timeout"));
    if (timeoutMs !== undefined) entry.timer = this.#clock.setTimeout(late, timeoutMs);
    this.#entries.add(entry);
    this.#flush();
    for (const oldest of this.#waiting().slice(0, -OUTBOX_LENGTH)) this.#refuse(oldest, "queue_full");
  }

  /**
   * Settle what an answer belongs to; after its timeout nobody is left who waits for it.
   * @param {import("./envelope.js").Envelope} answer
   * @param {WSFlaskError | null} error
   */
  answer(answer, error) {
    const entry = [...this.#entries].find(({ id }) => id === answer.id);
    if (!entry) return;
    if (entry.lost !== "resend" || error?.code !== "unavailable") return this.#settle(entry, error, answer);
    const { sentOn = 0, failures = 0 } = entry;
    entry.failures = failures + 1;
    this.#clock.setTimeout(
      () => {
        if (entry.sentOn === sentOn) entry.sentOn = -sentOn;
        this.#flush();
      },
      fullJitter(failures, this.#random),
    );
  }

  #waiting() {
    return [...this.#entries].filter(({ sentOn }) => sentOn !== this.#connection);
  }

  #flush() {
    this.#clock.clearTimeout(this.#timer);
    for (let entry; this.#pace && (entry = this.#waiting()[0]); ) {
      const delayMs = this.#pace();
      if (delayMs) return void (this.#timer = this.#clock.setTimeout(() => this.#flush(), delayMs));
      if (new TextEncoder().encode(entry.text).length > this.#messageBytes) this.#refuse(entry, "too_big", `more than ${this.#messageBytes} bytes`);
      else {
        entry.sentOn = this.#connection;
        this.#send(entry.text);
        if (entry.id === undefined) this.#settle(entry, null);
      }
    }
  }

  /**
   * Settle what will not be sent; what was sent before may have been done.
   * @param {Entry} entry
   * @param {import("./protocol.js").ErrorCode} code
   * @param {string} [message]
   */
  #refuse(entry, code, message) {
    this.#settle(entry, entry.sentOn ? new WSFlaskError("unknown") : new WSFlaskError(code, message));
  }

  /**
   * @param {Entry} entry
   * @param {WSFlaskError | null} error
   * @param {import("./envelope.js").Envelope} [answer]
   */
  #settle(entry, error, answer) {
    if (!this.#entries.delete(entry)) return;
    this.#clock.clearTimeout(entry.timer);
    entry.done(error, answer);
  }
}
