"""aiohttp: a set of clients, and `send_str` in a loop."""

import argparse
import json

from aiohttp import ClientConnectionResetError, web

clients = web.AppKey("clients", set)
deflate = web.AppKey("deflate", bool)


async def broadcast(app, burst, size):
    for n in range(burst):
        text = json.dumps({"channel": "bench", "payload": {"n": n, "pad": "x" * size}})
        for client in list(app[clients]):
            try:
                await client.send_str(text)
            except ClientConnectionResetError:
                app[clients].discard(client)


async def serve(request):
    ws = web.WebSocketResponse(compress=request.app[deflate])
    await ws.prepare(request)
    request.app[clients].add(ws)
    try:
        async for received in ws:
            message = received.json()
            if wanted := message["payload"].get("broadcast"):
                await broadcast(request.app, **wanted)
            else:
                await ws.send_str(json.dumps(message))
    finally:
        request.app[clients].discard(ws)
    return ws


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--deflate", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    app = web.Application()
    app[clients] = set()
    app[deflate] = options.deflate
    app.add_routes([web.get("/ws", serve)])
    web.run_app(app, host="127.0.0.1", port=options.port, backlog=4096, shutdown_timeout=1, print=None)
