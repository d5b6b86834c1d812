/** The user's notifications: the unread count, what arrives, and reading. */

import { command } from "./commands.js";
import { Emitter } from "./emitter.js";
import { isObject } from "./envelope.js";
import { NOTIFICATIONS } from "./protocol.js";

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
export class Notifications {
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
