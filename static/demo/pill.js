/** The state of the connection, as a pill in the header. */

import { byId, make, setText } from "./dom.js";

/** Close code of a session that ended. */
const SIGNED_OUT = 4501;

const WORDS = {
  idle: "Connecting",
  connecting: "Connecting",
  open: "Live",
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
    const state = stateOf(ws.state, code);
    pill.dataset.state = state;
    document.body.dataset.connection = state;
    setText(pill.querySelector("span"), WORDS[state]);
    if (state === "signed-out") showSignedOut();
  };
  ws.on("state", (change) => {
    code = change.code ?? 0;
    show();
  });
  addEventListener("online", show);
  addEventListener("offline", show);
  show();
}

/**
 * @param {string} state
 * @param {number} code
 * @returns {keyof typeof WORDS}
 */
function stateOf(state, code) {
  if (state === "closed") return code === SIGNED_OUT ? "signed-out" : "closed";
  if (state !== "open" && !navigator.onLine) return "offline";
  return /** @type {keyof typeof WORDS} */ (state);
}

function showSignedOut() {
  if (byId("signed-out")) return;
  const link = make("a", { href: document.body.dataset.login ?? "/login" }, "Sign in again");
  const banner = make("p", { id: "signed-out", class: "banner", role: "alert" }, "You were signed out. ", link);
  byId("content").prepend(banner);
}
