/** Waiting until the views of a page show what it has written. */

import { WSFlaskError } from "./errors.js";
import { DOCUMENTS } from "./protocol.js";

/** Header of a response: the position of what its request wrote. */
export const POSITION_HEADER = "WSFlask-Position";
/** A wait is given up after this time. */
export const CAUGHT_UP_MS = 30_000;

/** @typedef {string | { headers: { get(name: string): string | null } }} Written a position, or a response of `fetch` */

/**
 * @typedef {object} Wait
 * @property {string} seq
 * @property {boolean} isAsked
 * @property {(error?: WSFlaskError) => void} settle
 */

/** Asks the server whether it has sent everything up to a position. */
export class Positions {
  #messenger;
  #clock;
  #isLive;
  /** @type {Set<Wait>} */
  #waits = new Set();

  /**
   * @param {import("./messenger.js").Messenger} messenger
   * @param {import("./clock.js").Clock} clock
   * @param {() => boolean} isLive whether all views are: one that is stale would not show what the server has sent
   */
  constructor(messenger, clock, isLive) {
    this.#messenger = messenger;
    this.#clock = clock;
    this.#isLive = isLive;
  }

  /**
   * @param {Written} written
   * @returns {Promise<void>}
   */
  async caughtUp(written) {
    const seq = typeof written === "string" ? written : written.headers.get(POSITION_HEADER);
    if (!seq) return;
    await new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
      /** @type {Wait["settle"]} */
      const settle = (error) => {
        this.#waits.delete(wait);
        this.#clock.clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      };
      const wait = { seq, isAsked: false, settle };
      const timer = this.#clock.setTimeout(() => settle(new WSFlaskError("timeout")), CAUGHT_UP_MS);
      this.#waits.add(wait);
      this.ask();
    });
  }

  /** Ask for all who wait, as soon as there is a connection and all views are live. */
  ask() {
    const { state } = this.#messenger;
    for (const wait of [...this.#waits]) {
      if (state === "closed") wait.settle(new WSFlaskError("closed"));
      else if (state === "open" && !wait.isAsked && this.#isLive()) this.#ask(wait);
    }
  }

  /** @param {Wait} wait */
  #ask(wait) {
    const payload = { action: "caught_up", data: { seq: wait.seq } };
    wait.isAsked = true;
    this.#messenger.ask(DOCUMENTS, payload, { timeoutMs: CAUGHT_UP_MS, lost: "disconnected" }, (error) => {
      wait.isAsked = false;
      if (error && error.code !== "disconnected") wait.settle(error);
      // It may have been sent on another connection than it was meant for, before the views: then it is asked again.
      else if (!error && this.#isLive()) wait.settle();
    });
  }
}
