import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

import * as wsflask from "../../static/wsflask.js";
import { address } from "../../static/wsflask/address.js";
import { fullJitter } from "../../static/wsflask/backoff.js";
import { CLOCK } from "../../static/wsflask/clock.js";
import { FakeClock, FakeSocket } from "./harness.js";

const STATIC = new URL("../../static/", import.meta.url);
const SCRIPT = "https://ui.example/wsflask/static/wsflask/address.js?v=3";
const page = (href) => ({ href, protocol: new URL(href).protocol });

test("the default address lies beside the script, on the page's host, with the page's scheme", () => {
  assert.equal(address({}, page("https://ui.example/board?x=1#top"), SCRIPT), "wss://ui.example/wsflask/ws");
  assert.equal(address({}, page("http://localhost:5000/"), SCRIPT), "ws://localhost:5000/wsflask/ws");
});

test("an application below a prefix is found there", () => {
  const script = "https://ui.example/app/live/static/wsflask/address.js";

  assert.equal(address({}, page("https://ui.example/app/"), script), "wss://ui.example/app/live/ws");
});

test("a script from another host connects to the page's host", () => {
  const script = "https://cdn.example/wsflask/static/wsflask/address.js";

  assert.equal(address({}, page("https://ui.example/"), script), "wss://ui.example/wsflask/ws");
});

test("port and path replace their part", () => {
  const here = page("https://ui.example:8443/board");

  assert.equal(address({ port: 8101 }, here, SCRIPT), "wss://ui.example:8101/wsflask/ws");
  assert.equal(address({ path: "/live/ws" }, here, SCRIPT), "wss://ui.example:8443/live/ws");
  assert.equal(address({ path: "/ws", port: "8101" }, here, SCRIPT), "wss://ui.example:8101/ws");
});

test("url replaces all", () => {
  const here = page("https://ui.example/board/1");

  assert.equal(address({ url: "ws://other:1/ws" }, here, SCRIPT), "ws://other:1/ws");
  assert.equal(address({ url: "https://other/ws#x" }, here, SCRIPT), "wss://other/ws");
  assert.equal(address({ url: new URL("http://other/ws") }, here, SCRIPT), "ws://other/ws");
  assert.equal(address({ url: "ws" }, here, SCRIPT), "wss://ui.example/board/ws");
});

test("where there is no page the script's own host is used", () => {
  assert.equal(address({}, undefined, SCRIPT), "wss://ui.example/wsflask/ws");
  assert.equal(address({}, page("about:blank"), SCRIPT), "wss://ui.example/wsflask/ws");
});

test("what is no websocket address fails at once", () => {
  assert.throws(() => address({}, undefined, "file:///srv/static/wsflask/address.js"), TypeError);
  assert.throws(() => wsflask.connect({ url: "ftp://ui.example/ws" }), TypeError);
});

test("waits are jittered over the whole window, which ends at thirty seconds", () => {
  assert.equal(fullJitter(0, () => 0), 0);
  assert.equal(fullJitter(0, () => 0.999), 499.5);
  assert.equal(fullJitter(3, () => 0.5), 2000);
  assert.equal(fullJitter(5000, () => 0.5), 15_000);
});

test("the clock is monotonic", async () => {
  const before = CLOCK.now();
  const timer = CLOCK.setTimeout(assert.fail, 1);
  CLOCK.clearTimeout(timer);

  await new Promise((resolve) => CLOCK.setTimeout(() => resolve(undefined), 5));

  assert.ok(CLOCK.now() > before && CLOCK.now() < Date.now());
});

test("the codes cannot be changed by a page", () => {
  assert.ok(Object.isFrozen(wsflask.CLOSE_CODES) && Object.isFrozen(wsflask.ERROR_CODES));
});

test("the classic script is the same client under window.wsflask", () => {
  const sockets = [];
  class WebSocket extends FakeSocket {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  }
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), {
    visibilityState: "visible",
    currentScript: { src: "https://ui.example/wsflask/static/wsflask.classic.js" },
  });
  const location = { href: "https://ui.example/board", protocol: "https:" };
  const browser = { AbortController, TextEncoder, URL, URLSearchParams, WebSocket, console, crypto };
  const world = { window, document, location, ...browser };
  vm.runInNewContext(readFileSync(new URL("wsflask.classic.js", STATIC), "utf8"), world);

  assert.deepEqual(Object.keys(window.wsflask).sort(), Object.keys(wsflask).sort());
  const ws = window.wsflask.connect({ clock: new FakeClock() });
  sockets[0].welcome();

  assert.equal(sockets[0].url, "wss://ui.example/wsflask/ws");
  assert.equal(ws.state, "open");
});

test("no module is longer than 250 lines", () => {
  for (const name of modules()) {
    assert.ok(readFileSync(new URL(name, STATIC), "utf8").split("\n").length <= 251, name);
  }
});

/** All but what only views of documents and channels of one's own need. */
const CORE = /^(?!wsflask\/(documents|wish|subscription|rows|view|changes|positions|live|channel|presence)\.js)/;

test("the core has at most 5 kB, everything 10 kB, minified and compressed", async (t) => {
  const [{ minify }, { gzipSync }] = await Promise.all([import("./minify.js"), import("node:zlib")]).catch((error) => {
    if (error.code !== "ERR_MODULE_NOT_FOUND" || process.env.WSFLASK_REQUIRE_SERVERS) throw error;
    return [{}, {}];
  });
  if (!minify) return t.skip("typescript is not installed: npm ci");
  const size = (names) => gzipSync(minify(names.map((name) => new URL(name, STATIC))), { level: 9 }).length;
  const core = size(modules().filter((name) => CORE.test(name)));
  const everything = size(modules());
  t.diagnostic(`core ${core} bytes, everything ${everything} bytes`);

  assert.ok(core <= 5 * 1024, `core: ${core}`);
  assert.ok(everything <= 10 * 1024, `everything: ${everything}`);
});

function modules() {
  return readdirSync(new URL("wsflask/", STATIC)).map((name) => `wsflask/${name}`);
}
