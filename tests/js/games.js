/** Games of chance between real clients and the model of the servers, and the referee who counts. */

import assert from "node:assert/strict";

import { FakeClock, FakeStorage } from "./harness.js";
import { Database, Link, STREAMS, Worker, seeded } from "./model.js";

const WORKERS = 3;
const STEPS = 150;
const KEPT_MS = 3_600_000;
/** What was surfaced less than this before a crash may be surfaced again after it. */
const CRASH_MS = 1_000;

/** Play one game; throws when a message was lost, surfaced twice or out of order, or a command applied twice. */
export async function play(connect, seed, wallClock) {
  const game = new Game(connect, seed);
  wallClock(() => 1e12 + game.clock.now());
  // What a listener throws the client hands on, and goes on.
  globalThis.reportError = (error) => game.faults.push(error);
  try {
    for (let step = 0; step < STEPS; step += 1) game.step();
    await game.settle();
  } finally {
    delete globalThis.reportError;
  }
  if (game.faults.length) throw game.faults[0];
  game.check();
  return game.counts;
}

class Game {
  clock = new FakeClock();
  counts = { surfaced: 0, resets: 0, resumed: 0, reloads: 0, commands: 0, repeated: 0 };
  #database = new Database();
  #workers;
  #tabs;
  #isCalm = false;
  /** What the referee found while the game went on. */
  faults = [];

  constructor(connect, seed) {
    this.connect = connect;
    this.random = seeded(seed);
    this.#workers = Array.from({ length: WORKERS }, () => new Worker(this.#database));
    this.#tabs = [new Tab(this)];
  }

  step() {
    const chance = this.random();
    const tab = this.#any(this.#tabs);
    const worker = this.#any(this.#workers);
    if (chance < 0.35) this.#write();
    else if (chance < 0.45) tab.command();
    else if (chance < 0.5) tab.link?.end(this.#any([1006, 1012, 4001]));
    else if (chance < 0.52) tab.reload();
    else if (chance < 0.53) tab.crash();
    else if (chance < 0.54) this.clock.pass(this.#any([60_000, KEPT_MS]));
    else if (chance < 0.55) worker.stop(1006);
    else if (chance < 0.56) this.#replace(worker, 1012);
    else if (chance < 0.57) worker.loseTrack();
    else if (chance < 0.575) this.#database.floor = this.#database.end;
    else if (chance < 0.58) this.#restore();
    else if (chance < 0.585 && this.#tabs.length < 3) this.#tabs.push(tab.duplicate());
    this.#proceed();
  }

  /** Where a new connection of a client ends up. */
  dial(url) {
    const link = new Link(url, this.#any(this.#workers));
    link.isRefused = !this.#isCalm && this.random() < 0.2;
    return link;
  }

  after(stream, seq) {
    return this.#database.after(stream, seq);
  }

  /** No more faults: let all come to rest. */
  async settle() {
    this.#isCalm = true;
    for (let round = 0; round < 2_000 && !this.#isSettled; round += 1) {
      this.#proceed();
      await null;
    }
  }

  check() {
    for (const tab of this.#tabs) tab.check();
    const applied = this.#database.applied;
    assert.equal(new Set(applied).size, applied.length, `applied twice: ${applied}`);
    this.counts.commands += applied.length;
  }

  wasApplied(what) {
    return this.#database.applied.includes(what);
  }

  get #isSettled() {
    const isFollowed = this.#workers.every(({ position }) => position === this.#database.end);
    return isFollowed && this.#tabs.every(({ link, isAnswered }) => link.readyState === 1 && link.isQuiet && isAnswered);
  }

  /** Time passes: workers follow, messages arrive. */
  #proceed() {
    this.clock.pass(this.random() * 400);
    for (const worker of this.#workers) {
      if (this.random() < 0.7) worker.follow();
      for (const link of [...worker.links]) {
        if (link.readyState === 0) this.#answer(link);
        else if (link.readyState === 1) {
          link.step(this.#isCalm ? () => this.random() * 0.78 : this.random);
          link.arrive(Math.floor(this.random() * 8));
        } else worker.links.delete(link);
      }
    }
  }

  #answer(link) {
    if (link.isRefused) return link.end(1006);
    link.welcome();
  }

  #write() {
    const stream = this.#any(Object.keys(STREAMS));
    this.#database.write(stream, this.#any(STREAMS[stream]), this.random() < 0.3);
  }

  #replace(worker, code) {
    worker.stop(code);
    this.#workers[this.#workers.indexOf(worker)] = new Worker(this.#database);
  }

  /** The database is restored from a copy: other positions, and nothing of what clients know. */
  #restore() {
    const { answers, applied, epoch } = this.#database;
    this.#database = Object.assign(new Database(), { answers, applied, epoch: epoch + 1 });
    for (const worker of this.#workers) this.#replace(worker, 1006);
  }

  #any(list) {
    return list[Math.floor(this.random() * list.length)];
  }
}

/** A tab of a browser: its page may be loaded again. */
class Tab {
  link = null;
  #game;
  #storage;
  #page;
  #ws;
  #ledgers;
  /** Commands of this page, in order. */
  #commands = [];

  constructor(game, storage = new FakeStorage(), ledgers = null) {
    this.#game = game;
    this.#storage = storage;
    this.#ledgers = ledgers ?? new Map(Object.keys(STREAMS).map((stream) => [stream, new Ledger(game, stream)]));
    this.#load();
  }

