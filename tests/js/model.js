/** A model of the servers: a database with its history, workers that follow it, and connections that come and go. */

import { FakeSocket } from "./harness.js";

/** Streams and the channels that are in them. */
export const STREAMS = { notifications: ["notifications"], publications: ["chat", "weather"] };

/** Return a function for random numbers from 0 to below 1, the same ones for the same seed. */
export function seeded(seed) {
  let state = seed + 0x6d2b79f5;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What all workers share. */
export class Database {
  /** All that ever happened, oldest first. @type {{ seq: string, stream: string, channel: string }[]} */
  log = [];
  /** What happened after this is known. */
  floor = "";
  epoch = 1;
  /** Answers by the ids of the commands that were applied, and what they did, in order. */
  answers = new Map();
  applied = [];
  #moment = 100;
  #further = 0;

  /** Something happens, perhaps in the same transaction as what happened last. */
  write(stream, channel, isSameMoment) {
    this.#further = isSameMoment ? this.#further + 1 : 0;
    if (!isSameMoment) this.#moment += 1;
    const further = this.#further ? `.${String(this.#further).padStart(4, "0")}` : "";
    this.log.push({ seq: String(this.#moment).padStart(20, "0") + further, stream, channel });
  }

  get end() {
    return this.log.at(-1)?.seq ?? String(100).padStart(20, "0");
  }

  after(stream, seq) {
    return this.log.find((event) => event.stream === stream && event.seq > seq);
  }

  /** A command is applied, or was: by its id the two are told apart. */
  apply(id, what) {
    if (!this.answers.has(id)) {
      this.applied.push(what);
      this.answers.set(id, { applied: what });
    }
    return this.answers.get(id);
  }
}

/** One process: it knows of the database's history what it has followed so far. */
export class Worker {
  links = new Set();

  constructor(database) {
    this.database = database;
    this.position = database.end;
  }

  /** Hear of the next change and tell all who have come that far. */
  follow() {
    const event = this.database.log.find(({ seq }) => seq > this.position);
    if (!event) return;
    this.position = event.seq;
    for (const link of this.links) if (link.joined.has(event.stream)) link.tell(event);
  }

  /** The feed has a gap: everyone begins anew where it goes on. */
  loseTrack() {
    this.position = this.database.end;
    for (const link of this.links) for (const stream of link.joined) link.begin(stream, "reset");
  }

  stop(code) {
    for (const link of [...this.links]) link.end(code);
  }
}

/** The server's end of one connection. What it sends arrives later, or is lost. */
export class Link extends FakeSocket {
  joined = new Set();
  /** Sent and not yet arrived. */
  #under = [];
  #coming = new Map();
  #commands = [];
  #told = [];

  constructor(url, worker) {
    super(url);
    this.worker = worker;
    worker.links.add(this);
    for (const stream of Object.keys(STREAMS)) this.#coming.set(stream, { at: null, missed: 0 });
    for (const place of new URL(url).searchParams.getAll("resume")) {
      const [stream, epoch, at] = place.split("~");
      this.#coming.set(stream, { at, missed: 0, isKnown: epoch === this.#epochOf(stream) });
    }
  }

  /** The client says something. */
  send(text) {
    super.send(text);
    const message = JSON.parse(text);
    if (message.payload.cmd_id) this.#commands.push(message);
  }

  /** Let some of what was sent arrive. */
  arrive(most) {
    for (const text of this.#under.splice(0, most)) if (this.readyState < 2) this.raw(text);
  }

  get isQuiet() {
    return this.#under.length === 0 && this.#coming.size === 0 && this.#commands.length === 0;
  }

  /** Do the next thing there is to do. */
  step(random) {
    const { database } = this.worker;
    for (const [stream, coming] of this.#coming) this.#catchUp(stream, coming, random);
    const command = random() < 0.5 && this.#commands.shift();
    if (command) {
      const chance = random();
      const answer = chance < 0.9 && database.apply(command.payload.cmd_id, command.payload.what);
      if (chance > 0.8) this.#send("error", { code: "unavailable", message: "" }, { id: command.id });
      else this.#send(command.channel, answer, { id: command.id });
    }
    if (random() < 0.1) this.#send("ping", {}, { seq: this.worker.position });
    // Races tell a message twice; both have its position.
    if (random() < 0.2 && this.#told.length) this.tell(this.#told[Math.floor(random() * this.#told.length)]);
  }

  tell(event) {
    const { seq, channel, stream } = event;
    this.#told = [...this.#told.slice(-3), event];
    this.#send(channel, stream === "notifications" ? { unread: 1, category: "info", last: { id: seq } } : seq, { seq });
  }

  begin(stream, state, missed = 0) {
    const at = this.worker.position;
    this.joined.add(stream);
    this.#coming.delete(stream);
    this.#told = this.#told.filter((event) => event.stream !== stream);
    const payload = { stream, channels: STREAMS[stream], state, epoch: this.#epochOf(stream), missed, at };
    this.#send("stream", payload, { seq: at });
  }

  end(code) {
    this.worker.links.delete(this);
    super.end(code);
  }

  #epochOf(stream) {
    return `${stream[0]}${this.worker.database.epoch}`;
  }

  /** Send the next few of what was missed, up to where this worker is; then join those who are told live. */
  #catchUp(stream, coming, random) {
    const { database, position } = this.worker;
    if (coming.at === null) return this.begin(stream, "loaded");
    if (!coming.isKnown || coming.at < database.floor) return this.begin(stream, "reset");
    // A worker may be in the middle of the changes of one moment, all of which the client has.
    if (coming.at.split(".")[0] > position) return;
    for (let few = Math.floor(random() * 4); few > 0; few -= 1) {
      const event = database.after(stream, coming.at);
      if (!event || event.seq > position) return this.begin(stream, "resumed", coming.missed);
      coming.at = event.seq;
      coming.missed += 1;
      this.tell(event);
    }
  }

  #send(channel, payload, rest) {
    this.#under.push(JSON.stringify({ channel, payload, ...rest }));
  }
}
