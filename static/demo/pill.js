/** The state of the connection, as a pill in the header; what one has to know of it, as a banner. */

import { byId, make, setText } from "./dom.js";

/** Close code of a session that ended. */
const SIGNED_OUT = 4501;

const WORDS = {
  idle: "Connecting",
  connecting: "Connecting",
  open: "Live",
  degraded: "Not live",
  waiting: "Reconnecting",
  offline: "Offline",
  closed: "Disconnected",
  "signed-out": "Signed out",
};

/** @param {import("../wsflask/client.js").Client} ws */
export function showConnection(ws) {
  const pill = byId("connection");
  let code = 0;

  const show = () => {
    const state = stateOf(ws, code);
    if (state === document.body.dataset.connection) return;
    pill.dataset.state = state;
    document.body.dataset.connection = state;
    setText(pill.querySelector("span"), WORDS[state]);
    byId("banner")?.remove();
    if (state === "degraded") showBanner("The database is away: what you see may be old, and changes have to wait.");
    if (state === "signed-out") {
      const link = make("a", { href: document.body.dataset.login ?? "/login" }, "Sign in again");
      showBanner("You were signed out. ", link);
    }
  };
  ws.on("health", show);
  ws.on("state", (change) => {
    code = change.code ?? 0;
    show();
  });
  addEventListener("online", show);
  addEventListener("offline", show);
  show();
}

/**
 * @param {import("../wsflask/client.js").Client} ws
 * @param {number} code
 * @returns {keyof typeof WORDS}
 */
function stateOf({ state, degraded }, code) {
  if (state === "closed") return code === SIGNED_OUT ? "signed-out" : "closed";
  if (degraded) return "degraded";
  if (state !== "open" && !navigator.onLine) return "offline";
  return /** @type {keyof typeof WORDS} */ (state);
}

/** @param {...(Node | string)} children */
function showBanner(...children) {
  byId("content").prepend(make("p", { id: "banner", class: "banner", role: "alert" }, ...children));
}
