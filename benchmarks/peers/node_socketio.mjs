/** socket.io on Node, over WebSocket alone. */

import { createServer } from "node:http";
import { parseArgs } from "node:util";

import { Server } from "socket.io";

const { values: options } = parseArgs({ options: { port: { type: "string" }, deflate: { type: "boolean" } } });
const server = createServer();
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: options.deflate ?? false });

io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null; // as the documentation advises, to save memory
});

io.on("connection", (socket) => {
  socket.on("broadcast", ({ burst, size }) => {
    for (let n = 0; n < burst; n++) io.emit("bench", { n, pad: "x".repeat(size) });
  });
  socket.on("echo", (message) => socket.emit("echo", message));
});

server.listen({ host: "127.0.0.1", port: Number(options.port), backlog: 4096 });
