"""A real server on a stage: its services, hub and feed are real, only the sockets are not."""

from __future__ import annotations

import itertools
import json
import struct
import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Self

import flask_login
from flask import Flask

from wsflask.connection import Connection
from wsflask.identity import Identity
from wsflask.server import WebSocketServer
from wsflask.service import Service
from wsflask.tasks import Task, spawn
from wsflask.testing.waiting import wait_until
from wsflask.transport.link import Link

__all__ = ["Actor", "Stage"]


class Actor(Link):
    """One client: what the server sent it, and a way to ask."""

    is_threaded = True

    def __init__(self) -> None:
        self.connection: Connection
        self.envelopes: list[dict[str, Any]] = []
        #: The same as text, to the byte.
        self.texts: list[str] = []
        self._ids = itertools.count(1)
        self._tasks: list[Task] = []
        self._buffer = b""
        self._lock = threading.Lock()

    # --- what a test looks at

    def on(self, channel: str) -> list[Any]:
        """Return the payloads that came on the channel."""
        return [each["payload"] for each in list(self.envelopes) if each["channel"] == channel]

    def wait(self, channel: str, count: int) -> list[Any]:
        """Return the first `count` payloads of the channel."""
        wait_until(lambda: len(self.on(channel)) >= count, what=f"{count} on {channel}, there are {self.on(channel)}")
        return self.on(channel)[:count]

    def ask(self, channel: str, payload: Any) -> dict[str, Any]:
        """Send a request with an id; return the whole answer."""
        identity = f"r{next(self._ids)}"
        self.say(channel, payload, id=identity)
        return wait_until(lambda: next((e for e in list(self.envelopes) if e.get("id") == identity), None))  # type: ignore[no-any-return]

    def say(self, channel: str, payload: Any, **more: Any) -> None:
        """Send a message."""
        data = json.dumps({"channel": channel, "payload": payload, **more}).encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        self.connection.bytes_arrived(b"\x81" + size + bytes(4) + data)

    def leave(self) -> None:
        """Close the connection, and wait for what it still does."""
        self.connection.close(1000)
        self.connection.peer_gone()
        for task in self._tasks:
            task.join(5)

    # --- the link

    def write(self, data: bytes) -> int:
        with self._lock:
            self._buffer += data
            while len(self._buffer) >= 2 and self._take_frame():
                pass
        return len(data)

    def _take_frame(self) -> bool:
        opcode, size, start = self._buffer[0] & 15, self._buffer[1], 2
        if size == 126:
            size, start = struct.unpack(">H", self._buffer[2:4])[0], 4
        elif size == 127:
            size, start = struct.unpack(">Q", self._buffer[2:10])[0], 10
        if len(self._buffer) < start + size:
            return False
        payload, self._buffer = self._buffer[start : start + size], self._buffer[start + size :]
        if opcode == 1:
            self.texts.append(payload.decode())
            self.envelopes.append(json.loads(payload))
        return True

    def run(self, work: Callable[[], None]) -> None:
        self._tasks.append(spawn("actor", work))

    def call_when_writable(self) -> None:
        raise AssertionError("an actor takes everything at once")

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def end_writing(self) -> None:
        pass

    def close(self) -> None:
        pass


class Stage:
    """One worker: a server with these services, on the default MongoEngine connection."""

    def __init__(self, *services: type[Service] | Service, **settings: Any) -> None:
        app = Flask("stage")
        app.secret_key = "a secret for the stage"
        app.config.update({f"WSFLASK_{name.upper()}": value for name, value in settings.items()})
        flask_login.LoginManager(app)
        self.server = WebSocketServer(app, services=list(services))
        self._actors: list[Actor] = []

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            actor.leave()
        self.server.stop()

    def connect(self, user: Any, *, groups: Iterable[str] = (), form: str = "v1", query: str = "") -> Actor:
        """Connect a client of the user: an id, or an object with `get_id`."""
        if isinstance(user, str):
            name = user
            user = SimpleNamespace(get_id=lambda: name, is_authenticated=True, is_active=True, groups=list(groups))
        actor = Actor()
        self._actors.append(actor)
        identity = Identity(user, user.get_id(), frozenset(groups), "a session")
        actor.connection = self.server.handler(actor, identity=identity, form=form, query=query)
        actor.owner = actor.connection
        actor.connection.start()
        return actor