  get isAnswered() {
    return this.#commands.every(({ settled }) => settled > 0);
  }

  command() {
    const command = { what: `${this.#game.random()}`, settled: 0, code: undefined };
    const settle = (code) => {
      command.settled += 1;
      command.code = code;
    };
    this.#commands.push(command);
    const answered = (answer) => settle(answer.applied === command.what ? "done" : `answer of ${answer.applied}`);
    this.#ws.channel("chat").command({ what: command.what }).then(answered, ({ code }) => settle(code));
  }

  reload() {
    this.#leave();
    if (this.#game.random() < 0.1) this.#game.clock.pass(KEPT_MS);
    this.#load();
  }

  /** The page ends without being told. */
  crash() {
    for (const ledger of this.#ledgers.values()) ledger.crash();
    this.#page.sessionStorage = undefined;
    this.#end();
    this.#load();
  }

  /** The same page again in another tab, with a copy of what this one has kept. */
  duplicate() {
    this.#page.window.dispatchEvent(new Event("pagehide"));
    const ledgers = new Map([...this.#ledgers].map(([stream, ledger]) => [stream, ledger.copy()]));
    return new Tab(this.#game, this.#storage.copy(), ledgers);
  }

  check() {
    for (const ledger of this.#ledgers.values()) ledger.check();
    for (const { what, settled, code } of this.#commands) {
      assert.equal(settled, 1, "a command is settled once");
      const wasApplied = this.#game.wasApplied(what);
      assert.ok(code !== "done" || wasApplied, "done, but not applied");
      assert.ok(code !== "queue_full" || !wasApplied, "refused, but applied");
      assert.ok(["done", "queue_full", "timeout", "unavailable", "unknown"].includes(code), code);
    }
  }

  #load() {
    const { connect, clock, random, counts } = this.#game;
    const tab = this;
    class WebSocket {
      constructor(url) {
        tab.link?.worker.links.delete(tab.link);
        tab.link = tab.#game.dial(url);
        return tab.link;
      }
    }
    const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    this.#page = { window: new EventTarget(), document, sessionStorage: this.#storage };
    this.#ws = connect({ url: "wss://ui.example/ws", WebSocket, clock, random, page: this.#page });
    const ws = this.#ws;
    ws.on("stream", ({ stream, state, at }) => {
      if (state !== "resumed") this.#ledgers.get(stream).begin(state, at);
      counts.resumed += state === "resumed" ? 1 : 0;
      counts.resets += state === "reset" ? 1 : 0;
    });
    ws.notifications.on("arrival", ({ id }) => this.#ledgers.get("notifications").surface(id));
    for (const channel of STREAMS.publications) {
      ws.channel(channel).on("message", (seq) => this.#ledgers.get("publications").surface(seq));
    }
  }

  #leave() {
    this.#page.window.dispatchEvent(new Event("pagehide"));
    this.#end();
  }

  /** The page is gone: nothing it was told from now on counts, and what it waited for is not known. */
  #end() {
    this.#game.counts.reloads += 1;
    this.#ws.close();
    this.#commands = [];
  }
}

/** What a tab has surfaced of one stream, against what happened. */
class Ledger {
  #game;
  #stream;
  /** Position of the last that was surfaced, null: it has to be told where it begins. */
  #cursor = null;
  #lastAt = 0;
  /** Surfaced lately: position and time. */
  #recent = [];
  #hasCrashed = false;

  constructor(game, stream) {
    this.#game = game;
    this.#stream = stream;
  }

  copy() {
    const copy = new Ledger(this.#game, this.#stream);
    copy.#cursor = this.#cursor;
    copy.#lastAt = this.#lastAt;
    copy.#recent = this.#recent;
    copy.#hasCrashed = this.#hasCrashed;
    return copy;
  }

  begin(state, at) {
    const now = this.#game.clock.now();
    if (state === "loaded" && this.#cursor !== null) {
      assert.ok(now - this.#lastAt >= KEPT_MS, `${this.#stream} began anew, and nobody said so`);
    }
    this.#cursor = at;
    this.#recent = [];
    this.#note(at);
  }

  surface(seq) {
    const { counts } = this.#game;
    if (this.#hasCrashed && seq <= this.#cursor) this.#rewind(seq);
    assert.equal(seq, this.#game.after(this.#stream, this.#cursor)?.seq, `${this.#stream} after ${this.#cursor}`);
    this.#cursor = seq;
    this.#note(seq);
    counts.surfaced += 1;
  }

  crash() {
    this.#hasCrashed = true;
  }

  check() {
    assert.equal(this.#game.after(this.#stream, this.#cursor)?.seq, undefined, `${this.#stream}: lost`);
  }

  #note(seq) {
    this.#hasCrashed = false;
    this.#lastAt = this.#game.clock.now();
    this.#recent = [...this.#recent.slice(-50), { seq, at: this.#lastAt }];
  }

  /** Go back to where the page that crashed had written down that it was. */
  #rewind(seq) {
    const first = this.#recent.find((one) => one.seq === seq);
    assert.ok(first && this.#lastAt - first.at < CRASH_MS, "surfaced twice, and long before the crash");
    this.#recent = this.#recent.slice(0, this.#recent.indexOf(first));
    assert.ok(this.#recent.length, "surfaced before it began");
    this.#cursor = this.#recent.at(-1).seq;
    this.#game.counts.repeated += 1;
  }
}
