/** The error with which requests are refused. */

import { LOCAL_ERRORS } from "./protocol.js";

/** A refused or failed request: `code` is for programs, `message` is a sentence for people. */
export class WSFlaskError extends Error {
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
