/** Tabs of many users: the client of Socket.IO as its documentation has it, told what to do by JSON lines. */

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const now = () => Number(process.hrtime.bigint()) / 1e9;

/** @type {{ name: string, user: string, since: number, surfaced: [number, string][], connects: number, socket: any }[]} */
const tabs = [];

const actions = {
  open({ url, users }) {
    for (const [index, user] of users.entries()) {
      const socket = io(url, { auth: { user }, forceNew: true });
      const tab = { name: `${user}/${index}`, user, since: 0, surfaced: [], connects: 0, socket };
      socket.on("connect", () => {
        tab.since ||= now();
        tab.connects += 1;
      });
      socket.on("notification", ({ token }) => tab.surfaced.push([now(), token]));
      tabs.push(tab);
    }
  },
  connected() {
    return tabs.filter(({ socket }) => socket.connected).length;
  },
  collect() {
    return tabs.map(({ name, user, since, surfaced, connects }) => ({ name, user, since, surfaced, connects }));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(actions[message.do](message) ?? null)}\n`);
}
process.exit(0);
