/** How long to wait before the next attempt. */

/** Longest wait before the first repeat, in milliseconds; doubles with each failure. */
export const BASE_MS = 500;

/** Longest wait ever, in milliseconds. */
export const CAP_MS = 30_000;

/**
 * Return milliseconds to wait: full jitter, so that many clients do not come back at one moment.
 * @param {number} attempt failures so far, from 0
 * @param {() => number} random from 0 to below 1
 */
export function fullJitter(attempt, random) {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}
