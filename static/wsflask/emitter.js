/** Listeners of one object: a listener that throws is reported and stops nothing. */

/**
 * Show an exception of somebody's listener where uncaught exceptions are shown.
 * @param {unknown} error
 */
export function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}

/**
 * The named events of one object.
 * @template {object} Events value type of each event
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => void>>} */
  #listeners;

  /** @param {(keyof Events)[]} names all events there are: a mistyped name fails at once */
  constructor(names) {
    this.#listeners = new Map(names.map((name) => [name, new Set()]));
  }

  /**
   * Call the listener at each such event; the returned function stops that.
   * @template {keyof Events} K
   * @param {K} event
   * @param {(value: Events[K]) => void} listener
   * @returns {() => void}
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event);
    if (!listeners) {
      throw new TypeError(`there is no event "${String(event)}"; there are: ${[...this.#listeners.keys()].join(", ")}`);
    }
    if (typeof listener !== "function") throw new TypeError("a listener is a function");
    const call = (/** @type {Events[K]} */ value) => listener(value);
    listeners.add(call);
    return () => void listeners.delete(call);
  }

  /**
   * Call all who listen now.
   * @template {keyof Events} K
   * @param {K} event
   * @param {Events[K]} value
   */
  emit(event, value) {
    for (const call of [.../** @type {Set<any>} */ (this.#listeners.get(event))]) {
      try {
        call(value);
      } catch (error) {
        report(error);
      }
    }
  }
}
