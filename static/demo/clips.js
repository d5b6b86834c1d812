/** The clipboard: a panel with what the user put aside, and the buttons that put flights into it. */

import { byId, icon, keepFocus, make, pageAddress, setText } from "./dom.js";
import { sayFailed, toast } from "./toasts.js";
import { Watched } from "./watched.js";

/** @typedef {import("../wsflask/clipboard.js").Entry} Entry */

/**
 * @param {import("../wsflask/client.js").Client} ws
 * @returns {{ button: (id: string, label: string, isWide?: boolean) => HTMLButtonElement }}
 */
export function showClipboard(ws) {
  const { clipboard } = ws;
  const [count, list, empty, flush, form] = ["count", "list", "empty", "flush", "form"].map((name) => byId(`clipboard-${name}`));

  const watched = new Watched(ws, () => {
    for (const place of list.querySelectorAll("[data-watched]")) setText(place, watched.say(place.dataset.watched));
  });
  const show = (/** @type {readonly Entry[]} */ entries) => {
    watched.watch(entries.filter(isFlight).map((one) => one.object_id));
    const items = entries.map((one) => entry(one, watched, (id) => clipboard.remove(id).catch(sayFailed)));
    keepFocus(list, form.elements.text, () => list.replaceChildren(...items));
    count.hidden = flush.hidden = entries.length === 0;
    empty.hidden = entries.length > 0;
    setText(count, String(entries.length));
    byId("clipboard").setAttribute("aria-label", entries.length === 0 ? "Clipboard" : `Clipboard, ${entries.length} entries`);
    for (const button of document.querySelectorAll("button[data-clip]")) mark(/** @type {any} */ (button), entries);
  };
  clipboard.on("change", show);
  flush.addEventListener("click", () => {
    form.elements.text.focus();
    clipboard.flush().catch(sayFailed);
  });
  byId("clipboard-panel").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    byId("clipboard-panel").hidePopover();
    byId("clipboard").focus();
  });
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
 * @returns {one is import("../wsflask/clipboard.js").ReferenceEntry}
 */
function isFlight(one) {
  return one.kind === "reference" && one.model === "Flight" && !one.missing;
}

/**
 * @param {Entry} one
 * @param {Watched} watched
 * @param {(id: number) => void} remove
 */
function entry(one, watched, remove) {
  const isReference = one.kind === "reference";
  const text = isReference ? one.label : textOf(one.data);
  const label = isFlight(one) ? make("a", { href: pageAddress(`flights/${one.object_id}`) }, text) : make("span", {}, text);
  const body = make("div", {}, label);
  if (isFlight(one)) body.append(make("small", { "data-watched": one.object_id }, watched.say(one.object_id)));
  else if (isReference) body.append(make("small", {}, "no longer on the board"));
  const button = make("button", { type: "button", class: "tool plain", "aria-label": `Remove ${text}` }, icon("close"));
  button.addEventListener("click", () => remove(one.id));
  const kind = isReference ? (one.missing ? "missing" : "flight") : "note";
  return make("li", { "data-kind": kind }, body, button);
}

/** @param {any} data */
function textOf(data) {
  return typeof data?.text === "string" ? data.text : JSON.stringify(data);
}

