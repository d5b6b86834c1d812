/** One websocket at a time, opened again until it is told not to: idle, connecting, open, waiting, closed. */

import { fullJitter } from "./backoff.js";
import { report } from "./emitter.js";
import { WSFlaskError } from "./errors.js";
import { milliseconds, parseEnvelope, readWelcome } from "./envelope.js";
import { watchPage } from "./page.js";
import { CLOSE_CODES, RESERVED, SUBPROTOCOL, isFinal } from "./protocol.js";
import { Streams } from "./streams.js";

/** A handshake may take this long, welcome included. */
export const CONNECTING_MS = 20_000;
/** A connection that was open this long was healthy: the next wait starts small again. */
export const HEALTHY_MS = 5_000;
/** After one and a half heartbeats without a word the client asks, and waits this long for a sign of life. */
export const PROBE_MS = 5_000;

/** @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} State */

/**
 * @typedef {object} StateChange
 * @property {State} state
 * @property {State} previous
 * @property {number} [code] close code, in waiting and closed
 * @property {string} [reason] of the close
 * @property {number} [retryMs] in waiting: milliseconds to the next attempt
 * @property {import("./envelope.js").Welcome} [welcome] in open
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {string} url
 * @property {new (url: string, protocols: string[]) => WebSocket} WebSocket
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random
 * @property {import("./page.js").Page} page
 */

/**
 * @typedef {object} Handlers
 * @property {(change: StateChange) => void} state called last in each change
 * @property {(message: import("./envelope.js").Envelope) => void} message all but welcome and goodbye
 * @property {(error: WSFlaskError) => void} fault the server does not speak the protocol
 */

/** The connection to the server: says what state it is in, and hands on what the server says. */
export class Connection {
  #options;
  #handlers;
  #streams;
  /** @type {State} */
  #state = "idle";
  /** @type {WebSocket | null} */
  #socket = null;
  /** One timer is enough: of the handshake, of the silence or of the next attempt. @type {any} */
  #timer;
  #failures = 0;
  #openedAt = 0;
  #silenceMs = 0;
  #isProbing = false;
  /** Window over which a goodbye asked clients to spread. @type {number | null} */
  #spreadMs = null;
  /** @type {(() => void) | null} */
  #unwatch = null;

  /**
   * @param {ConnectionOptions} options
   * @param {Handlers} handlers
   */
  constructor(options, handlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#streams = new Streams(options);
  }

  get state() {
    return this.#state;
  }

  /** Start, also again after closed. */
  open() {
    if (this.#state !== "idle" && this.#state !== "closed") return;
    this.#failures = 0;
    this.#spreadMs = null;
    this.#dial();
    this.#unwatch ??= watchPage(this.#options.page, () => this.#wake(), () => this.#streams.save());
  }

  /** Stop, and do not come back. */
  close() {
    if (this.#state === "closed") return;
    this.#hangUp(CLOSE_CODES.NORMAL);
    this.#finish(CLOSE_CODES.NORMAL, "");
  }

  /** @param {string} text */
  send(text) {
    this.#socket?.send(text);
  }

  #dial() {
    const { WebSocket } = this.#options;
    const socket = new WebSocket(this.#streams.address(), [SUBPROTOCOL]);
    this.#socket = socket;
    const isCurrent = () => socket === this.#socket;
    socket.onopen = () => isCurrent() && this.#shaken(socket);
    socket.onmessage = ({ data }) => isCurrent() && this.#receive(data);
    socket.onclose = ({ code, reason }) => isCurrent() && this.#lost(code, reason);
    this.#arm(CONNECTING_MS, () => this.#drop("timeout"));
    this.#enter("connecting");
  }

  /** @param {WebSocket} socket */
  #shaken({ protocol }) {
    if (protocol === SUBPROTOCOL) return;
    this.#handlers.fault(new WSFlaskError("bad_protocol"));
    this.#drop("bad_protocol");
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#state === "open") this.#listen();
    const message = parseEnvelope(data);
    if (!message) return this.#handlers.fault(new WSFlaskError("bad_envelope"));
    const { channel, payload } = message;
    if (channel === RESERVED.welcome) this.#welcomed(payload);
    else if (channel === RESERVED.goodbye) {
      this.#spreadMs = milliseconds(payload?.reconnect, 5, 300);
    } else {
      try {
        this.#streams.take(message, () => this.#handlers.message(message));
      } catch (error) {
        report(error);
      }
    }
    if (channel === RESERVED.ping) this.#say(RESERVED.pong);
  }

  /** @param {unknown} payload */
  #welcomed(payload) {
    if (this.#state !== "connecting") return;
    const welcome = readWelcome(payload);
    this.#openedAt = this.#options.clock.now();
    this.#silenceMs = welcome.heartbeatMs * 1.5;
    this.#listen();
    this.#enter("open", { welcome });
  }

  /** Every message begins the wait for the next. */
  #listen() {
    this.#isProbing = false;
    this.#arm(this.#silenceMs, () => this.#probe());
  }

  /** Ask for a sign of life: a server that hears from us may have had no cause to speak, and timers may have slept. */
  #probe() {
    this.#isProbing = true;
    this.#arm(PROBE_MS, () => this.#drop("timeout"));
    this.#say(RESERVED.ping);
  }

  #wake() {
    if (this.#state === "waiting") this.#retry();
    else if (this.#state === "open" && !this.#isProbing) this.#probe();
  }

  #retry() {
    try {
      this.#dial();
    } catch (error) {
      report(error);
      this.#lost(CLOSE_CODES.ABNORMAL, String(error));
    }
  }

  /**
   * Give a socket up without waiting for its end, which on a dead network takes minutes.
   * @param {string} reason
   */
  #drop(reason) {
    this.#hangUp();
    this.#lost(CLOSE_CODES.ABNORMAL, reason);
  }

  /** @param {number} [code] */
  #hangUp(code) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    const { clock, random } = this.#options;
    this.#socket = null;
    if (isFinal(code)) return this.#finish(code, reason);
    if (this.#state === "open" && clock.now() - this.#openedAt >= HEALTHY_MS) this.#failures = 0;
    const retryMs = this.#spreadMs === null ? fullJitter(this.#failures++, random) : random() * this.#spreadMs;
    this.#spreadMs = null;
    this.#arm(retryMs, () => this.#retry());
    this.#enter("waiting", { code, reason, retryMs });
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #finish(code, reason) {
    this.#options.clock.clearTimeout(this.#timer);
    this.#streams.save();
    this.#unwatch?.();
    this.#unwatch = null;
    this.#enter("closed", { code, reason });
  }

  /**
   * @param {number} delayMs
   * @param {() => void} call
   */
  #arm(delayMs, call) {
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = this.#options.clock.setTimeout(call, delayMs);
  }

  /** @param {string} channel */
  #say(channel) {
    this.send(JSON.stringify({ channel, payload: {} }));
  }

  /**
   * The one place where the state changes.
   * @param {State} state
   * @param {Partial<StateChange>} [detail]
   */
  #enter(state, detail) {
    const previous = this.#state;
    this.#state = state;
    this.#handlers.state({ ...detail, state, previous });
  }
}
