/* Generated from wsflask.js by scripts/build_classic.py: change the modules, not this file. */

(function () {
"use strict";

// --- wsflask/address.js

/** Where the server is: next to this script, on the page's own host. */

const SCRIPT = new URL("wsflask/", document.currentScript.src).href;

/**
 * @typedef {object} AddressOptions
 * @property {string | URL} [url] the whole address (ws, wss, http, https, or relative to the page)
 * @property {string} [path] another path on the page's host
 * @property {number | string} [port] another port of the page's host, such as 8101
 */

/**
 * Return the address of the websocket; its scheme is wss where the page's is https.
 * @param {AddressOptions} options
 * @param {{ href: string, protocol: string } | undefined} page the page's location, if there is a page
 * @returns {string}
 */
function address({ url, path, port }, page, script = SCRIPT) {
  const here = page && /^https?:$/.test(page.protocol) ? page.href : script;
  const found = new URL(url ?? path ?? new URL("../../ws", script).pathname, here);
  if (port !== undefined) found.port = String(port);
  found.protocol = found.protocol.replace(/^http/, "ws");
  found.hash = "";
  if (!/^wss?:$/.test(found.protocol)) throw new TypeError(`no websocket address: ${found.href}`);
  return found.href;
}

// --- wsflask/commands.js

/** Commands: requests that are repeated until they are answered, and applied once. */

/** A command is given up this long after it was given. */
const COMMAND_MS = 30_000;

/**
 * Send a command. It is repeated after a lost connection and after "unavailable", under the same name: by it the server
 * knows what it has applied. No other page and no other tab gives that name.
 * @param {import("./messenger.js").Messenger} messenger
 * @param {string} channel
 * @param {object} payload
 * @param {{ timeoutMs?: number }} [options] default 30,000 milliseconds
 * @returns {Promise<import("./envelope.js").Envelope>} the answer; rejects with a WSFlaskError
 */
function command(messenger, channel, payload, { timeoutMs = COMMAND_MS } = {}) {
  const name = crypto.getRandomValues(new Uint32Array(4)).join(".");
  return messenger.request(channel, { ...payload, cmd_id: name }, { timeoutMs, lost: "resend" });
}

// --- wsflask/emitter.js

/** Listeners of one object: a listener that throws is reported and stops nothing. */

/**
 * Show an exception of somebody's listener where uncaught exceptions are shown.
 * @param {unknown} error
 */
function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}

/**
 * The named events of one object.
 * @template {object} Events value type of each event
 */
class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => void>>} */
  #listeners;

  /** @param {(keyof Events)[]} names all events there are: a mistyped name fails at once */
  constructor(names) {
    this.#listeners = new Map(names.map((name) => [name, new Set()]));
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof Events} K
   * @param {K} event
   * @param {(value: Events[K]) => void} listener
   * @returns {() => void}
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event);
    if (!listeners) {
      throw new TypeError(`there is no event "${String(event)}"; there are: ${[...this.#listeners.keys()].join(", ")}`);
    }
    if (typeof listener !== "function") throw new TypeError("a listener is a function");
    const call = (/** @type {Events[K]} */ value) => listener(value);
    listeners.add(call);
    return () => void listeners.delete(call);
  }

  /**
   * Call all who listen now.
   * @template {keyof Events} K
   * @param {K} event
   * @param {Events[K]} value
   */
  emit(event, value) {
    for (const call of [.../** @type {Set<any>} */ (this.#listeners.get(event))]) {
      try {
        call(value);
      } catch (error) {
        report(error);
      }
    }
  }
}

// --- wsflask/envelope.js

/** What the server says, checked once, here, before anything relies on it. */

/**
 * @typedef {object} Envelope
 * @property {string} channel
 * @property {any} payload
 * @property {string} [id] the request this answers
 * @property {string} [seq] position, where the channel has one
 */

/**
 * @typedef {object} Limits what the server takes from one connection
 * @property {number} messageBytes bytes of UTF-8 in one message
 * @property {number} messagesPerSecond
 * @property {number} burst messages at once before the rate counts
 * @property {number} subscriptions views of documents
 */

/**
 * @typedef {object} Welcome
 * @property {number} heartbeatMs the server says something at least this often
 * @property {Limits} limits
 * @property {string[]} channels what the server has services for
 */

/**
 * Whether a value from JSON is an object with keys.
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Return the message in a frame, or null when it is none.
 * @param {unknown} data
 * @returns {Envelope | null}
 */
function parseEnvelope(data) {
  try {
    const message = JSON.parse(/** @type {string} */ (data));
    return typeof message?.channel === "string" ? message : null;
  } catch {
    return null;
  }
}

/**
 * Return a number of seconds as milliseconds.
 * @param {unknown} seconds
 * @param {number} byDefault seconds
 * @param {number} most seconds
 */
function milliseconds(seconds, byDefault, most) {
  return Math.min(positive(seconds, byDefault), most) * 1000;
}

/**
 * Return the welcome in a payload; what is missing or nonsense gets the documented default.
 * @param {unknown} payload
 * @returns {Welcome}
 */
function readWelcome(payload) {
  const { heartbeat, limits, channels } = Object(payload);
  const { message_bytes: bytes, messages_per_second: rate, burst, subscriptions } = Object(limits);
  return {
    heartbeatMs: milliseconds(heartbeat, 25, 3600),
    limits: {
      messageBytes: positive(bytes, 65_536),
      messagesPerSecond: positive(rate, 20),
      burst: positive(burst, 60),
      subscriptions: positive(subscriptions, 100),
    },
    channels: Array.isArray(channels) ? channels.filter((name) => typeof name === "string") : [],
  };
}

/**
 * @param {unknown} value
 * @param {number} byDefault
 */
function positive(value, byDefault) {
  return typeof value === "number" && value > 0 && value < Infinity ? value : byDefault;
}

// --- wsflask/protocol.js

/** The names and codes of the wire; `wsflask/protocol/codes.py` holds the same, and a test compares them. */

/** Offered in the handshake: asks for ids, positions, heartbeats and a goodbye. */
const SUBPROTOCOL = "wsflask.v1";

/** Channels that only the server itself speaks on. */
const RESERVED = Object.freeze(
  /** @type {const} */ ({
    welcome: "welcome",
    error: "error",
    goodbye: "goodbye",
    ping: "ping",
    pong: "pong",
    stream: "stream",
    health: "health",
  }),
);

/** Channel of the user's notifications. */
const NOTIFICATIONS = "notifications";
/** Channel of the user's clipboard. */
const CLIPBOARD = "clipboard";
/** Channel of the views of documents. */
const DOCUMENTS = "documents";
/** Channel of who is here. */
const PRESENCE = "presence";

/** What a channel may be called. */
const CHANNEL_NAME = /^[a-z][a-z0-9_.-]{0,63}$/;

/** Codes with which the server refuses a message. */
const ERROR_CODES = Object.freeze(
  /** @type {const} */ ([
    "bad_json",
    "bad_envelope",
    "unknown_channel",
    "bad_action",
    "bad_data",
    "too_big",
    "too_deep",
    "forbidden",
    "not_found",
    "conflict",
    "rate_limited",
    "unavailable",
    "internal",
  ]),
);

/** Codes that this client adds, and what each means. */
const LOCAL_ERRORS = Object.freeze(
  /** @type {const} */ ({
    unknown: "Connection lost before the answer: it may have been done.",
    disconnected: "Connection lost before the answer.",
    timeout: "No answer in time.",
    queue_full: "Too many requests wait.",
    closed: "Connection closed.",
    bad_protocol: "This is no server of wsflask.v1.",
  }),
);

/** @typedef {typeof ERROR_CODES[number] | keyof typeof LOCAL_ERRORS} ErrorCode */

/** Why a connection was closed. 4500 to 4999 mean: do not come back. */
const CLOSE_CODES = Object.freeze(
  /** @type {const} */ ({
    NORMAL: 1000,
    GOING_AWAY: 1001,
    PROTOCOL_ERROR: 1002,
    UNSUPPORTED_DATA: 1003,
    NO_STATUS: 1005,
    ABNORMAL: 1006,
    INVALID_DATA: 1007,
    TOO_BIG: 1009,
    INTERNAL_ERROR: 1011,
    RESTART: 1012,
    OVERLOAD: 1013,
    SLOW_CONSUMER: 4001,
    POSITION_LOST: 4002,
    RATE_LIMITED: 4003,
    NO_HEARTBEAT: 4004,
    SESSION_ENDED: 4501,
    FORBIDDEN: 4503,
    TOO_MANY_CONNECTIONS: 4504,
    TOO_MANY_BAD_MESSAGES: 4508,
  }),
);

/**
 * Whether a close code means that coming back is pointless.
 * @param {number} code
 */
function isFinal(code) {
  return code >= 4500 && code <= 4999;
}

// --- wsflask/channel.js

/** One channel of a service: messages, requests, answers. */


/**
 * @typedef {object} ChannelEvents
 * @property {any} message the payload of a message that answers no request
 * @property {import("./client.js").StreamChange} reset what was missed is not known: the page has to ask for all it needs
 */

/** What `ws.channel(name)` returns. */
class Channel {
  /** @type {Emitter<ChannelEvents>} */
  #events = new Emitter(["message", "reset"]);
  #messenger;

  /**
   * @param {import("./messenger.js").Messenger} messenger
   * @param {string} name
   */
  constructor(messenger, name) {
    if (!CHANNEL_NAME.test(name) || Object.hasOwn(RESERVED, name)) {
      throw new TypeError(`"${name}" is no channel of a service`);
    }
    this.#messenger = messenger;
    this.name = name;
    messenger.route(name, ({ payload }) => this.#events.emit("message", payload));
    messenger.route(RESERVED.stream, ({ payload }) => {
      if (payload.state === "reset" && payload.channels.includes(name)) this.#events.emit("reset", payload);
    });
  }

  /**
   * Send without asking for an answer. What cannot be sent is told by the client's event "error".
   * @param {unknown} payload anything JSON can hold
   */
  send(payload) {
    this.#messenger.send(this.name, payload);
  }

  /**
   * Send a request. Rejects with a WSFlaskError: the server's refusal, or "unknown" when the connection was lost
   * after it was sent.
   * @param {unknown} payload anything JSON can hold
   * @param {{ timeoutMs?: number }} [options] default 10,000 milliseconds, then it rejects "timeout"
   * @returns {Promise<any>} the payload of the answer
   */
  async request(payload, { timeoutMs } = {}) {
    return (await this.#messenger.request(this.name, payload, { timeoutMs })).payload;
  }

  /**
   * Send a command: a request that is applied once. It waits for the connection, is repeated after a lost connection and
   * after "unavailable", and carries a name (`cmd_id`) by which the service knows what it has applied.
   * @param {object} payload what JSON can hold
   * @param {{ timeoutMs?: number }} [options] default 30,000 milliseconds, then it rejects "timeout" or "unavailable"
   * @returns {Promise<any>} the payload of the answer
   */
  async command(payload, options) {
    if (!isObject(payload)) throw new TypeError("a command is an object");
    return (await command(this.#messenger, this.name, payload, options)).payload;
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof ChannelEvents} K
   * @param {K} event
   * @param {(value: ChannelEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }
}

// --- wsflask/clipboard.js

/** The user's clipboard: the same entries in every tab and on every device. */


/**
 * @typedef {object} DataEntry raw data
 * @property {number} id
 * @property {"data"} kind
 * @property {string} label
 * @property {any} data
 * @property {string} created_dt
 */

/**
 * @typedef {object} ReferenceEntry a document
 * @property {number} id
 * @property {"reference"} kind
 * @property {string} label
 * @property {string} model
 * @property {string} object_id
 * @property {boolean} missing the document is gone
 * @property {string} created_dt
 */

/** @typedef {DataEntry | ReferenceEntry} Entry */

/**
 * @typedef {object} ClipboardEvents
 * @property {Entry[]} change the whole clipboard
 */

/** `ws.clipboard`. */
class Clipboard {
  /** @type {Emitter<ClipboardEvents>} */
  #events = new Emitter(["change"]);
  #messenger;
  /** @type {Entry[]} */
  #entries = [];
  #seq = "";
  /** The latest position on this connection; none: the next need not be a later one. */
  #latest = "";

  /** @param {import("./messenger.js").Messenger} messenger */
  constructor(messenger) {
    this.#messenger = messenger;
    // The answer to a request is how this tab is told of the state that it made, and the only message that tells of it:
    // it counts whoever asked, and also after the command was given up.
    messenger.route(CLIPBOARD, (message) => this.#receive(message), true);
    messenger.watch(({ state }) => {
      if (state === "open") this.#latest = "";
    });
  }

  /** The whole clipboard as last seen. */
  get entries() {
    return this.#entries;
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof ClipboardEvents} K
   * @param {K} event
   * @param {(value: ClipboardEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * Add an entry with raw data. Each command resolves with the clipboard that it made. It is repeated after a lost
   * connection and after "unavailable", is applied once, and is given up after 30 seconds.
   * @param {unknown} data anything JSON can hold
   * @returns {Promise<Entry[]>}
   */
  add(data) {
    return this.#command("clipboard_add", data);
  }

  /**
   * Add references to documents.
   * @param {string} model class name
   * @param {string[]} ids
   * @returns {Promise<Entry[]>}
   */
  load(model, ids) {
    return this.#command("clipboard_load", { model, ids });
  }

  /**
   * Remove one entry.
   * @param {number} id
   * @returns {Promise<Entry[]>}
   */
  remove(id) {
    return this.#command("clipboard_remove", id);
  }

  /**
   * Remove all entries.
   * @returns {Promise<Entry[]>}
   */
  flush() {
    return this.#command("clipboard_flush", null);
  }

  /**
   * @param {string} action
   * @param {unknown} data
   * @returns {Promise<Entry[]>}
   */
  async #command(action, data) {
    return (await command(this.#messenger, CLIPBOARD, { action, data })).payload;
  }

  /**
   * Take a state, unless a later one was seen on this connection.
   * @param {import("./envelope.js").Envelope} message
   */
  #receive({ payload: entries, id, seq = "" }) {
    if (!Array.isArray(entries) || (id && !seq)) return;
    if (seq && (seq === this.#seq || seq < this.#latest)) return;
    this.#seq = this.#latest = seq;
    this.#entries = entries;
    this.#events.emit("change", entries);
  }
}

// --- wsflask/clock.js

/** Time as the client sees it: monotonic, so that a changed wall clock disconnects nobody. */

/**
 * @typedef {object} Clock
 * @property {() => number} now milliseconds since some fixed moment
 * @property {(call: () => void, delayMs: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** @type {Clock} */
const CLOCK = Object.freeze({
  now: () => performance.now(),
  setTimeout: (call, delayMs) => setTimeout(call, delayMs),
  clearTimeout: (timer) => clearTimeout(timer),
});

// --- wsflask/backoff.js

/** How long to wait before the next attempt. */

/** Longest wait before the first repeat, in milliseconds; doubles with each failure. */
const BASE_MS = 500;

/** Longest wait ever, in milliseconds. */
const CAP_MS = 30_000;

/**
 * Return milliseconds to wait: full jitter, so that many clients do not come back at one moment.
 * @param {number} attempt failures so far, from 0
 * @param {() => number} random from 0 to below 1
 */
function fullJitter(attempt, random) {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}

// --- wsflask/errors.js

/** The error with which requests are refused. */


/** A refused or failed request: `code` is for programs, `message` is a sentence for people. */
class WSFlaskError extends Error {
  /**
   * @param {import("./protocol.js").ErrorCode | (string & {})} code
   * @param {string} [message] default: the sentence of a code of this client
   */
  constructor(code, message = LOCAL_ERRORS[/** @type {"closed"} */ (code)]) {
    super(message);
    this.name = "WSFlaskError";
    /** One of `ERROR_CODES` (the server refused), or a key of `LOCAL_ERRORS` (no answer came). */
    this.code = code;
  }

  /**
   * Return the error in the payload of the server's `error` message.
   * @param {any} payload
   */
  static from(payload) {
    const { code = "internal", message = code } = Object(payload);
    return new WSFlaskError(String(code), String(message));
  }
}

// --- wsflask/rows.js

/** Rows by their key, and in order; no I/O. */

/** @typedef {Record<string, any>} Row with its `_id` */

/** The rows of a view. */
class Rows {
  /** @type {Map<unknown, Row>} */
  byKey = new Map();
  /** @type {unknown[]} */
  #keys = [];
  /** The rows in order, made when somebody asks for them. @type {Row[] | null} */
  #list = null;

  /** The rows in order; another array after each change. @returns {readonly Row[]} */
  get list() {
    return (this.#list ??= this.#keys.map((key) => /** @type {Row} */ (this.byKey.get(key))));
  }

  /**
   * Put a row, or take it out (null), and return the one that was there.
   * @param {unknown} key
   * @param {Row | null} row
   * @param {unknown} [after] key of the row in front of it, null: it is first; none: where it was, or else last
   * @returns {Row | null}
   */
  change(key, row, after) {
    const previous = this.byKey.get(key) ?? null;
    this.#list = null;
    if (previous && (!row || after !== undefined)) this.#keys.splice(this.#keys.indexOf(key), 1);
    if (!row) {
      this.byKey.delete(key);
      return previous;
    }
    this.byKey.set(key, row);
    // From the end: a load comes in order, so that each row stands behind the last.
    if (after !== undefined) this.#keys.splice(after === null ? 0 : this.#keys.lastIndexOf(after) + 1, 0, key);
    else if (!previous) this.#keys.push(key);
    return previous;
  }
}

/**
 * A primary key as the key of a Map: one that is an object counts by its content.
 * @param {unknown} id
 */
function rowKey(id) {
  return typeof id === "object" && id !== null ? JSON.stringify(id) : id;
}

// --- wsflask/live.js

/** Rows that the server renders, kept up to date in the page: the one module that touches the DOM. */


/** @typedef {import("./view.js").View} View */
/** @typedef {(sealed: string, shown: import("./subscription.js").Shown) => View} Open */

/** What the server's template writes: the sealed view, its position, its name; and at each row its id, as JSON. */
const SEALED = "data-wsflask-live";
const POSITION = "data-wsflask-seq";
const NAME = "data-wsflask-view";
const ROW_ID = "data-wsflask-id";
/** What the page may read: the state of the view. */
const STATE = "data-wsflask-state";

/** The view of each element that has one. @type {WeakMap<Element, View>} */
const VIEWS = new WeakMap();

/**
 * Return the views of all live elements in a part of the page; one that is attached already keeps its view.
 * @param {ParentNode} root
 * @param {Open} open
 */
function attach(root, open) {
  const found = [...root.querySelectorAll(`[${SEALED}]`)];
  if (root instanceof Element && root.hasAttribute(SEALED)) found.unshift(root);
  return found.map((element) => {
    const view = VIEWS.get(element);
    return view && view.state !== "closed" ? view : new Region(element).follow(open);
  });
}

/** One live element, and the elements of its rows. */
class Region {
  #container;
  /** What there is of each row; `html` is not known of those that came with the page. */
  #shown = /** @type {Map<unknown, { element: Element, html?: string }>} */ (new Map());

  /** @param {Element} container */
  constructor(container) {
    this.#container = container;
  }

  /** @param {Open} open */
  follow(open) {
    const container = this.#container;
    const ids = [];
    for (let row = rowFrom(container.firstElementChild); row; row = rowFrom(row.nextElementSibling)) {
      const id = JSON.parse(row.getAttribute(ROW_ID) ?? "");
      this.#shown.set(rowKey(id), { element: row });
      ids.push(id);
    }
    const [sealed = "", seq, name] = [SEALED, POSITION, NAME].map((key) => container.getAttribute(key) ?? undefined);
    const view = open(sealed, { seq, view: name, ids });
    VIEWS.set(container, view);
    view.on("change", (change) => this.#change(change));
    view.on("load", () => {
      this.#show(view);
      this.#tell("load", {});
    });
    const enter = () => {
      container.setAttribute(STATE, view.state);
      if (view.state === "failed") this.#show(view);
    };
    view.on("state", enter);
    enter();
    return view;
  }

  /** @param {import("./subscription.js").RowChange} change */
  #change({ op, id, row, after }) {
    const element = row ? this.#draw(id, row) : this.#drop(id);
    if (row && element) {
      if (after !== undefined) this.#place(element, this.#shown.get(after)?.element);
      else if (element.parentNode !== this.#container) this.#place(element, this.#lastRow());
    }
    this.#tell("change", { op, id, element });
  }

  /**
   * Show all rows of a view, and no others.
   * @param {View} view
   */
  #show({ rows, list }) {
    for (const id of this.#shown.keys()) if (!rows.has(id)) this.#drop(id);
    /** @type {Element | undefined} */
    let front;
    for (const row of list) {
      const element = this.#draw(rowKey(row._id), row);
      if (element) this.#place(element, front);
      front = element ?? front;
    }
  }

  /**
   * Return the element of a row: the one in the page where it is the same, else a new one in its place.
   * @param {unknown} id
   * @param {import("./rows.js").Row} row without `html`: it is as the page had it, or its template failed
   */
  #draw(id, { _id, html }) {
    const old = this.#shown.get(id);
    if (typeof html !== "string" || html === old?.html) return old?.element;
    const template = document.createElement("template");
    template.innerHTML = html;
    let element = template.content.firstElementChild;
    element?.setAttribute(ROW_ID, old?.element.getAttribute(ROW_ID) ?? JSON.stringify(_id));
    if (old?.element.isEqualNode(element)) element = old.element;
    else if (element) old?.element.replaceWith(element);
    else this.#drop(id);
    if (element) this.#shown.set(id, { element, html });
    return element;
  }

  /**
   * Put an element behind that of another row, or before all rows; one that is there stays untouched, with its focus.
   * @param {Element} element
   * @param {Element | undefined} front
   */
  #place(element, front) {
    const container = this.#container;
    const next = rowFrom(front ? front.nextElementSibling : container.firstElementChild);
    if (next === element) return;
    const before = front ? front.nextSibling : next;
    // Where the browser can, what is moved keeps its focus too.
    if (element.parentNode === container && container.moveBefore) container.moveBefore(element, before);
    else container.insertBefore(element, before);
  }

  /** @param {unknown} id */
  #drop(id) {
    const element = this.#shown.get(id)?.element;
    element?.remove();
    this.#shown.delete(id);
    return element;
  }

  #lastRow() {
    return rowFrom(this.#container.lastElementChild, "previousElementSibling") ?? undefined;
  }

  /**
   * @param {string} event
   * @param {object} detail
   */
  #tell(event, detail) {
    this.#container.dispatchEvent(new CustomEvent(`wsflask:${event}`, { bubbles: true, detail }));
  }
}

/**
 * Return the first row among an element and those behind it, or before it.
 * @param {Element | null} element
 * @param {"nextElementSibling" | "previousElementSibling"} [next]
 */
function rowFrom(element, next = "nextElementSibling") {
  while (element && !element.hasAttribute(ROW_ID)) element = element[next];
  return element;
}

// --- wsflask/positions.js

/** Waiting until the views of a page show what it has written. */


/** Header of a response: the position of what its request wrote. */
const POSITION_HEADER = "WSFlask-Position";
/** A wait is given up after this time. */
const CAUGHT_UP_MS = 30_000;

/** @typedef {string | { headers: { get(name: string): string | null } }} Written a position, or a response of `fetch` */

/**
 * @typedef {object} Wait
 * @property {string} seq
 * @property {boolean} isAsked
 * @property {(error?: WSFlaskError) => void} settle
 */

/** Asks the server whether it has sent everything up to a position. */
class Positions {
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

// --- wsflask/subscription.js

/** The rows of one subscription, as the server's messages make them; no I/O. */


/** @typedef {import("./rows.js").Row} Row */
/** @typedef {"loading" | "live" | "stale" | "failed" | "closed"} ViewState */

/**
 * @typedef {object} Shown rows that are in the page before anything was asked for
 * @property {string} [seq] as of when
 * @property {string} [view] the server's name for it
 * @property {unknown[]} ids
 */

/**
 * @typedef {object} Granted what the server made of the wish
 * @property {boolean} showHidden whether hidden fields are shown
 * @property {unknown} orderBy null: in no order
 * @property {number | null} limit null: all rows
 */

/**
 * @typedef {object} RowChange
 * @property {"L" | "I" | "U" | "D" | "R"} op insert, update, delete, removed from view (L: loaded again, because what
 *   the user may read changed)
 * @property {unknown} id
 * @property {Row | null} row as it is now; null after D and R
 * @property {Row | null} previous as it was before, if it was there
 * @property {unknown} [after] in an ordered view, of a row that is there: the id of the one in front, null: it is first
 */

/**
 * @typedef {object} ViewEvents
 * @property {RowChange} change one row changed
 * @property {ReadonlyMap<unknown, Row>} load all rows are there: at first, and after each reset
 * @property {{ rows: number }} reset continuity was lost: that many rows are loaded anew, then comes `load`
 * @property {ViewState} state
 * @property {import("./errors.js").WSFlaskError} error the server refused it, or it is tried again
 */

/** @typedef {(event: keyof ViewEvents | "joined" | "refused", value: any) => void} Sink */

/** Load, insert, update, delete, removed from view. */
const OPS = new Set(["L", "I", "U", "D", "R"]);

const UTF8 = new TextEncoder();

/** What the server was asked for, and the rows it has told so far. */
class Subscription {
  /** @type {ViewState} */
  state = "loading";
  /** Why it failed. @type {import("./errors.js").WSFlaskError | null} */
  error = null;
  /** Whether all rows were there once. */
  isLoaded = false;
  /** @type {Granted} */
  granted = { showHidden: false, orderBy: null, limit: null };
  /** @type {string | undefined} */
  viewId;
  /** Who is told of it; none left: it ends. @type {Set<Sink>} */
  sinks = new Set();
  /** Whether it has to be asked for, and whether it is being asked for. */
  isWanted = true;
  isAsked = false;
  failures = 0;
  #rows = new Rows();
  /** @type {string | undefined} */
  #seq;
  /** Rows of a load under way: they replace the old ones together, so that nothing flashes. */
  #fresh = /** @type {Rows | null} */ (null);
  /** @type {string | undefined} */
  #freshSeq;
  /** Messages to come of the load or of what was missed. */
  #left = 0;

  /**
   * @param {string} key
   * @param {import("./wish.js").Wish} wish
   * @param {Shown} [shown]
   */
  constructor(key, wish, shown) {
    this.key = key;
    this.wish = wish;
    if (!shown) return;
    for (const id of shown.ids) this.#rows.change(rowKey(id), { _id: id });
    this.#seq = shown.seq;
    this.viewId = shown.view;
    this.isLoaded = true;
    this.state = "stale";
  }

  /** By key. */
  get rows() {
    return this.#rows.byKey;
  }

  /** In order. */
  get list() {
    return this.#rows.list;
  }

  /**
   * Data of the request that subscribes, or that resumes after what was seen last: with the ids of the rows that are
   * held, so that the server can tell which of them are gone, unless they take too much room.
   * @param {number} roomBytes
   */
  request(roomBytes) {
    if (this.#seq === undefined) return this.wish;
    const seen = { ...this.wish, start_seq: this.#seq, view: this.viewId };
    const held = { ...seen, rows: this.list.map(({ _id }) => _id) };
    return UTF8.encode(JSON.stringify(held)).length < roomBytes ? held : seen;
  }

  /**
   * Take the server's answer to the request.
   * @param {Record<string, any>} answer
   */
  begin({ view, state, seq, rows, show_hidden: showHidden, order_by: orderBy = null, limit = null }) {
    this.viewId = view;
    this.granted = { showHidden: showHidden === true, orderBy, limit };
    this.failures = 0;
    if (state === "resumed" && this.isLoaded) {
      this.#left = count(rows);
      if (this.#left === 0) this.#enter("live");
    } else this.#load(rows, seq, state === "reset");
  }

  /**
   * Take a message about the view.
   * @param {Record<string, any>} message
   */
  apply({ op, seq, rows, message, after: front }) {
    if (op === "reset") return this.#load(rows, seq, true);
    if (!OPS.has(op) || !isObject(message) || message._id === undefined) return;
    const id = rowKey(message._id);
    const after = rowKey(front);
    const row = op === "D" || op === "R" ? null : message;
    const previous = (this.#fresh ?? this.#rows).change(id, row, after);
    if (!this.#fresh || op !== "L" || seq > (this.#freshSeq ?? "")) this.#advance(seq);
    if (this.#fresh) {
      if (op === "L") this.#left -= 1;
      if (this.#left === 0) this.#loaded();
      return;
    }
    if (row || previous) this.emit("change", { op, id, row, previous, after });
    if (this.#left > 0 && --this.#left === 0) this.#enter("live");
  }

  /**
   * What the user may read changed: the view has another name, and its rows stay but for what is told next.
   * @param {Record<string, any>} message
   */
  move({ to, seq }) {
    this.viewId = to;
    this.#advance(seq);
  }

  /** The connection is lost: the rows stay, and stay as they are. */
  interrupt() {
    if (this.#fresh) this.#seq = undefined;
    this.#fresh = null;
    this.#left = 0;
    this.#enter(this.isLoaded ? "stale" : "loading");
  }

  /**
   * The server refuses it: what may not be read any more is not kept.
   * @param {import("./errors.js").WSFlaskError} error
   */
  fail(error) {
    this.#fresh = null;
    this.#rows = new Rows();
    this.error = error;
    this.#enter("failed");
    this.emit("refused", error);
    this.emit("error", error);
  }

  /**
   * Take over the listeners of another that turned out to be the same view.
   * @param {Subscription} other
   */
  absorb(other) {
    for (const sink of other.sinks) {
      this.sinks.add(sink);
      sink("joined", this);
      if (this.isLoaded) sink("load", this.rows);
    }
    other.sinks.clear();
  }

  /** @type {Sink} */
  emit(event, value) {
    for (const sink of [...this.sinks]) sink(event, value);
  }

  /**
   * @param {unknown} rows
   * @param {string | undefined} seq
   * @param {boolean} isReset
   */
  #load(rows, seq, isReset) {
    this.#fresh = new Rows();
    this.#freshSeq = seq;
    this.#left = count(rows);
    if (isReset) this.emit("reset", { rows: this.#left });
    this.#enter("loading");
    if (this.#left === 0) this.#loaded();
  }

  #loaded() {
    this.#rows = this.#fresh ?? new Rows();
    this.#seq = this.#freshSeq;
    this.#fresh = null;
    this.isLoaded = true;
    this.#enter("live");
    this.emit("load", this.rows);
  }

  /** @param {string | undefined} seq */
  #advance(seq) {
    if (this.#fresh) this.#freshSeq = seq ?? this.#freshSeq;
    else this.#seq = seq ?? this.#seq;
  }

  /** @param {ViewState} state */
  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }
}

/** @param {unknown} rows */
function count(rows) {
  return typeof rows === "number" && rows > 0 ? Math.floor(rows) : 0;
}

// --- wsflask/changes.js

/** The changes of a view, one after another, for `for await`. */

/** @typedef {import("./subscription.js").RowChange} RowChange */

/**
 * Return the changes from now on. Of a row that changes again before its change is taken only the newest is kept, so
 * that never more of them wait than there are rows.
 * @param {import("./view.js").View} view
 * @param {boolean} isLoaded whether its rows are there
 * @returns {AsyncGenerator<RowChange, void, void>}
 */
function changesOf(view, isLoaded) {
  /** @type {Map<unknown, RowChange>} */
  const waiting = new Map();
  let rows = isLoaded ? view.rows : null;
  let wake = () => {};

  const note = (/** @type {RowChange} */ change) => {
    const { previous } = waiting.get(change.id) ?? change;
    waiting.delete(change.id);
    // A row that came and went since is none that anybody saw.
    if (change.row || previous) waiting.set(change.id, { ...change, previous });
    wake();
  };
  /** Tell the rows that were loaded anew by what differs from those before. */
  const reload = () => {
    const before = rows ?? view.rows;
    rows = view.rows;
    if (rows === before) return;
    for (const [id, previous] of before) if (!rows.has(id)) note({ op: "R", id, row: null, previous });
    for (const [id, row] of rows) note({ op: "L", id, row, previous: before.get(id) ?? null });
  };
  const stops = [view.on("change", note), view.on("load", reload), view.on("state", () => wake())];

  return (async function* () {
    try {
      while (view.state !== "closed") {
        if (view.error) throw view.error;
        const [change] = waiting.values();
        if (change) {
          waiting.delete(change.id);
          yield change;
        } else await new Promise((/** @type {(value: void) => void} */ resolve) => (wake = resolve));
      }
    } finally {
      for (const stop of stops) stop();
    }
  })();
}

// --- wsflask/view.js

/** What a page holds of a subscription: live rows, events, and the way to end it. */


/** @typedef {import("./subscription.js").Subscription} Subscription */
/** @typedef {import("./subscription.js").Sink} Sink */
/** @typedef {import("./subscription.js").ViewEvents} ViewEvents */

/** What `ws.documents(className)` returns. */
class View {
  /** @type {Emitter<ViewEvents>} */
  #events = new Emitter(["change", "load", "reset", "state", "error"]);
  /** @type {Subscription} */
  #subscription;
  #release;
  #isClosed = false;
  /** @type {(view: View) => void} */
  #resolve = () => {};
  /** @type {(reason: unknown) => void} */
  #reject = () => {};

  /**
   * @param {Subscription} subscription
   * @param {(subscription: Subscription, sink: Sink) => void} release
   */
  constructor(subscription, release) {
    this.#subscription = subscription;
    this.#release = release;
    /** Resolves with this view when its rows are there; rejects when it is refused or closed before. */
    this.ready = new Promise((/** @type {(view: View) => void} */ resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ready.catch(() => {});
    subscription.sinks.add(this.#sink);
    if (subscription.isLoaded) queueMicrotask(() => this.#sink("load", this.rows));
  }

  /** @type {Sink} */
  #sink = (event, value) => {
    if (this.#isClosed) return;
    if (event === "joined") this.#subscription = value;
    else if (event === "refused") this.#reject(value);
    else {
      if (event === "load") this.#resolve(this);
      this.#events.emit(event, value);
    }
  };

  /** The rows by `_id`; a new Map after each load. @returns {ReadonlyMap<any, import("./subscription.js").Row>} */
  get rows() {
    return this.#subscription.rows;
  }

  /** The rows in order: the server's in an ordered view, else as they came; another array after each change. */
  get list() {
    return this.#subscription.list;
  }

  /** loading, live, stale (the connection is lost; rows as last seen), failed (refused), closed. */
  get state() {
    return this.#isClosed ? "closed" : this.#subscription.state;
  }

  /** Why it failed, or null. */
  get error() {
    return this.#subscription.error;
  }

  /** Whether hidden fields are shown: what the server granted. */
  get showHidden() {
    return this.#subscription.granted.showHidden;
  }

  /** By what the server orders the rows; null: in no order. */
  get orderBy() {
    return this.#subscription.granted.orderBy;
  }

  /** How many rows there are at most; null: all. */
  get limit() {
    return this.#subscription.granted.limit;
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof ViewEvents} K
   * @param {K} event
   * @param {(value: ViewEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * The changes that come after the rows: `for await (const { op, id, row, previous } of view)`. Who is slow gets of
   * each row the newest change. Ends when the view is closed, throws its WSFlaskError when it fails.
   */
  [Symbol.asyncIterator]() {
    return changesOf(this, this.#subscription.isLoaded);
  }

  /** End it; the last of equal views ends the subscription. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release(this.#subscription, this.#sink);
    this.#reject(new WSFlaskError("closed", "The view was closed."));
    this.#events.emit("state", "closed");
  }
}

// --- wsflask/wish.js

/** What a view asks for: the options of a page as the data of a request. */

/** @typedef {"==" | "!=" | "<" | "<=" | ">" | ">=" | "in"} Operator */

/**
 * @typedef {object} Condition
 * @property {string} fn field
 * @property {Operator} op
 * @property {unknown} val
 */

/**
 * Conditions in short: a value means `==`, else the operators and what they compare with.
 * @typedef {{ [field: string]: string | number | boolean | null | { [op in Operator]?: unknown } }} Conditions
 */

/**
 * The keys select the fields; null and true leave a reference as an id, false and a catalog expand it.
 * @typedef {{ [field: string]: null | boolean | Catalog }} Catalog
 */

/**
 * @typedef {object} ViewOptions
 * @property {Condition[] | Conditions} [scope] all must hold; default: all rows one may read
 * @property {string[]} [fields] the fields; default: all that are exposed
 * @property {Catalog} [catalog] the fields, with those of references; in place of `fields`
 * @property {boolean} [showHidden] ask for hidden fields too; the server decides
 * @property {string | string[]} [orderBy] `"field"`, `"-field"` for the largest first, or up to 4 of these
 * @property {number} [limit] only so many rows, the first in order; default with `orderBy`: 1,000
 */

/**
 * @typedef {object} ClassWish
 * @property {string} class_name
 * @property {Condition[] | Conditions} [data_scope]
 * @property {Catalog} [catalog]
 * @property {boolean} [show_hidden]
 * @property {string | string[]} [order_by]
 * @property {number} [limit]
 */
/** @typedef {ClassWish | { live: string }} Wish of a class, or sealed by the server that rendered the page */

/**
 * Return what to ask the server for.
 * @param {string} className
 * @param {ViewOptions} options
 * @returns {ClassWish}
 */
function wishOf(className, { scope, fields, catalog, showHidden, orderBy, limit }) {
  if (typeof className !== "string" || className === "") throw new TypeError("give the name of a document class");
  if (fields && catalog) throw new TypeError("give fields or a catalog, not both");
  return {
    class_name: className,
    data_scope: scope,
    catalog: fields ? Object.fromEntries(fields.map((field) => [field, null])) : catalog,
    show_hidden: showHidden,
    order_by: orderBy,
    limit,
  };
}

// --- wsflask/documents.js

/** Which subscriptions there are, and that the server knows them: after each connect, and after each close. */


/** Subscriptions asked for at once: a page with many views does not load them all in one moment. */
const ASKED_AT_ONCE = 8;

/** Of the largest message that the server takes, how much a request to resume may fill: 48 KiB of 64. */
const RESUME_SHARE = 0.75;

/** Refusals that may not last: they are tried again. */
const PASSING = new Set(["unavailable", "internal", "rate_limited", "timeout", "queue_full"]);

/** Ends of a request that the next connection makes good, if there is one. */
const INTERRUPTED = new Set(["disconnected", "unknown", "closed"]);

/** All subscriptions of a client. */
class Documents {
  #messenger;
  #clock;
  #random;
  /** By what was asked for. @type {Map<string, Subscription>} */
  #wanted = new Map();
  /** By the server's name for it, on this connection. @type {Map<string, Subscription>} */
  #byView = new Map();
  /** Views that the server keeps for this connection. @type {Set<string>} */
  #held = new Set();
  #asked = 0;
  #roomBytes = 0;
  #positions;

  /**
   * @param {import("./messenger.js").Messenger} messenger
   * @param {{ clock: import("./clock.js").Clock, random: () => number }} options
   */
  constructor(messenger, { clock, random }) {
    this.#messenger = messenger;
    this.#clock = clock;
    this.#random = random;
    this.#positions = new Positions(messenger, clock, () => this.#isLive());
    messenger.route(
      DOCUMENTS,
      ({ payload }) => {
        if (isObject(payload)) this.#receive(payload);
        this.#positions.ask();
      },
      true,
    );
    messenger.watch(({ state, previous, welcome }) => {
      if (previous === "open") this.#interrupt();
      if (welcome) this.#resume(welcome.limits.messageBytes);
      if (state === "closed") this.#refuse();
      this.#positions.ask();
    });
  }

  /**
   * Return a new view; equal ones share a subscription.
   * @param {string} className
   * @param {import("./wish.js").ViewOptions} options
   */
  view(className, options) {
    return this.#view(wishOf(className, options));
  }

  /**
   * Return the views of what the server rendered within an element, each following its part of the page.
   * @param {ParentNode} root
   */
  live(root) {
    return attach(root, (sealed, shown) => this.#view({ live: sealed }, shown));
  }

  /**
   * Resolve when all views show what was written at a position.
   * @param {import("./positions.js").Written} written
   */
  caughtUp(written) {
    return this.#positions.caughtUp(written);
  }

  /**
   * @param {import("./wish.js").Wish} wish
   * @param {import("./subscription.js").Shown} [shown]
   */
  #view(wish, shown) {
    const text = JSON.stringify(wish);
    const key = text + (shown?.seq ?? "");
    const subscription = this.#wanted.get(key) ?? new Subscription(key, JSON.parse(text), shown);
    this.#wanted.set(key, subscription);
    const view = new View(subscription, (current, sink) => this.#release(current, sink));
    this.#pump();
    return view;
  }

  #isLive() {
    return [...this.#wanted.values()].every(({ state }) => state === "live");
  }

  /** @param {Record<string, any>} message */
  #receive(message) {
    const { op, view, to, state } = message;
    // An answer: the server keeps the view from here on, also where nobody waits for it any more.
    if (state && typeof view === "string") {
      this.#held.add(view);
      return this.#pump();
    }
    const subscription = this.#byView.get(view);
    const isRenamed = op === "moved" && typeof to === "string";
    if (!isRenamed && op !== "end") return subscription?.apply(message);
    this.#byView.delete(view);
    if (this.#held.delete(view) && isRenamed) this.#held.add(to);
    if (subscription && isRenamed) this.#join(subscription, to).move(message);
    else if (subscription) this.#fail(subscription, WSFlaskError.from(message));
  }

  /**
   * @param {Subscription} subscription
   * @param {import("./subscription.js").Sink} sink
   */
  #release(subscription, sink) {
    subscription.sinks.delete(sink);
    if (subscription.sinks.size > 0) return;
    this.#forget(subscription);
    this.#pump();
  }

  /** @param {Subscription} subscription */
  #forget(subscription) {
    const { key, viewId } = subscription;
    if (this.#wanted.get(key) === subscription) this.#wanted.delete(key);
    if (viewId !== undefined && this.#byView.get(viewId) === subscription) this.#byView.delete(viewId);
  }

  /** @param {number} messageBytes largest message that the server takes */
  #resume(messageBytes) {
    this.#roomBytes = messageBytes * RESUME_SHARE;
    for (const subscription of this.#wanted.values()) subscription.isWanted = !subscription.isAsked;
    this.#pump();
  }

  #interrupt() {
    this.#byView.clear();
    this.#held.clear();
    for (const subscription of this.#wanted.values()) subscription.interrupt();
  }

  /** Ask for what is wanted, a few at a time; then end what nobody watches. */
  #pump() {
    this.#positions.ask();
    if (this.#messenger.state === "closed") return this.#refuse();
    if (this.#messenger.state !== "open") return;
    for (const subscription of this.#wanted.values()) {
      if (this.#asked >= ASKED_AT_ONCE) return;
      if (subscription.isWanted) this.#subscribe(subscription);
    }
    // A view is ended only while no request is under way: its answer could name that very view.
    if (this.#asked === 0) this.#sweep();
  }

  /**
   * @param {Subscription} subscription
   * @param {number} [roomBytes]
   */
  #subscribe(subscription, roomBytes = this.#roomBytes) {
    const data = subscription.request(roomBytes);
    subscription.isWanted = false;
    subscription.isAsked = true;
    this.#asked += 1;
    this.#messenger.ask(DOCUMENTS, { action: "subscribe", data }, { lost: "disconnected" }, (error, answer) => {
      this.#asked -= 1;
      subscription.isAsked = false;
      // Ids that are objects may have more keys than the server takes in one message.
      if (error?.code === "too_big" && "rows" in data) this.#subscribe(subscription, 0);
      else if (error) this.#failed(subscription, error);
      else if (isObject(answer.payload) && typeof answer.payload.view === "string") {
        if (subscription.sinks.size > 0) this.#join(subscription, answer.payload.view).begin(answer.payload);
      } else this.#failed(subscription, new WSFlaskError("internal", "The answer names no view."));
      this.#pump();
    });
  }

  /**
   * Know a subscription by the server's name for it; if another has that name already the two become one. Return it:
   * the one whose rows the server goes on from.
   * @param {Subscription} subscription
   * @param {string} view
   */
  #join(subscription, view) {
    const same = this.#byView.get(view) ?? subscription;
    const [current, other] = subscription.isLoaded ? [subscription, same] : [same, subscription];
    this.#byView.set(view, current);
    if (current !== other) {
      this.#forget(other);
      current.absorb(other);
    }
    return current;
  }

  /**
   * @param {Subscription} subscription
   * @param {WSFlaskError} error
   */
  #failed(subscription, error) {
    if (INTERRUPTED.has(error.code) || subscription.sinks.size === 0) return;
    if (PASSING.has(error.code)) {
      subscription.emit("error", error);
      this.#clock.setTimeout(
        () => {
          subscription.isWanted = !subscription.isAsked;
          this.#pump();
        },
        fullJitter(subscription.failures++, this.#random),
      );
    } else this.#fail(subscription, error);
  }

  /**
   * @param {Subscription} subscription
   * @param {WSFlaskError} error
   */
  #fail(subscription, error) {
    this.#forget(subscription);
    subscription.fail(error);
  }

  /** Nobody waits for rows that do not come. */
  #refuse() {
    for (const subscription of this.#wanted.values()) subscription.emit("refused", new WSFlaskError("closed"));
  }

  #sweep() {
    for (const view of this.#held) {
      if (this.#byView.has(view)) continue;
      this.#held.delete(view);
      this.#messenger.ask(DOCUMENTS, { action: "unsubscribe", data: { view } }, { lost: "disconnected" }, () => {});
    }
  }
}

// --- wsflask/page.js

/** What a page tells: moments at which a lost connection is worth an attempt at once, and that it is left. */

/**
 * @typedef {object} Page
 * @property {EventTarget} [window]
 * @property {EventTarget & { visibilityState?: string }} [document]
 * @property {Pick<Storage, "getItem" | "setItem">} [sessionStorage] may throw, also when it is looked at
 */

/**
 * Call `wake` when the network is back and when the page becomes visible, and `hide` when it is left; the returned
 * function stops that.
 * @param {Page} page
 * @param {() => void} wake
 * @param {() => void} hide
 * @returns {() => void}
 */
function watchPage({ window, document }, wake, hide) {
  // As the options of a listener: what counts there is its signal.
  const controller = new AbortController();
  const seen = () => {
    if (document?.visibilityState === "visible") wake();
  };
  window?.addEventListener("online", wake, controller);
  window?.addEventListener("pagehide", hide, controller);
  document?.addEventListener("visibilitychange", seen, controller);
  return () => controller.abort();
}

// --- wsflask/streams.js

/** How far the page has come in each stream of the server, so that it misses nothing: kept over a reload. */


/** Places are kept this long, by the wall clock. */
const KEPT_MS = 3_600_000;
/** They are written at most this often, and when the page is left. */
const SAVE_MS = 1_000;

/**
 * @typedef {object} Place how far the page has come in a stream
 * @property {string[]} channels whose messages are in it
 * @property {string} epoch what the position counts in: this user's stream in this database
 * @property {string} seq position of the last message that was surfaced
 * @property {boolean} [isTold] whether the server has told of the stream on this connection
 */

/** @typedef {import("./envelope.js").Envelope} Envelope */

/** Surfaces each message of a stream once, and knows where to resume. */
class Streams {
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

// --- wsflask/connection.js

/** One websocket at a time, opened again until it is told not to: idle, connecting, open, waiting, closed. */


/** A handshake may take this long, welcome included. */
const CONNECTING_MS = 20_000;
/** A connection that was open this long was healthy: the next wait starts small again. */
const HEALTHY_MS = 5_000;
/** After one and a half heartbeats without a word the client asks, and waits this long for a sign of life. */
const PROBE_MS = 5_000;

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
class Connection {
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

// --- wsflask/pace.js

/** Keeps the client below the rate at which the server would cut it off. */

/**
 * Return a function that takes leave to send one message: it returns 0, or else the milliseconds after which to ask
 * again. It stays under the limits by a margin: what the network delays arrives together.
 * @param {import("./clock.js").Clock} clock
 * @param {import("./envelope.js").Limits} limits
 * @returns {() => number}
 */
function paceOf(clock, { messagesPerSecond, burst }) {
  const perMs = (messagesPerSecond * 0.9) / 1000;
  const most = Math.max(1, burst / 2);
  let left = most;
  let at = clock.now();
  return () => {
    const now = clock.now();
    left = Math.min(most, left + (now - at) * perMs);
    at = now;
    if (left < 1) return Math.ceil((1 - left) / perMs);
    left -= 1;
    return 0;
  };
}

// --- wsflask/outbox.js

/** Messages that are not settled: they wait for the connection and for answers, in order and below the server's rate. */


/** Messages that may wait; beyond it the oldest is refused. */
const OUTBOX_LENGTH = 100;

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
class Outbox {
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

// --- wsflask/messenger.js

/** Requests, their answers, and messages for each channel, over a connection that comes and goes. */


/** A request waits this long for its answer, the wait for a connection included. */
const REQUEST_MS = 10_000;

/**
 * @typedef {object} AskOptions
 * @property {number} [timeoutMs] default 10,000
 * @property {import("./outbox.js").Lost} [lost] what becomes of it when the connection is lost after it was sent: the
 *   code it fails with (default "unknown"), or it is sent again, as it is after "unavailable"
 */

/** @typedef {import("./envelope.js").Envelope} Envelope */
/** @typedef {import("./outbox.js").Entry} Entry */

/** Sends requests, and hands other messages to those who wait for their channel. */
class Messenger {
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

// --- wsflask/notifications.js

/** The user's notifications: the unread count, what arrives, and reading. */


/**
 * @typedef {object} Notification
 * @property {string} id
 * @property {string} label the text to show
 * @property {string} category such as "success"
 * @property {boolean} is_read
 * @property {Record<string, any>} data the document: message, category, actions, created_dt, ...
 * @property {Record<string, any>} metainfo who and when
 */

/**
 * @typedef {object} NotificationsChange
 * @property {number} unread
 * @property {string} category
 * @property {Notification | null} last the last that arrived on this page
 */

/**
 * @typedef {object} NotificationsEvents
 * @property {NotificationsChange} change the count changed, or one arrived
 * @property {Notification} arrival one arrived, perhaps while the connection was lost; each once, in order
 */

/**
 * @typedef {object} NotificationPage
 * @property {Notification[]} notifications newest first
 * @property {number} unread
 * @property {string | null} next `before` of the next page; null: that was all
 */

/** `ws.notifications`. */
class Notifications {
  /** @type {Emitter<NotificationsEvents>} */
  #events = new Emitter(["change", "arrival"]);
  #messenger;
  /** @type {NotificationsChange} */
  #now = { unread: 0, category: "", last: null };

  /** @param {import("./messenger.js").Messenger} messenger */
  constructor(messenger) {
    this.#messenger = messenger;
    messenger.route(NOTIFICATIONS, ({ payload }) => this.#receive(payload));
  }

  /** How many the user has not read; absolute, the same in all tabs. */
  get unread() {
    return this.#now.unread;
  }

  /** The category of the last message about notifications. */
  get category() {
    return this.#now.category;
  }

  /** The last one that arrived on this page, or null. */
  get last() {
    return this.#now.last;
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof NotificationsEvents} K
   * @param {K} event
   * @param {(value: NotificationsEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * Return a page of notifications, newest first. Rejects "disconnected" when the connection is lost.
   * @param {{ before?: string | null, limit?: number, unreadOnly?: boolean }} [options] `before`: an id, as in
   *   `next` of the page before; `limit`: 1 to 100, default 20
   * @returns {Promise<NotificationPage>}
   */
  async list({ before = null, limit = 20, unreadOnly = false } = {}) {
    const payload = { action: "list", data: { before, limit, unread_only: unreadOnly } };
    return (await this.#messenger.request(NOTIFICATIONS, payload, { lost: "disconnected" })).payload;
  }

  /**
   * Mark one as read. It is repeated after a lost connection and after "unavailable", and given up after 30 seconds.
   * @param {string} id
   * @returns {Promise<number>} how many are unread now
   */
  markRead(id) {
    return this.#command("mark_read", { id });
  }

  /**
   * Mark all as read. It is repeated like `markRead()`, and applied once: what arrived since stays unread.
   * @returns {Promise<number>} how many are unread now
   */
  markAllRead() {
    return this.#command("mark_all_read");
  }

  /**
   * @param {string} action
   * @param {object} [data]
   */
  async #command(action, data) {
    return (await command(this.#messenger, NOTIFICATIONS, { action, data })).payload.unread;
  }

  /** @param {any} payload */
  #receive(payload) {
    if (!isObject(payload)) return;
    const { unread, category, last } = payload;
    const now = { ...this.#now };
    if (Number.isInteger(unread)) now.unread = unread;
    if (typeof category === "string") now.category = category;
    if (isObject(last)) now.last = /** @type {Notification} */ (last);
    this.#now = now;
    this.#events.emit("change", now);
    if (isObject(last)) this.#events.emit("arrival", /** @type {Notification} */ (last));
  }
}

// --- wsflask/presence.js

/** Who is here: the users in a room, tab by tab, as they come and go. */


/** Where the name of a tab is kept over a reload. */
const TAB = "wsflask:tab";

/**
 * @typedef {object} Member
 * @property {string} user the user's id
 * @property {Record<string, any>} about what the server says of the user
 * @property {Record<string, Record<string, any>>} tabs what each of his tabs shows
 */

/**
 * @typedef {object} RoomChange
 * @property {Member[]} joined
 * @property {Member[]} changed
 * @property {string[]} left ids of users whose last tab has left
 */

/**
 * @typedef {object} RoomLoad
 * @property {string} you one's own id
 * @property {Member[]} members
 */

/**
 * @typedef {object} RoomEvents
 * @property {RoomLoad} load one has joined, also again after a lost connection: `members` is new
 * @property {RoomChange} change `members` is up to date
 * @property {WSFlaskError} error one is not in the room, or not any more, or what one shows was refused
 */

/**
 * Return `ws.presence`.
 * @param {import("./messenger.js").Messenger} messenger
 * @param {{ page: import("./page.js").Page }} parts
 */
function presence(messenger, { page }) {
  /** @type {Map<string, Room>} */
  const rooms = new Map();
  let tab = crypto.getRandomValues(new Uint32Array(4)).join(".");
  try {
    const storage = /** @type {Storage} */ (page.sessionStorage);
    tab = storage.getItem(TAB) || tab;
    // A copy of a tab is another tab: it finds the name only where the page that had it was left.
    storage.setItem(TAB, "");
    /** @type {EventTarget} */ (page.window).addEventListener("pagehide", () => storage.setItem(TAB, tab));
  } catch {
    // Without storage it is another tab after a reload.
  }
  messenger.route(PRESENCE, ({ payload }) => rooms.get(payload.room)?.hear(payload));
  messenger.watch(({ welcome }) => {
    if (welcome) for (const room of rooms.values()) room.join();
  });
  /**
   * Be in a room with others, and know who is here; the same object for the same room.
   * @param {string} [room] default: the room of everybody who is signed in
   * @param {Record<string, any>} [meta] what this tab shows to others, at most 1 KiB as JSON
   */
  return (room = "", meta = {}) => rooms.get(room) ?? new Room(messenger, rooms, { room, tab, meta });
}

/** What `ws.presence(room)` returns. */
class Room {
  /** @type {Emitter<RoomEvents>} */
  #events = new Emitter(["load", "change", "error"]);
  #messenger;
  #rooms;
  #data;
  /** Who is here by the user's id, oneself included; of very many the first, and who has come since.
   * @type {Map<string, Member>} */
  members = new Map();
  /** How many users are here. */
  total = 0;

  /**
   * @param {import("./messenger.js").Messenger} messenger
   * @param {Map<string, Room>} rooms
   * @param {{ room: string, tab: string, meta: Record<string, any> }} data
   */
  constructor(messenger, rooms, data) {
    this.#messenger = messenger;
    this.#rooms = rooms.set(data.room, this);
    this.#data = data;
    this.join();
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof RoomEvents} K
   * @param {K} event
   * @param {(value: RoomEvents[K]) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * Have this tab show something else.
   * @param {Record<string, any>} meta at most 1 KiB as JSON
   */
  update(meta) {
    this.#data.meta = meta;
    this.#ask("update");
  }

  /** Leave; who closes the page leaves too. */
  leave() {
    this.#rooms.delete(this.#data.room);
    this.#ask("leave");
  }

  /** Join again, after an error; after a lost connection that happens by itself. */
  join() {
    this.#ask("join");
  }

  /**
   * Take in what the server tells.
   * @param {any} news
   */
  hear(news) {
    if (news.code) return this.#events.emit("error", WSFlaskError.from(news));
    if (news.members) this.members = new Map();
    for (const member of news.members ?? [...news.joined, ...news.changed]) this.members.set(member.user, member);
    for (const user of news.left ?? []) this.members.delete(user);
    this.total = news.total;
    this.#events.emit(news.members ? "load" : "change", news);
  }

  /**
   * Ask the server, if it is there: with the next connection the room is joined as it is then.
   * @param {string} action
   */
  #ask(action) {
    if (this.#messenger.state !== "open") return;
    // What a lost connection took with it is not repeated: it would come before the next join, which tells it all.
    const lost = action === "join" ? "resend" : undefined;
    this.#messenger.ask(PRESENCE, { action, data: this.#data }, { lost }, (error, answer) => {
      if (error?.code === "unknown") return;
      if (error) this.#events.emit("error", error);
      else if (answer.payload) this.hear(answer.payload);
    });
  }
}

// --- wsflask/client.js

/** The object that a page talks to: one connection, and the services behind it. */


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
function connect(options = {}) {
  const client = new Client(options);
  if (options.start !== false) client.open();
  return client;
}

/** What `connect()` returns. */
class Client {
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

window.wsflask = Object.freeze({ connect, Client, WSFlaskError, CLOSE_CODES, ERROR_CODES, LOCAL_ERRORS, SUBPROTOCOL });
})();
