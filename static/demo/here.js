/** Who else looks at this page, and what they are about to change. */

import { byId, make, setText } from "./dom.js";

/** So many are named, the others counted. */
const NAMED = 3;

/** @param {import("../wsflask/client.js").Client} ws */
export function showHere(ws) {
  const place = byId("here");
  if (!place) return;
  const room = ws.presence(place.dataset.room);
  let you = "";

  const show = () => {
    const others = [...room.members.values()].filter(({ user }) => user !== you);
    const rest = room.total - 1 - Math.min(others.length, NAMED);
    place.hidden = others.length === 0;
    const badges = others.slice(0, NAMED).map(({ about }) => make("b", { "aria-hidden": "true" }, String(about.code)));
    const names = others.slice(0, NAMED).map(say);
    if (rest > 0) names.push(`${rest} more`);
    place.querySelector(".badges").replaceChildren(...badges);
    setText(place.querySelector(".names"), `Also here: ${names.join(", ")}`);
  };
  room.on("load", (load) => {
    you = load.you;
    show();
  });
  room.on("change", show);

  const edits = document.querySelector(".edits");
  const tell = () => room.update(edits?.contains(document.activeElement) ? { editing: document.activeElement?.id } : {});
  for (const event of edits ? ["focusin", "focusout"] : []) edits?.addEventListener(event, tell);
  if (edits?.contains(document.activeElement)) tell();
}

/** @param {import("../wsflask/presence.js").Member} member */
function say({ about, tabs }) {
  const edited = Object.values(tabs).map(({ editing }) => byId(String(editing))?.labels?.[0]?.textContent);
  const field = edited.find((label) => label);
  return field ? `${about.name} (editing: ${field})` : String(about.name);
}
