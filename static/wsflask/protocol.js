/** The names and codes of the wire; `wsflask/protocol/codes.py` holds the same, and a test compares them. */

/** Offered in the handshake: asks for ids, positions, heartbeats and a goodbye. */
export const SUBPROTOCOL = "wsflask.v1";

/** Channels that only the server itself speaks on. */
export const RESERVED = Object.freeze(
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
export const NOTIFICATIONS = "notifications";
/** Channel of the user's clipboard. */
export const CLIPBOARD = "clipboard";
/** Channel of the views of documents. */
export const DOCUMENTS = "documents";
/** Channel of who is here. */
export const PRESENCE = "presence";

/** What a channel may be called. */
export const CHANNEL_NAME = /^[a-z][a-z0-9_.-]{0,63}$/;

/** Codes with which the server refuses a message. */
export const ERROR_CODES = Object.freeze(
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
export const LOCAL_ERRORS = Object.freeze(
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
export const CLOSE_CODES = Object.freeze(
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
export function isFinal(code) {
  return code >= 4500 && code <= 4999;
}
