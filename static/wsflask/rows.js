/** Rows by their key, and in order; no I/O. */

/** @typedef {Record<string, any>} Row with its `_id` */

/** The rows of a view. */
export class Rows {
  /** @type {Map<unknown, Row>} */
  byKey = new Map();
  /** @type {unknown[]} */
  #keys = [];
  /** The rows in order, made when somebody asks for them. @type {Row[] | null} */
  #list = null;

  /** The rows in order; another array after each change. @returns {readonly Row[]} */
  get list() {
    return (this.#list ??= this.#keys.map((key) => /** @type {Row} */ (this.byKey.get(key))));
  }

  /**
   * Put a row, or take it out (null), and return the one that was there.
   * @param {unknown} key
   * @param {Row | null} row
   * @param {unknown} [after] key of the row in front of it, null: it is first; none: where it was, or else last
   * @returns {Row | null}
   */
  change(key, row, after) {
    const previous = this.byKey.get(key) ?? null;
    this.#list = null;
    if (previous && (!row || after !== undefined)) this.#keys.splice(this.#keys.indexOf(key), 1);
    if (!row) {
      this.byKey.delete(key);
      return previous;
    }
    this.byKey.set(key, row);
    // From the end: a load comes in order, so that each row stands behind the last.
    if (after !== undefined) this.#keys.splice(after === null ? 0 : this.#keys.lastIndexOf(after) + 1, 0, key);
    else if (!previous) this.#keys.push(key);
    return previous;
  }
}

/**
 * A primary key as the key of a Map: one that is an object counts by its content.
 * @param {unknown} id
 */
export function rowKey(id) {
  return typeof id === "object" && id !== null ? JSON.stringify(id) : id;
}
