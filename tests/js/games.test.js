/** Thousands of games with the client that ships, and some with clients that have a fault, which must not go unseen. */

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { connect } from "../../static/wsflask.js";
import { play } from "./games.js";

const GAMES = Number(process.env.WSFLASK_GAMES ?? 2_000);
const FIRST = Number(process.env.WSFLASK_SEED ?? 1);
const STATIC = fileURLToPath(new URL("../../static/", import.meta.url));

async function games(t, most, client = connect) {
  const total = {};
  const now = t.mock.method(Date, "now");
  for (let seed = FIRST; seed < FIRST + most; seed += 1) {
    const counts = await play(client, seed, (time) => now.mock.mockImplementation(time)).catch((error) => {
      throw new Error(`game ${seed}: ${error.message}`, { cause: error });
    });
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

test("every message is surfaced once and in order, or a reset is told; every command is applied once", async (t) => {
  const total = await games(t, GAMES);

  t.diagnostic(JSON.stringify(total));
  for (const [name, count] of Object.entries(total)) assert.ok(count > GAMES / 10, `${name}: ${count}`);
});

const FAULTS = {
  "without dedupe": ["streams.js", /if \(places\.some\(.*return;/, ""],
  "that resumes nothing": ["streams.js", 'return resume[0] ? ', "return false ? "],
  "that forgets its places at a reload": ["streams.js", "page.sessionStorage?.setItem(", "void ("],
  "that writes nothing when the page is left": ["connection.js", /, \(\) => this\.#streams\.save\(\)\)/, ", () => {})"],
  "that takes a ping for streams that are not told yet": ["streams.js", "isPing ? place.isTold", "isPing ? true"],
  "that goes back with a worker that is a little behind": ["streams.js", "known.seq > at", "false"],
  "that keeps its place at a reset": ["streams.js", 'payload.state === "resumed" && ', ""],
  "that names a command anew each time": ["outbox.js", "this.#send(entry.text)", 'this.#send(entry.text.replace(/cmd_id":"/, `$&${Math.random()}`))'],
  "that does not repeat commands": ["commands.js", 'lost: "resend"', 'lost: "disconnected"'],
};

for (const [name, [file, what, instead]] of Object.entries(FAULTS)) {
  test(`the games find a client ${name}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "wsflask-"));
    t.after(() => rmSync(folder, { recursive: true }));
    cpSync(STATIC, folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const path = join(folder, "wsflask", file);
    const source = readFileSync(path, "utf8");
    const changed = source.replace(what, instead);
    assert.notEqual(changed, source);
    writeFileSync(path, changed);
    const faulty = await import(pathToFileURL(join(folder, "wsflask.js")).href);

    await assert.rejects(games(t, 300, faulty.connect), /^Error: game \d+: /);
  });
}
