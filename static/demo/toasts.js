/** Short messages at the edge of the page. */

import { byId, make } from "./dom.js";

const SHOWN_MS = 6000;
const AT_MOST = 2;

/**
 * Show a message for a few seconds.
 * @param {string} text
 * @param {{ kind?: "info" | "warning" | "error", href?: string | null }} [options]
 */
export function toast(text, { kind = "info", href = null } = {}) {
  const place = byId("toasts");
  if (place.lastChild?.textContent === text) return;
  const item = make("div", { class: "toast", "data-kind": kind }, href ? make("a", { href }, text) : text);
  while (place.children.length >= AT_MOST) place.firstChild.remove();
  place.append(item);
  setTimeout(() => item.remove(), SHOWN_MS);
}

/**
 * Show why a request failed.
 * @param {any} error
 */
export function sayFailed(error) {
  toast(error?.message ?? "That did not work.", { kind: "error" });
}
