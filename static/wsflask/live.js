/** Rows that the server renders, kept up to date in the page: the one module that touches the DOM. */

import { rowKey } from "./rows.js";

/** @typedef {import("./view.js").View} View */
/** @typedef {(sealed: string, shown: import("./subscription.js").Shown) => View} Open */

/** What the server's template writes: the sealed view, its position, its name; and at each row its id, as JSON. */
const SEALED = "data-wsflask-live";
const POSITION = "data-wsflask-seq";
const NAME = "data-wsflask-view";
const ROW_ID = "data-wsflask-id";
/** What the page may read: the state of the view. */
const STATE = "data-wsflask-state";

/** The view of each element that has one. @type {WeakMap<Element, View>} */
const VIEWS = new WeakMap();

/**
 * Return the views of all live elements in a part of the page; one that is attached already keeps its view.
 * @param {ParentNode} root
 * @param {Open} open
 */
export function attach(root, open) {
  const found = [...root.querySelectorAll(`[${SEALED}]`)];
  if (root instanceof Element && root.hasAttribute(SEALED)) found.unshift(root);
  return found.map((element) => {
    const view = VIEWS.get(element);
    return view && view.state !== "closed" ? view : new Region(element).follow(open);
  });
}

/** One live element, and the elements of its rows. */
class Region {
  #container;
  /** What there is of each row; `html` is not known of those that came with the page. */
  #shown = /** @type {Map<unknown, { element: Element, html?: string }>} */ (new Map());

  /** @param {Element} container */
  constructor(container) {
    this.#container = container;
  }

  /** @param {Open} open */
  follow(open) {
    const container = this.#container;
    const ids = [];
    for (let row = rowFrom(container.firstElementChild); row; row = rowFrom(row.nextElementSibling)) {
      const id = JSON.parse(row.getAttribute(ROW_ID) ?? "");
      this.#shown.set(rowKey(id), { element: row });
      ids.push(id);
    }
    const [sealed = "", seq, name] = [SEALED, POSITION, NAME].map((key) => container.getAttribute(key) ?? undefined);
    const view = open(sealed, { seq, view: name, ids });
    VIEWS.set(container, view);
    view.on("change", (change) => this.#change(change));
    view.on("load", () => {
      this.#show(view);
      this.#tell("load", {});
    });
    const enter = () => {
      container.setAttribute(STATE, view.state);
      if (view.state === "failed") this.#show(view);
    };
    view.on("state", enter);
    enter();
    return view;
  }

  /** @param {import("./subscription.js").RowChange} change */
  #change({ op, id, row, after }) {
    const element = row ? this.#draw(id, row) : this.#drop(id);
    if (row && element) {
      if (after !== undefined) this.#place(element, this.#shown.get(after)?.element);
      else if (element.parentNode !== this.#container) this.#place(element, this.#lastRow());
    }
    this.#tell("change", { op, id, element });
  }

  /**
   * Show all rows of a view, and no others.
   * @param {View} view
   */
  #show({ rows, list }) {
    for (const id of this.#shown.keys()) if (!rows.has(id)) this.#drop(id);
    /** @type {Element | undefined} */
    let front;
    for (const row of list) {
      const element = this.#draw(rowKey(row._id), row);
      if (element) this.#place(element, front);
      front = element ?? front;
    }
  }

  /**
   * Return the element of a row: the one in the page where it is the same, else a new one in its place.
   * @param {unknown} id
   * @param {import("./rows.js").Row} row without `html`: it is as the page had it, or its template failed
   */
  #draw(id, { _id, html }) {
    const old = this.#shown.get(id);
    if (typeof html !== "string" || html === old?.html) return old?.element;
    const template = document.createElement("template");
    template.innerHTML = html;
    let element = template.content.firstElementChild;
    element?.setAttribute(ROW_ID, old?.element.getAttribute(ROW_ID) ?? JSON.stringify(_id));
    if (old?.element.isEqualNode(element)) element = old.element;
    else if (element) old?.element.replaceWith(element);
    else this.#drop(id);
    if (element) this.#shown.set(id, { element, html });
    return element;
  }

  /**
   * Put an element behind that of another row, or before all rows; one that is there stays untouched, with its focus.
   * @param {Element} element
   * @param {Element | undefined} front
   */
  #place(element, front) {
    const container = this.#container;
    const next = rowFrom(front ? front.nextElementSibling : container.firstElementChild);
    if (next === element) return;
    const before = front ? front.nextSibling : next;
    // Where the browser can, what is moved keeps its focus too.
    if (element.parentNode === container && container.moveBefore) container.moveBefore(element, before);
    else container.insertBefore(element, before);
  }

  /** @param {unknown} id */
  #drop(id) {
    const element = this.#shown.get(id)?.element;
    element?.remove();
    this.#shown.delete(id);
    return element;
  }

  #lastRow() {
    return rowFrom(this.#container.lastElementChild, "previousElementSibling") ?? undefined;
  }

  /**
   * @param {string} event
   * @param {object} detail
   */
  #tell(event, detail) {
    this.#container.dispatchEvent(new CustomEvent(`wsflask:${event}`, { bubbles: true, detail }));
  }
}

/**
 * Return the first row among an element and those behind it, or before it.
 * @param {Element | null} element
 * @param {"nextElementSibling" | "previousElementSibling"} [next]
 */
function rowFrom(element, next = "nextElementSibling") {
  while (element && !element.hasAttribute(ROW_ID)) element = element[next];
  return element;
}
