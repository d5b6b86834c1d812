"""websockets, with its own `broadcast()`."""

import argparse
import asyncio
import json

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

clients = set()


async def handler(websocket):
    clients.add(websocket)
    try:
        async for received in websocket:
            message = json.loads(received)
            if request := message["payload"].get("broadcast"):
                for n in range(request["burst"]):
                    text = json.dumps({"channel": "bench", "payload": {"n": n, "pad": "x" * request["size"]}})
                    broadcast(clients, text)
            else:
                await websocket.send(json.dumps(message))
    except ConnectionClosed:
        pass
    finally:
        clients.discard(websocket)


async def main(port, compression):
    async with serve(handler, "127.0.0.1", port, backlog=4096, compression=compression) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--deflate", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    asyncio.run(main(options.port, "deflate" if options.deflate else None))
