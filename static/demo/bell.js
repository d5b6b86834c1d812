/** The bell: how many notifications are unread, and the list of them. */

import { byId, icon, keepFocus, make, pageAddress, setText } from "./dom.js";
import { ago } from "./time.js";
import { sayFailed, toast } from "./toasts.js";

const PAGE = 20;
/** Arrivals come in bursts: the open list is asked for once for all of them. */
const REFRESH_MS = 300;

/** @typedef {import("../wsflask/notifications.js").Notification} Notification */

/** @param {import("../wsflask/client.js").Client} ws */
export function showNotifications(ws) {
  const { notifications } = ws;
  const [bell, count, panel, list] = ["bell", "bell-count", "bell-panel", "bell-list"].map(byId);
  /** @type {string | null} */
  let next = null;
  /** @type {any} */
  let refreshing;

  const fill = (/** @type {Notification[]} */ items, /** @type {boolean} */ isFirst) => {
    const entries = items.map((item) => entry(item, read));
    if (isFirst) keepFocus(list, panel, () => list.replaceChildren(...entries));
    else list.append(...entries);
    byId("bell-empty").hidden = list.children.length > 0;
    byId("bell-more").hidden = next === null;
  };
  const load = async (/** @type {string | null} */ before = null) => {
    try {
      const page = await notifications.list({ before, limit: PAGE });
      next = page.next;
      fill(page.notifications, before === null);
    } catch (error) {
      sayFailed(error);
    }
  };
  const read = (/** @type {string} */ id) => notifications.markRead(id).catch(sayFailed);
  const refresh = () => {
    clearTimeout(refreshing);
    refreshing = setTimeout(() => panel.matches(":popover-open") && load(), REFRESH_MS);
  };

  notifications.on("change", ({ unread }) => {
    count.hidden = unread === 0;
    setText(count, unread > 99 ? "99+" : String(unread));
    bell.setAttribute("aria-label", unread === 0 ? "Notifications" : `Notifications, ${unread} unread`);
    byId("bell-all").hidden = unread === 0;
    refresh();
  });
  notifications.on("arrival", (item) => {
    bell.classList.add("ringing");
    setTimeout(() => bell.classList.remove("ringing"), 1000);
    if (!panel.matches(":popover-open")) {
      toast(item.label, { kind: item.category === "success" ? "info" : "warning", href: addressOf(item) });
    }
  });
  panel.addEventListener("toggle", (/** @type {any} */ event) => event.newState === "open" && load());
  byId("bell-all").addEventListener("click", () => {
    panel.focus();
    notifications.markAllRead().catch(sayFailed);
  });
  byId("bell-more").addEventListener("click", () => load(next));
}

/**
 * @param {Notification} item
 * @param {(id: string) => void} read
 */
function entry(item, read) {
  const href = addressOf(item);
  const text = href ? make("a", { href }, item.label) : make("span", {}, item.label);
  const when = make("time", { datetime: item.metainfo.createdDatetime }, ago(item.metainfo.createdDatetime));
  const element = make("li", { "data-category": item.category }, make("div", {}, text, when));
  if (!item.is_read) {
    element.classList.add("unread");
    const button = make("button", { type: "button", class: "tool plain", "aria-label": `Mark as read: ${item.label}` }, icon("check"));
    button.addEventListener("click", () => read(item.id));
    if (href) text.addEventListener("click", () => read(item.id));
    element.append(button);
  }
  return element;
}

/** @param {Notification} item */
function addressOf(item) {
  const path = item.data?.actions?.[0]?.path;
  return path ? pageAddress(path) : null;
}
