"""wsflask with everything on, as the benchmarks run it, and a service that broadcasts."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import os
import time
from pathlib import Path
from typing import Any

import flask_login
import mongoengine
from flask import Flask
from mongoengine import Document, IntField, StringField

from wsflask import Broadcaster, Clipboard, Notifier, Service, WebSocketServer
from wsflask.connection import Connection
from wsflask.protocol.messages import Message

from .cookies import SECRET_KEY


class Row(Document):
    """A document that views show."""

    group = StringField()
    value = IntField()
    meta = {"collection": "row"}


class Person(Document, flask_login.UserMixin):
    """A user who is kept in the database."""

    name = StringField(primary_key=True)
    meta = {"collection": "person"}

    def get_id(self) -> str:
        return str(self.name)


class Resident(flask_login.UserMixin):
    """A user who is kept in memory."""

    def __init__(self, name: str) -> None:
        self.id = name


class Bench(Service):
    """Answer an echo; send a burst of messages to everybody."""

    channel = "bench"

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        if not isinstance(message, dict):
            return None
        if "echo" in message:
            return {"echo": message["echo"]}
        asked = message["broadcast"]
        pad = "x" * int(asked["size"])
        hub = self.server.hub
        for number in range(int(asked["burst"])):
            hub.send(Message(self.channel, {"n": number, "pad": pad}), hub.connections())
        return None


class Pulse(Service):
    """Note how long the event loop keeps a greenlet waiting, in all the life of the worker and since clients left."""

    channel = "pulse"

    def __init__(self) -> None:
        super().__init__()
        self._leaving: list[float] = []

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        if not self._leaving:
            self._leaving.append(0.0)

    def run(self) -> None:
        before = time.monotonic()
        try:
            while True:
                time.sleep(0.001)
                now = time.monotonic()
                if self._leaving:
                    self._leaving.append(now - before)
                before = now
        finally:
            Path(os.environ["BENCH_PULSE"]).write_text(f"{max(self._leaving, default=0.0):.6f}")


def create_app() -> Flask:
    """Return the application.

    BENCH_MONGODB_URI names its database; BENCH_USERS=database keeps its users there instead of in memory;
    BENCH_COMPRESSION compresses for clients that offer it; BENCH_PULSE names a file for the longest pause of the event
    loop from the first client's leaving on.
    """
    mongoengine.connect(host=os.environ["BENCH_MONGODB_URI"], tz_aware=True)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=SECRET_KEY,
        WSFLASK_MESSAGES_PER_SECOND=1_000_000.0,
        WSFLASK_MESSAGE_BURST=1_000_000,
    )
    if os.environ.get("BENCH_COMPRESSION"):
        app.config["WSFLASK_COMPRESSION"] = True
    manager = flask_login.LoginManager(app)
    if os.environ.get("BENCH_USERS") == "database":
        manager.user_loader(lambda name: Person.objects(pk=name).first())
    else:
        manager.user_loader(Resident)
    pulse = [Pulse] if os.environ.get("BENCH_PULSE") else []
    server = WebSocketServer(services=[Notifier, Clipboard, Broadcaster, Bench, *pulse])
    server.expose(Row, fields=("group", "value"), read=lambda user: True)
    app.register_blueprint(server.blueprint)
    return app


app = create_app()
