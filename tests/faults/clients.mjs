/** The tabs of many users in one process: the real client over `ws`, told what to do by JSON lines. */

import { createInterface } from "node:readline";
import { WebSocket } from "ws";

import { connect } from "../../static/wsflask.js";
import { Storage } from "./storage.mjs";

/** Seconds on the monotonic clock, the same as every other process's. */
const now = () => Number(process.hrtime.bigint()) / 1e9;

/** @type {Map<string, Tab>} */
const tabs = new Map();

/** Of all tabs: what must not happen. */
const faults = { corrupt: [], leaked: [], order: [], twice: [] };

/** Share of the messages of streams that are told twice. */
const REPEATED = 0.05;
/** Seconds that a right may outlive the write that took it. */
const GRACE = 1.5;

const note = (kind, text) => faults[kind].length < 200 && faults[kind].push(text);

class Tab {
  arrivals = [];
  messages = [];
  /** Steps of the clipboard: time, entries that are new, ids that are gone. */
  steps = [];
  commands = [];
  /** Time, state, close code. */
  states = [];
  resets = [];
  health = [];
  pings = [];
  /** Tabs that were shown as being in the room, and are not any more: time, name. */
  departures = [];
  /** Streams that the server has. */
  streams = [];
  counts = { opened: 0, resumed: 0, reset: 0, loads: 0, changes: 0, viewResets: 0, errors: {} };
  since = 0;
  isReady = false;
  #shown = new Map();
  #waiting = null;
  #added = [];
  #lastSurfaced = 0;
  #isGreeted = false;
  #here = new Set();

  constructor(options) {
    this.options = options;
    this.storage = new Storage();
    this.page = new EventTarget();
    /** Regions that the user may read, and until when. */
    this.regions = new Map(options.regions.map((region) => [region, Infinity]));
    this.open();
  }

  open() {
    const { url, cookie, origin, name } = this.options;
    const tab = this;
    class Socket extends WebSocket {
      constructor(address, protocols) {
        super(address, protocols, { headers: { cookie }, origin, perMessageDeflate: false });
        tab.socket = this;
        // A frame that is none: the stream of bytes was not whole frames.
        this.on("error", (error) => {
          if (String(error.code).startsWith("WS_ERR")) note("corrupt", `${name}: ${error.code} ${error.message}`);
        });
        const positions = new Map();
        let isRepeated = false;
        this.on("message", (data) => {
          if (isRepeated) return;
          let message;
          try {
            message = JSON.parse(data);
          } catch {
            return note("corrupt", `${name}: ${String(data).slice(0, 100)}`);
          }
          // A server may tell a message of a stream twice, with the same position.
          if (message.seq && ["notifications", "chat"].includes(message.channel) && Math.random() < REPEATED) {
            setImmediate(() => {
              isRepeated = true;
              this.emit("message", data, false);
              isRepeated = false;
            });
          }
          if (message.channel === "ping") tab.pings.push(now());
          if (message.channel === "documents" && message.payload?.view) {
            const { view, seq } = message.payload;
            // None: the position is not known yet, the rows that follow tell it.
            if (seq) {
              // An answer and a reset begin anew, with rows that are loaded.
              const isBegun = message.id !== undefined || message.payload.op === "reset";
              if (!isBegun && seq < (positions.get(view) ?? "")) note("order", `${name}: view ${view} went back to "${seq}": ${String(data).slice(0, 150)}`);
              positions.set(view, seq);
            }
          }
        });
      }
    }
    this.ws = connect({ url, WebSocket: Socket, page: { window: this.page, sessionStorage: this.storage } });
    this.#listen(this.ws);
  }

