"""Starlette for uvicorn: a set of clients, and `send_text` in a loop."""

import json

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

clients = set()


async def broadcast(burst, size):
    for n in range(burst):
        text = json.dumps({"channel": "bench", "payload": {"n": n, "pad": "x" * size}})
        for client in list(clients):
            try:
                await client.send_text(text)
            except WebSocketDisconnect:
                clients.discard(client)


async def serve(websocket):
    await websocket.accept()
    clients.add(websocket)
    try:
        async for received in websocket.iter_text():
            message = json.loads(received)
            if request := message["payload"].get("broadcast"):
                await broadcast(**request)
            else:
                await websocket.send_text(json.dumps(message))
    finally:
        clients.discard(websocket)


app = Starlette(routes=[WebSocketRoute("/ws", serve)])
