/** The user's clipboard: the same entries in every tab and on every device. */

import { command } from "./commands.js";
import { Emitter } from "./emitter.js";
import { CLIPBOARD } from "./protocol.js";

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
export class Clipboard {
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