  #listen(ws) {
    ws.on("state", ({ state, previous, code }) => {
      this.states.push([now(), state, code ?? 0, previous]);
      this.#isGreeted &&= state === "open";
      if (state === "open") this.counts.opened += 1;
    });
    ws.on("error", ({ code }) => (this.counts.errors[code] = (this.counts.errors[code] ?? 0) + 1));
    ws.notifications.on("change", () => {
      this.#lastSurfaced = now();
      // The greeting's count: what is written from now on has to come.
      this.since ||= now();
      if (!this.#isGreeted) this.states.push([now(), "greeted", 0, ""]);
      this.#isGreeted = true;
    });
    ws.notifications.on("arrival", ({ label }) => this.arrivals.push([now(), label.split(" ")[0]]));
    ws.clipboard.on("change", (entries) => this.#board(entries));
    const chat = ws.channel("chat");
    chat.on("message", (payload) => payload?.token && this.messages.push([now(), payload.token]));
    ws.on("stream", (change) => this.#stream(change));
    ws.on("health", (change) => this.health.push([now(), Boolean(change?.degraded ?? ws.degraded)]));
    if (this.options.view) this.#watch(ws);
    if (this.options.room) this.#join(ws);
  }

  #stream({ stream, state }) {
    if (!this.streams.includes(stream)) this.streams.push(stream);
    if (state === "resumed") this.counts.resumed += 1;
    if (state !== "reset") return;
    this.counts.reset += 1;
    this.resets.push([this.#beforeReset(), now(), stream]);
  }

  /** When the connection before the present one was lost: nothing was missed until then. */
  #beforeReset() {
    const lost = this.states.filter(([, state]) => state === "waiting");
    return lost.length ? lost.at(-1)[0] - 1 : this.since;
  }

  #watch(ws) {
    this.view = ws.documents("Item", this.options.view);
    this.view.on("change", ({ row, op }) => {
      this.counts.changes += 1;
      this.#lastSurfaced = now();
      if (row) this.#judge(row, op);
    });
    this.view.on("load", (rows) => {
      this.counts.loads += 1;
      for (const row of rows.values()) this.#judge(row, "load");
    });
    this.view.on("reset", () => (this.counts.viewResets += 1));
  }

  #join(ws) {
    this.room = ws.presence(this.options.room, { tab: this.options.name });
    const look = () => {
      const here = new Set([...this.room.members.values()].flatMap(({ tabs }) => Object.values(tabs).map(({ tab }) => tab)));
      for (const name of this.#here) if (!here.has(name)) this.departures.push([now(), name]);
      this.#here = here;
    };
    this.room.on("load", () => {
      this.states.push([now(), "joined", 0, ""]);
      look();
    });
    this.room.on("change", look);
    this.room.on("error", ({ code }) => (this.counts.errors[code] = (this.counts.errors[code] ?? 0) + 1));
  }

  /** A row that this user may not see must not be there. */
  #judge(row, how) {
    if (!(now() < this.regions.get(row.region))) note("leaked", `${this.options.name}: ${how} of ${JSON.stringify(row)}`);
    if ("secret" in row) note("leaked", `${this.options.name}: the secret of ${row._id}`);
  }

