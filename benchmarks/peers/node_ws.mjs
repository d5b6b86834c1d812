/** ws on Node: every broadcast encoded once and sent to each of `clients`. */

import { createServer } from "node:http";
import { parseArgs } from "node:util";

import { WebSocket, WebSocketServer } from "ws";

const { values: options } = parseArgs({ options: { port: { type: "string" }, deflate: { type: "boolean" } } });
const server = createServer();
const wss = new WebSocketServer({ server, path: "/ws", perMessageDeflate: options.deflate ?? false });

function broadcast({ burst, size }) {
  for (let n = 0; n < burst; n++) {
    const data = Buffer.from(JSON.stringify({ channel: "bench", payload: { n, pad: "x".repeat(size) } }));
    for (const client of wss.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false });
    }
  }
}

wss.on("connection", (ws) => {
  ws.on("error", () => {}); // a client that resets its connection
  ws.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.payload.broadcast) broadcast(message.payload.broadcast);
    else ws.send(JSON.stringify(message));
  });
});

server.listen({ host: "127.0.0.1", port: Number(options.port), backlog: 4096 });
