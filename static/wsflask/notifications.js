/** The user's notifications: the unread count, what arrives, and reading. */

import { Emitter } from "./emitter.js";
import { isObject } from "./envelope.js";
import { NOTIFICATIONS } from "./protocol.js";

/** Arrivals remembered so that none is shown twice. */
const REMEMBERED = 100;

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
 * @property {Notification} arrival one arrived; each once
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
  #unread = 0;
  #category = "";
  /** @type {Notification | null} */
  #last = null;
  /** @type {string[]} */
  #seen = [];

  /** @param {import("./messenger.js").Messenger} messenger */
  constructor(messenger) {
    this.#messenger = messenger;
    messenger.route(NOTIFICATIONS, ({ payload }) => this.#receive(payload));
  }

  /** How many the user has not read; absolute, the same in all tabs. */
  get unread() {
    return this.#unread;
  }

  /** The category of the last message about notifications. */
  get category() {
    return this.#category;
  }

  /** The last one that arrived on this page, or null. */
  get last() {
    return this.#last;
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
  list({ before = null, limit = 20, unreadOnly = false } = {}) {
    return this.#ask("list", { before, limit, unread_only: unreadOnly }, "disconnected");
  }

  /**
   * Mark one as read. It is sent again after a lost connection, for doing it twice changes nothing.
   * @param {string} id
   * @returns {Promise<number>} how many are unread now
   */
  async markRead(id) {
    return (await this.#ask("mark_read", { id }, "resend")).unread;
  }

  /**
   * Mark all as read.
   * @returns {Promise<number>} how many are unread now
   */
  async markAllRead() {
    return (await this.#ask("mark_all_read", undefined, "unknown")).unread;
  }

  /**
   * @param {string} action
   * @param {object | undefined} data
   * @param {"unknown" | "disconnected" | "resend"} lost
   */
  #ask(action, data, lost) {
    return this.#messenger.request(NOTIFICATIONS, { action, data }, { lost });
  }

  /** @param {any} payload */
  #receive(payload) {
    if (!isObject(payload)) return;
    const { unread, category, last } = payload;
    if (Number.isInteger(unread)) this.#unread = unread;
    if (typeof category === "string") this.#category = category;
    const isArrival = isObject(last) && !this.#seen.includes(last.id);
    if (isArrival) {
      this.#seen = [last.id, ...this.#seen.slice(0, REMEMBERED)];
      this.#last = /** @type {Notification} */ (last);
    }
    this.#events.emit("change", { unread: this.#unread, category: this.#category, last: this.#last });
    if (isArrival) this.#events.emit("arrival", /** @type {Notification} */ (last));
  }
}
