"""flask-sock for `gunicorn -k gevent`: a set of clients, and `ws.send` in a loop."""

import json

from flask import Flask
from flask_sock import ConnectionClosed, Sock

app = Flask(__name__)
sock = Sock(app)
clients = set()


def broadcast(burst, size):
    for n in range(burst):
        text = json.dumps({"channel": "bench", "payload": {"n": n, "pad": "x" * size}})
        for client in list(clients):
            try:
                client.send(text)
            except (ConnectionClosed, OSError):
                clients.discard(client)


@sock.route("/ws")
def serve(ws):
    clients.add(ws)
    try:
        while True:
            message = json.loads(ws.receive())
            if request := message["payload"].get("broadcast"):
                broadcast(**request)
            else:
                ws.send(json.dumps(message))
    finally:
        clients.discard(ws)
