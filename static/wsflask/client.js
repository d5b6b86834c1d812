/** The object that a page talks to: one connection, and the services behind it. */

import { address } from "./address.js";
import { Channel } from "./channel.js";
import { Clipboard } from "./clipboard.js";
import { CLOCK } from "./clock.js";
import { Documents } from "./documents.js";
import { Emitter } from "./emitter.js";
import { Messenger } from "./messenger.js";
import { Notifications } from "./notifications.js";
import { presence } from "./presence.js";
import { RESERVED } from "./protocol.js";

/**
 * @typedef {object} ConnectOptions
 * @property {string | URL} [url] the whole address; default: where this script came from, on the page's host
 * @property {string} [path] another path on the page's host
 * @property {number | string} [port] another port of the page's host, such as 8101
 * @property {boolean} [start] connect at once (default); else `open()` does
 * @property {new (url: string, protocols: string[]) => WebSocket} [WebSocket] default: the browser's
 * @property {import("./clock.js").Clock} [clock] default: monotonic time and the browser's timers
 * @property {() => number} [random] from 0 to below 1; default: Math.random
 * @property {import("./page.js").Page} [page] whose events mean "try now"; default: the page around the script
 */

/**
 * @typedef {object} StreamChange what became of a stream of messages
 * @property {string} stream
 * @property {string[]} channels whose messages are in it
 * @property {"loaded" | "resumed" | "reset"} state begun; missed nothing; what was missed is not known
 * @property {number} missed resumed: how many messages were missed, and have come by now
 */

/**
 * @typedef {object} ClientEvents
 * @property {import("./connection.js").StateChange} state each change of state
 * @property {import("./envelope.js").Welcome} open connected
 * @property {{ code: number, reason: string }} closed it does not come back by itself; 4501: signed out
 * @property {import("./errors.js").WSFlaskError} error what belongs to no request
 * @property {StreamChange} stream after each connect, and when the server has lost its place
 * @property {{ degraded: boolean }} health the server's database went away, or is back
 */

/**
 * Connect to wsflask on the page's own host, and stay connected.
 * @param {ConnectOptions} [options]
 * @returns {Client}
 */
export function connect(options = {}) {
  const client = new Client(options);
  if (options.start !== false) client.open();
  return client;
}

/** What `connect()` returns. */
export class Client {
  /** @type {Emitter<ClientEvents>} */
  #events = new Emitter(["state", "open", "closed", "error", "stream", "health"]);
  #messenger;
  #documents;
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  #isDegraded = false;

  /** @param {ConnectOptions} [options] */
  constructor(options = {}) {
    const { url, path, port, WebSocket = globalThis.WebSocket, clock = CLOCK, random = Math.random } = options;
    const { page = /** @type {import("./page.js").Page} */ (globalThis) } = options;
    /** The address of the websocket. @readonly */
    this.url = address({ url, path, port }, globalThis.location);
    const parts = { url: this.url, WebSocket, clock, random, page };
    this.#messenger = new Messenger(parts, (error) => this.#events.emit("error", error));
    /** The user's notifications. @readonly */
    this.notifications = new Notifications(this.#messenger);
    /** The user's clipboard. @readonly */
    this.clipboard = new Clipboard(this.#messenger);
    /** Be in a room with others, and know who is here. @readonly */
    this.presence = presence(this.#messenger, parts);
    this.#documents = new Documents(this.#messenger, parts);
    this.#messenger.route(RESERVED.stream, ({ payload }) => this.#events.emit("stream", payload));
    this.#messenger.route(RESERVED.health, ({ payload }) => this.#degrade(payload?.degraded === true));
    this.#messenger.watch((change) => this.#changed(change));
  }

  /** idle, connecting, open, waiting (for the next attempt) or closed. */
  get state() {
    return this.#messenger.state;
  }

  /** Whether the server is there without its database: what needs it is late or refused. */
  get degraded() {
    return this.#isDegraded;
  }

  /** Connect; also again after closed. */
  open() {
    this.#messenger.open();
  }

  /** Disconnect and stay so. */
  close() {
    this.#messenger.close();
  }

  /**
   * Subscribe to documents.
   * @param {string} className an exposed class
   * @param {import("./wish.js").ViewOptions} [options]
   */
  documents(className, options = {}) {
    return this.#documents.view(className, options);
  }

  /**
   * Keep what the server rendered as live up to date, everywhere in the page or within a part of it.
   * @param {ParentNode} [root]
   * @returns {import("./view.js").View[]} one for each live element
   */
  live(root = document) {
    return this.#documents.live(root);
  }

  /**
   * Resolve when every view of this client shows what a request wrote. Rejects with a WSFlaskError: refused, closed,
   * or "timeout" after 30 seconds.
   * @param {import("./positions.js").Written} written the response of that request, or its `WSFlask-Position`
   */
  caughtUp(written) {
    return this.#documents.caughtUp(written);
  }

  /**
   * A channel of a service of your own; the same object for the same name.
   * @param {string} name
   */
  channel(name) {
    const channel = this.#channels.get(name) ?? new Channel(this.#messenger, name);
    this.#channels.set(name, channel);
    return channel;
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof ClientEvents} K
   * @param {K} event
   * @param {(value: ClientEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /** @param {import("./connection.js").StateChange} change */
  #changed(change) {
    const { state, welcome, code = 0, reason = "" } = change;
    if (state !== "open") this.#degrade(false);
    this.#events.emit("state", change);
    if (welcome) this.#events.emit("open", welcome);
    if (state === "closed") this.#events.emit("closed", { code, reason });
  }

  /** @param {boolean} degraded */
  #degrade(degraded) {
    if (this.#isDegraded === degraded) return;
    this.#isDegraded = degraded;
    this.#events.emit("health", { degraded });
  }
}
