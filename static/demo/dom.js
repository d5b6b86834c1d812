/** Make and change elements: text goes in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Paths of the icons that scripts draw, 24 units square. */
const ICONS = {
  plus: "M12 5v14M5 12h14",
  check: "m5 13 4.500 4.500L19 7",
  close: "M6 6l12 12M18 6 6 18",
  clipboard:
    "M9 5H6.500A1.500 1.500 0 0 0 5 6.500v13A1.500 1.500 0 0 0 6.500 21h11a1.500 1.500 0 0 0 1.500-1.500v-13A1.500 1.500 0 0 0 17.500 5H15M9 3.500h6V7H9zM9 12h6M9 16h4",
};

/**
 * Return the element with this id.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Make an element; attributes that are null or false are left out.
 * @param {string} tag
 * @param {Record<string, string | boolean | null>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/**
 * Draw an icon.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of [["class", "icon"], ["viewBox", "0 0 24 24"], ["aria-hidden", "true"]]) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Set the text of an element; return whether it was another.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

/**
 * Play the animation of a class again.
 * @param {HTMLElement} element
 * @param {string} name
 */
export function replay(element, name) {
  element.classList.remove(name);
  void element.offsetWidth; // the browser has to see it without the class
  element.classList.add(name);
}

/**
 * Draw a list anew; who was in one of its entries with the keyboard stays at that place.
 * @param {HTMLElement} list
 * @param {HTMLElement} fallback gets the focus when no entry is left
 * @param {() => void} draw
 */
export function keepFocus(list, fallback, draw) {
  const place = [...list.children].findIndex((entry) => entry.contains(document.activeElement));
  draw();
  if (place < 0) return;
  const entry = list.children[Math.min(place, list.children.length - 1)];
  const next = entry?.querySelector("button") ?? entry?.querySelector("a") ?? fallback;
  /** @type {HTMLElement} */ (next).focus();
}

/**
 * The address of a page of this application; anything that would lead elsewhere leads to the board.
 * @param {unknown} path
 */
export function pageAddress(path) {
  const root = document.body.dataset.root ?? "/";
  return typeof path === "string" && /^[\w][\w/-]*$/.test(path) ? root + path : root;
}
