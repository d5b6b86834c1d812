/** wsflask in the browser: `connect()` and the types and codes around it; everything else is beside this file. */

export { connect, Client } from "./wsflask/client.js";
export { WSFlaskError } from "./wsflask/errors.js";
export { CLOSE_CODES, ERROR_CODES, LOCAL_ERRORS, SUBPROTOCOL } from "./wsflask/protocol.js";
