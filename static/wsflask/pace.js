/** Keeps the client below the rate at which the server would cut it off. */

/**
 * Return a function that takes leave to send one message: it returns 0, or else the milliseconds after which to ask
 * again. It stays under the limits by a margin: what the network delays arrives together.
 * @param {import("./clock.js").Clock} clock
 * @param {import("./envelope.js").Limits} limits
 * @returns {() => number}
 */
export function paceOf(clock, { messagesPerSecond, burst }) {
  const perMs = (messagesPerSecond * 0.9) / 1000;
  const most = Math.max(1, burst / 2);
  let left = most;
  let at = clock.now();
  return () => {
    const now = clock.now();
    left = Math.min(most, left + (now - at) * perMs);
    at = now;
    if (left < 1) return Math.ceil((1 - left) / perMs);
    left -= 1;
    return 0;
  };
}
