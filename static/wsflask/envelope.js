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
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Return the message in a frame, or null when it is none.
 * @param {unknown} data
 * @returns {Envelope | null}
 */
export function parseEnvelope(data) {
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
export function milliseconds(seconds, byDefault, most) {
  return Math.min(positive(seconds, byDefault), most) * 1000;
}

/**
 * Return the welcome in a payload; what is missing or nonsense gets the documented default.
 * @param {unknown} payload
 * @returns {Welcome}
 */
export function readWelcome(payload) {
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
