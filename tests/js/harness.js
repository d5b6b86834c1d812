/** A server, a clock and a page that a test holds in its hands. */

import { connect } from "../../static/wsflask.js";

/** Time that passes only when told to. */
export class FakeClock {
  #now = 1000;
  #timers = new Map();
  #last = 0;

  now = () => this.#now;

  setTimeout = (call, delayMs) => {
    this.#timers.set(++this.#last, { call, at: this.#now + delayMs });
    return this.#last;
  };

  clearTimeout = (timer) => void this.#timers.delete(timer);

  get timers() {
    return this.#timers.size;
  }

  /** Let time pass, calling each timer at its moment. */
  pass(delayMs) {
    const end = this.#now + delayMs;
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at);
      if (!next) break;
      this.#timers.delete(next[0]);
      this.#now = Math.max(this.#now, next[1].at);
      next[1].call();
    }
    this.#now = end;
  }

  /** Let time pass while timers sleep, as in a suspended computer; then they are all late. */
  sleep(delayMs) {
    this.#now += delayMs;
    this.pass(0);
  }
}

/** The server's end of one connection, and the browser's WebSocket over it. */
export class FakeSocket {
  sent = [];
  protocol = "";
  readyState = 0;
  closedWith = undefined;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    if (this.readyState !== 1) throw new Error("not open");
    this.sent.push(JSON.parse(text));
  }

  close(...code) {
    this.closedWith = code;
    this.readyState = 2;
  }

  // What the server does:

  accept(protocol = "wsflask.v1") {
    this.protocol = protocol;
    this.readyState = 1;
    this.onopen?.({});
  }

  welcome(payload = {}) {
    this.accept();
    this.say("welcome", {
      protocol: "wsflask.v1",
      heartbeat: 25,
      limits: { message_bytes: 65536, messages_per_second: 20, burst: 60, subscriptions: 100 },
      position: "1",
      channels: ["notifications", "clipboard", "documents"],
      ...payload,
    });
  }

  say(channel, payload, rest = {}) {
    this.raw(JSON.stringify({ channel, payload, ...rest }));
  }

  raw(data) {
    this.onmessage?.({ data });
  }

  /** Answer the last message, or the given one, with a payload. */
  answer(payload, { to = this.sent.at(-1), ...rest } = {}) {
    this.say(to.channel, payload, { id: to.id, ...rest });
  }

  refuse(code, to = this.sent.at(-1)) {
    this.say("error", { code, message: `refused: ${code}` }, { id: to.id });
  }

  end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

/** What a tab keeps over a reload of its page. */
export class FakeStorage {
  #items = new Map();
  /** How often each of its keys was written. @type {Record<string, number>} */
  writes = {};

  getItem = (key) => this.#items.get(key) ?? null;

  setItem(key, text) {
    this.writes[key] = (this.writes[key] ?? 0) + 1;
    this.#items.set(key, text);
  }

  /** What a tab gets that is a duplicate of this one. */
  copy() {
    const copy = new FakeStorage();
    for (const [key, text] of this.#items) copy.setItem(key, text);
    return copy;
  }
}

/** A client and all that surrounds it. */
export function setUp(options = {}) {
  const sockets = [];
  class WebSocket extends FakeSocket {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  }
  const { clock = new FakeClock(), page = makePage() } = options;
  const ws = connect({ url: "wss://ui.example/wsflask/ws", WebSocket, random: () => 0.5, ...options, clock, page });
  const world = {
    ws,
    clock,
    page,
    sockets,
    /** The newest connection. */
    get server() {
      return sockets.at(-1);
    },
    /** Let the wait for the next attempt pass, exactly. */
    comeBack() {
      clock.pass(retryMs);
    },
    /** Leave the page and load it again, in the same tab; or load it in a duplicate of the tab. */
    reload({ sessionStorage = page.sessionStorage, ...changed } = {}) {
      if (sessionStorage === page.sessionStorage) page.window.dispatchEvent(new Event("pagehide"));
      return setUp({ ...options, clock, page: { ...makePage(), sessionStorage }, ...changed });
    },
    /** Cut the connection and be welcomed again. */
    reconnect(code = 1006) {
      world.server.end(code);
      world.comeBack();
      world.server.welcome();
    },
  };
  let retryMs = 0;
  ws.on("state", (change) => (retryMs = change.retryMs ?? retryMs));
  return world;
}

function makePage() {
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  return { window: new EventTarget(), document, sessionStorage: new FakeStorage() };
}

/** The same, with the connection open. */
export function setUpOpen(options = {}) {
  const world = setUp(options);
  world.server.welcome();
  return world;
}

/** Collect what an object tells of an event. */
export function collect(source, event) {
  const values = [];
  source.on(event, (value) => values.push(value));
  return values;
}

/** A promise that may reject before the test looks at it. */
export function held(promise) {
  promise.catch(() => {});
  return promise;
}

/** What a promise became: its result, or the code of its error; undefined while it is open. */
export async function outcome(promise) {
  let found;
  promise.then(
    (result) => (found = { result }),
    (error) => (found = { code: error.code ?? error }),
  );
  await new Promise(setImmediate);
  return found;
}
