/** The changes of a view, one after another, for `for await`. */

/** @typedef {import("./subscription.js").RowChange} RowChange */

/**
 * Return the changes from now on. Of a row that changes again before its change is taken only the newest is kept, so
 * that never more of them wait than there are rows.
 * @param {import("./view.js").View} view
 * @param {boolean} isLoaded whether its rows are there
 * @returns {AsyncGenerator<RowChange, void, void>}
 */
export function changesOf(view, isLoaded) {
  /** @type {Map<unknown, RowChange>} */
  const waiting = new Map();
  let rows = isLoaded ? view.rows : null;
  let wake = () => {};

  const note = (/** @type {RowChange} */ change) => {
    const { previous } = waiting.get(change.id) ?? change;
    waiting.delete(change.id);
    // A row that came and went since is none that anybody saw.
    if (change.row || previous) waiting.set(change.id, { ...change, previous });
    wake();
  };
  /** Tell the rows that were loaded anew by what differs from those before. */
  const reload = () => {
    const before = rows ?? view.rows;
    rows = view.rows;
    if (rows === before) return;
    for (const [id, previous] of before) if (!rows.has(id)) note({ op: "R", id, row: null, previous });
    for (const [id, row] of rows) note({ op: "L", id, row, previous: before.get(id) ?? null });
  };
  const stops = [view.on("change", note), view.on("load", reload), view.on("state", () => wake())];

  return (async function* () {
    try {
      while (view.state !== "closed") {
        if (view.error) throw view.error;
        const [change] = waiting.values();
        if (change) {
          waiting.delete(change.id);
          yield change;
        } else await new Promise((/** @type {(value: void) => void} */ resolve) => (wake = resolve));
      }
    } finally {
      for (const stop of stops) stop();
    }
  })();
}
