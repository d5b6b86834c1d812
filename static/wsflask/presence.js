/** Who is here: the users in a room, tab by tab, as they come and go. */

import { Emitter } from "./emitter.js";
import { WSFlaskError } from "./errors.js";
import { PRESENCE } from "./protocol.js";

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
export function presence(messenger, { page }) {
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
export class Room {
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
