/** Time as the client sees it: monotonic, so that a changed wall clock disconnects nobody. */

/**
 * @typedef {object} Clock
 * @property {() => number} now milliseconds since some fixed moment
 * @property {(call: () => void, delayMs: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** @type {Clock} */
export const CLOCK = Object.freeze({
  now: () => performance.now(),
  setTimeout: (call, delayMs) => setTimeout(call, delayMs),
  clearTimeout: (timer) => clearTimeout(timer),
});