  #board(entries) {
    this.#lastSurfaced = now();
    this.isReady = true;
    const shown = new Map(entries.map(({ id, data }) => [id, data?.token ?? ""]));
    const added = [...shown].filter(([id]) => !this.#shown.has(id));
    const removed = [...this.#shown.keys()].filter((id) => !shown.has(id));
    this.#shown = shown;
    this.steps.push([now(), added, removed]);
  }

  /** Add an entry, or remove the oldest of one's own. */
  async command(token) {
    if (this.#waiting && this.#waiting.size > 20) return;
    this.#waiting ??= new Set();
    const own = [...this.#shown].filter(([, each]) => each.startsWith(`${this.options.name}.`));
    const isRemoval = own.length > 3;
    const [id, removed] = own[0] ?? [];
    if (isRemoval && this.#added.includes(id)) return;
    if (isRemoval) this.#added.push(id);
    const record = [isRemoval ? "remove" : "add", isRemoval ? removed : token, "unknown", now(), 0, ""];
    this.commands.push(record);
    this.#waiting.add(record);
    try {
      await (isRemoval ? this.ws.clipboard.remove(id) : this.ws.clipboard.add({ token }));
      record[2] = "ok";
    } catch ({ code }) {
      // What was never sent, or refused for what it says, is not done; of the rest nobody knows.
      record[2] = ["queue_full", "closed", "too_big", "bad_data", "not_found"].includes(code) ? "failed" : "unknown";
      record[5] = code;
    }
    record[4] = now();
    this.#waiting.delete(record);
  }

  get pending() {
    return this.#waiting?.size ?? 0;
  }

  /** Leave as a page does that is reloaded: the socket ends without a word, the storage stays. */
  leave() {
    this.page.dispatchEvent(new Event("pagehide"));
    this.ws.close();
    this.view = undefined;
  }

  tell() {
    const shows = [...this.#shown];
    const { name, user } = this.options;
    const { arrivals, messages, steps, commands, states, resets, health, pings, streams, counts, since } = this;
    const log = { arrivals, messages, steps, commands, states, resets, health, pings, departures: this.departures };
    return { name, user, since, streams, counts, shows, ...log };
  }

  rest() {
    const { ws, view, room } = this;
    return {
      name: this.options.name,
      state: ws.state,
      pending: this.pending,
      unread: ws.notifications.unread,
      view: view?.state,
      error: view?.error?.code,
      rows: view ? Object.fromEntries([...view.rows.values()].map(({ _id, version }) => [_id, version])) : null,
      regions: view ? [...new Set([...view.rows.values()].map(({ region }) => region))] : [],
      heard: this.#lastSurfaced,
      room: this.options.room,
      users: room ? [...room.members.keys()] : [],
      here: [...this.#here],
      board: this.isReady ? [...this.#shown] : null,
    };
  }
}

let driver = null;
let given = 0;

/** Give so many commands a second, each from the next tab. */
function drive(rate) {
  clearInterval(driver);
  if (!rate) return;
  let due = now();
  driver = setInterval(() => {
    for (; due < now(); due += 1 / rate) {
      const all = [...tabs.values()].filter(({ options, isReady }) => options.commands !== false && isReady);
      if (!all.length) continue;
      const tab = all[given++ % all.length];
      void tab.command(`${tab.options.name}.${given}`);
    }
  }, 5);
}

const chosen = ({ names }) => (names ? names.map((name) => tabs.get(name)) : [...tabs.values()]);

const actions = {
  open({ tabs: wanted, every = 0 }) {
    wanted.forEach((options, index) => {
      if (every) setTimeout(() => tabs.set(options.name, new Tab(options)), index * every * 1000);
      else tabs.set(options.name, new Tab(options));
    });
    return wanted.length;
  },
  states() {
    const found = {};
    for (const { ws, isReady, since, view } of tabs.values()) {
      const key = `${ws.state}${isReady && since ? "" : "?"}/${view?.state ?? "none"}`;
      found[key] = (found[key] ?? 0) + 1;
    }
    return found;
  },
  drive({ rate }) {
    drive(rate);
    return given;
  },
  rest(message) {
    return chosen(message).map((tab) => tab.rest());
  },
  collect(message) {
    return chosen(message).map((tab) => tab.tell());
  },
  faults() {
    return faults;
  },
  /** Reload pages: the old one ends, a new one begins with the same storage. */
  reload(message) {
    for (const tab of chosen(message)) {
      tab.leave();
      tab.open();
    }
    return 0;
  },
  leave(message) {
    for (const tab of chosen(message)) tab.leave();
    return 0;
  },
  return(message) {
    for (const tab of chosen(message)) tab.open();
    return 0;
  },
  /** Rights are being changed, or have been: the old ones count until then, and a moment longer. */
  rights({ names, regions, isBegun }) {
    for (const tab of chosen({ names })) {
      if (!isBegun) for (const region of tab.regions.keys()) tab.regions.set(region, now() + GRACE);
      for (const region of regions) tab.regions.set(region, Infinity);
    }
    return 0;
  },
  close(message) {
    for (const tab of chosen(message)) {
      tab.leave();
      tabs.delete(tab.options.name);
    }
    return 0;
  },
  /** Give a command again and again that changes nothing, without repeating it: how long are the answers? */
  probe({ name, every }) {
    const tab = tabs.get(name);
    clearInterval(tab.prober);
    if (!every) return tab.probes;
    const clipboard = tab.ws.channel("clipboard");
    tab.probes = [];
    let isAsking = false;
    tab.prober = setInterval(async () => {
      if (isAsking) return;
      isAsking = true;
      const began = now();
      let code = "ok";
      try {
        await clipboard.request({ action: "clipboard_remove", data: -1 }, { timeoutMs: 30_000 });
      } catch (error) {
        code = error.code;
      }
      tab.probes.push([began, now(), code]);
      isAsking = false;
    }, every * 1000);
    return 0;
  },
  /** Subscribe to a further view and end it, again and again. */
  churn(message) {
    for (const tab of chosen(message)) {
      const { ws } = tab;
      const view = ws.documents("Item", { scope: [{ fn: "version", op: ">=", val: message.number ?? 0 }] });
      setTimeout(() => view.close(), message.seconds * 1000);
    }
    return 0;
  },
  async ask({ name, payload }) {
    try {
      return { answer: await tabs.get(name).ws.channel("chat").request(payload) };
    } catch ({ code }) {
      return { code };
    }
  },
  /** Stop and go on with reading. */
  pause(message) {
    for (const tab of chosen(message)) tab.socket.pause();
    return 0;
  },
  resume(message) {
    for (const tab of chosen(message)) tab.socket.resume();
    return 0;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  let answer;
  try {
    answer = await actions[message.do](message);
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
}
process.exit(0);
