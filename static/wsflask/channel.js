/** One channel of a service: messages, requests, answers. */

import { command } from "./commands.js";
import { Emitter } from "./emitter.js";
import { isObject } from "./envelope.js";
import { CHANNEL_NAME, RESERVED } from "./protocol.js";

/**
 * @typedef {object} ChannelEvents
 * @property {any} message the payload of a message that answers no request
 * @property {import("./client.js").StreamChange} reset what was missed is not known: the page has to ask for all it needs
 */

/** What `ws.channel(name)` returns. */
export class Channel {
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
