/** What a view asks for: the options of a page as the data of a request. */

/** @typedef {"==" | "!=" | "<" | "<=" | ">" | ">=" | "in"} Operator */

/**
 * @typedef {object} Condition
 * @property {string} fn field
 * @property {Operator} op
 * @property {unknown} val
 */

/**
 * Conditions in short: a value means `==`, else the operators and what they compare with.
 * @typedef {{ [field: string]: string | number | boolean | null | { [op in Operator]?: unknown } }} Conditions
 */

/**
 * The keys select the fields; null and true leave a reference as an id, false and a catalog expand it.
 * @typedef {{ [field: string]: null | boolean | Catalog }} Catalog
 */

/**
 * @typedef {object} ViewOptions
 * @property {Condition[] | Conditions} [scope] all must hold; default: all rows one may read
 * @property {string[]} [fields] the fields; default: all that are exposed
 * @property {Catalog} [catalog] the fields, with those of references; in place of `fields`
 * @property {boolean} [showHidden] ask for hidden fields too; the server decides
 * @property {string | string[]} [orderBy] `"field"`, `"-field"` for the largest first, or up to 4 of these
 * @property {number} [limit] only so many rows, the first in order; default with `orderBy`: 1,000
 */

/**
 * @typedef {object} ClassWish
 * @property {string} class_name
 * @property {Condition[] | Conditions} [data_scope]
 * @property {Catalog} [catalog]
 * @property {boolean} [show_hidden]
 * @property {string | string[]} [order_by]
 * @property {number} [limit]
 */
/** @typedef {ClassWish | { live: string }} Wish of a class, or sealed by the server that rendered the page */

/**
 * Return what to ask the server for.
 * @param {string} className
 * @param {ViewOptions} options
 * @returns {ClassWish}
 */
export function wishOf(className, { scope, fields, catalog, showHidden, orderBy, limit }) {
  if (typeof className !== "string" || className === "") throw new TypeError("give the name of a document class");
  if (fields && catalog) throw new TypeError("give fields or a catalog, not both");
  return {
    class_name: className,
    data_scope: scope,
    catalog: fields ? Object.fromEntries(fields.map((field) => [field, null])) : catalog,
    show_hidden: showHidden,
    order_by: orderBy,
    limit,
  };
}
