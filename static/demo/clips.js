/** The clipboard: a panel with what the user put aside, and the buttons that put flights into it. */

import { byId, icon, make, pageAddress, setText } from "./dom.js";
import { sayFailed, toast } from "./toasts.js";

/** @typedef {import("../wsflask/clipboard.js").Entry} Entry */

/**
 * @param {import("../wsflask/client.js").Client} ws
 * @returns {{ button: (id: string, label: string, isWide?: boolean) => HTMLButtonElement }}
 */
export function showClipboard(ws) {
  const { clipboard } = ws;
  const [count, list, empty, flush, form] = ["count", "list", "empty", "flush", "form"].map((name) => byId(`clipboard-${name}`));

  const show = (/** @type {readonly Entry[]} */ entries) => {
    list.replaceChildren(...entries.map((one) => entry(one, (id) => clipboard.remove(id).catch(sayFailed))));
    count.hidden = flush.hidden = entries.length === 0;
    empty.hidden = entries.length > 0;
    setText(count, String(entries.length));
    byId("clipboard").setAttribute("aria-label", entries.length === 0 ? "Clipboard" : `Clipboard, ${entries.length} entries`);
    for (const button of document.querySelectorAll("button[data-clip]")) mark(/** @type {any} */ (button), entries);
  };
  clipboard.on("change", show);
  flush.addEventListener("click", () => clipboard.flush().catch(sayFailed));
  form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const text = form.elements.text.value.trim();
    form.elements.text.focus();
    if (text === "") return;
    clipboard.add({ text }).then(() => form.reset(), sayFailed);
  });

  const toggle = async (/** @type {HTMLButtonElement} */ button) => {
    const { clip = "", label = "" } = button.dataset;
    const there = referenceTo(clipboard.entries, clip);
    try {
      if (there) await clipboard.remove(there.id);
      else await clipboard.load("Flight", [clip]);
      toast(there ? `${label} taken out of the clipboard.` : `${label} is in the clipboard.`);
    } catch (error) {
      sayFailed(error);
    }
  };
  return {
    button(id, label, isWide = false) {
      const attributes = { type: "button", class: isWide ? "button" : "tool plain", "data-clip": id, "data-label": label };
      const button = make("button", attributes);
      mark(button, clipboard.entries);
      button.addEventListener("click", () => toggle(button));
      return button;
    },
  };
}

/**
 * @param {readonly Entry[]} entries
 * @param {string} id
 */
function referenceTo(entries, id) {
  return entries.find((one) => one.kind === "reference" && one.model === "Flight" && one.object_id === id);
}

/**
 * Show on a button whether its flight is in the clipboard.
 * @param {HTMLButtonElement} button
 * @param {readonly Entry[]} entries
 */
function mark(button, entries) {
  const { clip = "", label = "" } = button.dataset;
  const isIn = referenceTo(entries, clip) !== undefined;
  const pressed = String(isIn);
  if (button.getAttribute("aria-pressed") === pressed) return;
  button.setAttribute("aria-pressed", pressed);
  const isWide = button.classList.contains("button");
  button.replaceChildren(icon(isIn ? "check" : isWide ? "clipboard" : "plus"));
  if (isWide) button.append(isIn ? "In the clipboard" : "Add to the clipboard");
  else button.setAttribute("aria-label", `${label} in the clipboard`);
}

/**
 * @param {Entry} one
 * @param {(id: number) => void} remove
 */
function entry(one, remove) {
  const isReference = one.kind === "reference";
  const text = isReference ? one.label : textOf(one.data);
  const isLink = isReference && !one.missing && one.model === "Flight";
  const label = isLink ? make("a", { href: pageAddress(`flights/${one.object_id}`) }, text) : make("span", {}, text);
  const body = make("div", {}, label);
  if (isReference) body.append(make("small", {}, one.missing ? "no longer on the board" : fromOf(one.object_id)));
  const button = make("button", { type: "button", class: "tool plain", "aria-label": `Remove ${text}` }, icon("close"));
  button.addEventListener("click", () => remove(one.id));
  const kind = isReference ? (one.missing ? "missing" : "flight") : "note";
  return make("li", { "data-kind": kind }, body, button);
}

/** @param {any} data */
function textOf(data) {
  return typeof data?.text === "string" ? data.text : JSON.stringify(data);
}

/** @param {string} id */
function fromOf(id) {
  return `from ${id.split("-").at(-1)}`;
}
