/** What a page tells: moments at which a lost connection is worth an attempt at once, and that it is left. */

/**
 * @typedef {object} Page
 * @property {EventTarget} [window]
 * @property {EventTarget & { visibilityState?: string }} [document]
 * @property {Pick<Storage, "getItem" | "setItem">} [sessionStorage] may throw, also when it is looked at
 */

/**
 * Call `wake` when the network is back and when the page becomes visible, and `hide` when it is left; the returned
 * function stops that.
 * @param {Page} page
 * @param {() => void} wake
 * @param {() => void} hide
 * @returns {() => void}
 */
export function watchPage({ window, document }, wake, hide) {
  // As the options of a listener: what counts there is its signal.
  const controller = new AbortController();
  const seen = () => {
    if (document?.visibilityState === "visible") wake();
  };
  window?.addEventListener("online", wake, controller);
  window?.addEventListener("pagehide", hide, controller);
  document?.addEventListener("visibilitychange", seen, controller);
  return () => controller.abort();
}
