/** How far the page has come in each stream of the server, so that it misses nothing: kept over a reload. */

import { RESERVED } from "./protocol.js";

/** Places are kept this long, by the wall clock. */
export const KEPT_MS = 3_600_000;
/** They are written at most this often, and when the page is left. */
export const SAVE_MS = 1_000;

/**
 * @typedef {object} Place how far the page has come in a stream
 * @property {string[]} channels whose messages are in it
 * @property {string} epoch what the position counts in: this user's stream in this database
 * @property {string} seq position of the last message that was surfaced
 * @property {boolean} [isTold] whether the server has told of the stream on this connection
 */

/** @typedef {import("./envelope.js").Envelope} Envelope */

/** Surfaces each message of a stream once, and knows where to resume. */
export class Streams {
  #options;
  /** By the name of the stream. @type {Map<string, Place>} */
  #places = new Map();
  #savedAt = -SAVE_MS;

  /** @param {{ url: string, clock: import("./clock.js").Clock, page: import("./page.js").Page }} options */
  constructor(options) {
    this.#options = options;
    const { page, url } = options;
    try {
      const [at, places] = JSON.parse(page.sessionStorage?.getItem(url) ?? "");
      if (Math.abs(Date.now() - at) < KEPT_MS) for (const [stream, place] of places) this.#put(stream, place);
    } catch {
      // Nothing was kept, or it cannot be read: the server begins anew.
    }
  }

  /** The address for the next connection: it names the places to resume from. */
  address() {
    const { url } = this.#options;
    const resume = [...this.#places].map(([stream, place]) => {
      place.isTold = false;
      return ["resume", `${stream}~${place.epoch}~${place.seq}`];
    });
    return resume[0] ? url + (url.includes("?") ? "&" : "?") + new URLSearchParams(resume) : url;
  }

  /**
   * Surface a message, unless it was surfaced before; only then has the page come that far.
   * @param {Envelope} message
   * @param {() => void} surface
   */
  take({ channel, payload, id, seq }, surface) {
    const at = /** @type {string} */ (seq);
    const isTold = channel === RESERVED.stream;
    if (isTold) {
      // A worker may be a little behind the one before, and tell again what was surfaced.
      const known = payload.state === "resumed" && this.#places.get(payload.stream);
      this.#put(payload.stream, { ...payload, seq: known && known.seq > at ? known.seq : seq, isTold });
    }
    const isPing = channel === RESERVED.ping;
    // A ping says that of all streams of this connection nothing is missing up to there. An answer is in no stream.
    const places = [...this.#places.values()].filter(
      (place) => !id && (isPing ? place.isTold : place.channels.includes(channel)),
    );
    if (places.some((place) => at <= place.seq)) return;
    surface();
    for (const place of places) place.seq = seq ?? place.seq;
    if (isTold || (places[0] && this.#options.clock.now() - this.#savedAt >= SAVE_MS)) this.save();
  }

  /** Write the places down. Storage that is full or forbidden is done without. */
  save() {
    const { clock, page, url } = this.#options;
    this.#savedAt = clock.now();
    try {
      page.sessionStorage?.setItem(url, JSON.stringify([Date.now(), [...this.#places]]));
    } catch {
      // After a reload the server begins anew, or where it could be written last.
    }
  }

  /**
   * @param {string} stream
   * @param {Place} place
   */
  #put(stream, { channels, epoch, seq, isTold }) {
    this.#places.set(stream, { channels: [...channels], epoch, seq, isTold });
  }
}
