/** Commands: requests that are repeated until they are answered, and applied once. */

/** A command is given up this long after it was given. */
export const COMMAND_MS = 30_000;

/**
 * Send a command. It is repeated after a lost connection and after "unavailable", under the same name: by it the server
 * knows what it has applied. No other page and no other tab gives that name.
 * @param {import("./messenger.js").Messenger} messenger
 * @param {string} channel
 * @param {object} payload
 * @param {{ timeoutMs?: number }} [options] default 30,000 milliseconds
 * @returns {Promise<import("./envelope.js").Envelope>} the answer; rejects with a WSFlaskError
 */
export function command(messenger, channel, payload, { timeoutMs = COMMAND_MS } = {}) {
  const name = crypto.getRandomValues(new Uint32Array(4)).join(".");
  return messenger.request(channel, { ...payload, cmd_id: name }, { timeoutMs, lost: "resend" });
}
