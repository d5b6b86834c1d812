/** Keeps the client below the rate at which the server would cut it off. */

/** An allowance of messages that grows with time. */
export class Pace {
  /** @type {import("./clock.js").Clock} */
  #clock;
  #perMs;
  #most;
  #left;
  #at;

  /**
   * Stays under the limits by a margin: what the network delays arrives together.
   * @param {import("./clock.js").Clock} clock
   * @param {import("./envelope.js").Limits} limits
   */
  constructor(clock, { messagesPerSecond, burst }) {
    this.#clock = clock;
    this.#perMs = (messagesPerSecond * 0.9) / 1000;
    this.#most = this.#left = Math.max(1, burst / 2);
    this.#at = clock.now();
  }

  /** Take leave to send one message: 0, or else the milliseconds after which to ask again. */
  take() {
    const now = this.#clock.now();
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) * this.#perMs);
    this.#at = now;
    if (this.#left < 1) return Math.ceil((1 - this.#left) / this.#perMs);
    this.#left -= 1;
    return 0;
  }
}
