/** Which subscriptions there are, and that the server knows them: after each connect, and after each close. */

import { fullJitter } from "./backoff.js";
import { isObject } from "./envelope.js";
import { WSFlaskError } from "./errors.js";
import { attach } from "./live.js";
import { Positions } from "./positions.js";
import { DOCUMENTS } from "./protocol.js";
import { Subscription } from "./subscription.js";
import { View } from "./view.js";
import { wishOf } from "./wish.js";

/** Subscriptions asked for at once: a page with many views does not load them all in one moment. */
const ASKED_AT_ONCE = 8;

/** Of the largest message that the server takes, how much a request to resume may fill: 48 KiB of 64. */
const RESUME_SHARE = 0.75;

/** Refusals that may not last: they are tried again. */
const PASSING = new Set(["unavailable", "internal", "rate_limited", "timeout", "queue_full"]);

/** Ends of a request that the next connection makes good, if there is one. */
const INTERRUPTED = new Set(["disconnected", "unknown", "closed"]);

/** All subscriptions of a client. */
export class Documents {
  #messenger;
  #clock;
  #random;
  /** By what was asked for. @type {Map<string, Subscription>} */
  #wanted = new Map();
  /** By the server's name for it, on this connection. @type {Map<string, Subscription>} */
  #byView = new Map();
  /** Views that the server keeps for this connection. @type {Set<string>} */
  #held = new Set();
  #asked = 0;
  #roomBytes = 0;
  #positions;

  /**
   * @param {import("./messenger.js").Messenger} messenger
   * @param {{ clock: import("./clock.js").Clock, random: () => number }} options
   */
  constructor(messenger, { clock, random }) {
    this.#messenger = messenger;
    this.#clock = clock;
    this.#random = random;
    this.#positions = new Positions(messenger, clock, () => this.#isLive());
    messenger.route(
      DOCUMENTS,
      ({ payload }) => {
        if (isObject(payload)) this.#receive(payload);
        this.#positions.ask();
      },
      true,
    );
    messenger.watch(({ state, previous, welcome }) => {
      if (previous === "open") this.#interrupt();
      if (welcome) this.#resume(welcome.limits.messageBytes);
      if (state === "closed") this.#refuse();
      this.#positions.ask();
    });
  }

  /**
   * Return a new view; equal ones share a subscription.
   * @param {string} className
   * @param {import("./wish.js").ViewOptions} options
   */
  view(className, options) {
    return this.#view(wishOf(className, options));
  }

  /**
   * Return the views of what the server rendered within an element, each following its part of the page.
   * @param {ParentNode} root
   */
  live(root) {
    return attach(root, (sealed, shown) => this.#view({ live: sealed }, shown));
  }

  /**
   * Resolve when all views show what was written at a position.
   * @param {import("./positions.js").Written} written
   */
  caughtUp(written) {
    return this.#positions.caughtUp(written);
  }

  /**
   * @param {import("./wish.js").Wish} wish
   * @param {import("./subscription.js").Shown} [shown]
   */
  #view(wish, shown) {
    const text = JSON.stringify(wish);
    const key = text + (shown?.seq ?? "");
    const subscription = this.#wanted.get(key) ?? new Subscription(key, JSON.parse(text), shown);
    this.#wanted.set(key, subscription);
    const view = new View(subscription, (current, sink) => this.#release(current, sink));
    this.#pump();
    return view;
  }

  #isLive() {
    return [...this.#wanted.values()].every(({ state }) => state === "live");
  }

  /** @param {Record<string, any>} message */
  #receive(message) {
    const { op, view, to, state } = message;
    // An answer: the server keeps the view from here on, also where nobody waits for it any more.
    if (state && typeof view === "string") {
      this.#held.add(view);
      return this.#pump();
    }
    const subscription = this.#byView.get(view);
    const isRenamed = op === "moved" && typeof to === "string";
    if (!isRenamed && op !== "end") return subscription?.apply(message);
    this.#byView.delete(view);
    if (this.#held.delete(view) && isRenamed) this.#held.add(to);
    if (subscription && isRenamed) this.#join(subscription, to).move(message);
    else if (subscription) this.#fail(subscription, WSFlaskError.from(message));
  }

  /**
   * @param {Subscription} subscription
   * @param {import("./subscription.js").Sink} sink
   */
  #release(subscription, sink) {
    subscription.sinks.delete(sink);
    if (subscription.sinks.size > 0) return;
    this.#forget(subscription);
    this.#pump();
  }

