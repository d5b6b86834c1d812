/** Messages on their way out: they wait for the connection, keep their order and the server's rate. */

import { WSFlaskError } from "./errors.js";
import { Pace } from "./pace.js";

/** Messages that may wait; beyond it the oldest is refused. */
export const OUTBOX_LENGTH = 100;

/**
 * @typedef {object} Outgoing
 * @property {string} text
 * @property {(error: WSFlaskError) => void} refuse called when it will not be sent
 */

/** @template {Outgoing} Item */
export class Outbox {
  #clock;
  #send;
  /** @type {Item[]} */
  #items = [];
  /** None while there is no connection. @type {Pace | null} */
  #pace = null;
  /** @type {any} */
  #timer = null;
  #messageBytes = 0;

  /**
   * @param {import("./clock.js").Clock} clock
   * @param {(item: Item) => void} send
   */
  constructor(clock, send) {
    this.#clock = clock;
    this.#send = send;
  }

  /** @param {import("./envelope.js").Limits} limits of the connection that is open now */
  open(limits) {
    this.#pace = new Pace(this.#clock, limits);
    this.#messageBytes = limits.messageBytes;
    this.#flush();
  }

  /**
   * The connection is lost: what follows waits for the next.
   * @param {Item[]} again what was sent and has to be sent again, before all that waits
   */
  pause(again) {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#pace = null;
    this.#items.unshift(...again);
  }

  /** @param {Item} item */
  add(item) {
    this.#items.push(item);
    this.#flush();
    if (this.#items.length > OUTBOX_LENGTH) this.#items.shift()?.refuse(new WSFlaskError("queue_full"));
  }

  /** @param {Item} item */
  remove(item) {
    this.#items = this.#items.filter((other) => other !== item);
  }

  /** Take out all that waits. */
  clear() {
    return this.#items.splice(0);
  }

  #flush() {
    while (this.#pace && this.#timer === null && this.#items.length > 0) {
      const item = this.#items[0];
      const isTooBig = new TextEncoder().encode(item.text).length > this.#messageBytes;
      const delayMs = isTooBig ? 0 : this.#pace.take();
      if (delayMs > 0) {
        this.#timer = this.#clock.setTimeout(() => {
          this.#timer = null;
          this.#flush();
        }, delayMs);
      } else {
        this.#items.shift();
        if (isTooBig) item.refuse(new WSFlaskError("too_big", `more than ${this.#messageBytes} bytes`));
        else this.#send(item);
      }
    }
  }
}
