/** Moments at which a lost connection is worth an attempt at once. */

/**
 * @typedef {object} Page
 * @property {EventTarget} [window]
 * @property {EventTarget & { visibilityState?: string }} [document]
 */

/**
 * Call `wake` when the network is back and when the page becomes visible; the returned function stops that.
 * @param {Page} page
 * @param {() => void} wake
 * @returns {() => void}
 */
export function watchPage({ window, document }, wake) {
  const seen = () => {
    if (document?.visibilityState === "visible") wake();
  };
  window?.addEventListener("online", wake);
  document?.addEventListener("visibilitychange", seen);
  return () => {
    window?.removeEventListener("online", wake);
    document?.removeEventListener("visibilitychange", seen);
  };
}