  /** @param {Subscription} subscription */
  #forget(subscription) {
    const { key, viewId } = subscription;
    if (this.#wanted.get(key) === subscription) this.#wanted.delete(key);
    if (viewId !== undefined && this.#byView.get(viewId) === subscription) this.#byView.delete(viewId);
  }

  /** @param {number} messageBytes largest message that the server takes */
  #resume(messageBytes) {
    this.#roomBytes = messageBytes * RESUME_SHARE;
    for (const subscription of this.#wanted.values()) subscription.isWanted = !subscription.isAsked;
    this.#pump();
  }

  #interrupt() {
    this.#byView.clear();
    this.#held.clear();
    for (const subscription of this.#wanted.values()) subscription.interrupt();
  }

  /** Ask for what is wanted, a few at a time; then end what nobody watches. */
  #pump() {
    this.#positions.ask();
    if (this.#messenger.state === "closed") return this.#refuse();
    if (this.#messenger.state !== "open") return;
    for (const subscription of this.#wanted.values()) {
      if (this.#asked >= ASKED_AT_ONCE) return;
      if (subscription.isWanted) this.#subscribe(subscription);
    }
    // A view is ended only while no request is under way: its answer could name that very view.
    if (this.#asked === 0) this.#sweep();
  }

  /**
   * @param {Subscription} subscription
   * @param {number} [roomBytes]
   */
  #subscribe(subscription, roomBytes = this.#roomBytes) {
    const data = subscription.request(roomBytes);
    subscription.isWanted = false;
    subscription.isAsked = true;
    this.#asked += 1;
    this.#messenger.ask(DOCUMENTS, { action: "subscribe", data }, { lost: "disconnected" }, (error, answer) => {
      this.#asked -= 1;
      subscription.isAsked = false;
      // Ids that are objects may have more keys than the server takes in one message.
      if (error?.code === "too_big" && "rows" in data) this.#subscribe(subscription, 0);
      else if (error) this.#failed(subscription, error);
      else if (isObject(answer.payload) && typeof answer.payload.view === "string") {
        if (subscription.sinks.size > 0) this.#join(subscription, answer.payload.view).begin(answer.payload);
      } else this.#failed(subscription, new WSFlaskError("internal", "The answer names no view."));
      this.#pump();
    });
  }

  /**
   * Know a subscription by the server's name for it; if another has that name already the two become one. Return it:
   * the one whose rows the server goes on from.
   * @param {Subscription} subscription
   * @param {string} view
   */
  #join(subscription, view) {
    const same = this.#byView.get(view) ?? subscription;
    const [current, other] = subscription.isLoaded ? [subscription, same] : [same, subscription];
    this.#byView.set(view, current);
    if (current !== other) {
      this.#forget(other);
      current.absorb(other);
    }
    return current;
  }

  /**
   * @param {Subscription} subscription
   * @param {WSFlaskError} error
   */
  #failed(subscription, error) {
    if (INTERRUPTED.has(error.code) || subscription.sinks.size === 0) return;
    if (PASSING.has(error.code)) {
      subscription.emit("error", error);
      this.#clock.setTimeout(
        () => {
          subscription.isWanted = !subscription.isAsked;
          this.#pump();
        },
        fullJitter(subscription.failures++, this.#random),
      );
    } else this.#fail(subscription, error);
  }

  /**
   * @param {Subscription} subscription
   * @param {WSFlaskError} error
   */
  #fail(subscription, error) {
    this.#forget(subscription);
    subscription.fail(error);
  }

  /** Nobody waits for rows that do not come. */
  #refuse() {
    for (const subscription of this.#wanted.values()) subscription.emit("refused", new WSFlaskError("closed"));
  }

  #sweep() {
    for (const view of this.#held) {
      if (this.#byView.has(view)) continue;
      this.#held.delete(view);
      this.#messenger.ask(DOCUMENTS, { action: "unsubscribe", data: { view } }, { lost: "disconnected" }, () => {});
    }
  }
}
