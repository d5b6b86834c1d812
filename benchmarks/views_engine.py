"""One worker's live engine without sockets: how long a change takes among many views, and what they weigh.

Run as a program, with its database in BENCH_MONGODB_URI, it is driven through its standard input and output: one line
a command, one JSON line an answer.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import flask_login
import gevent.pool
import mongoengine
from flask import Flask
from gevent.fileobject import FileObjectThread
from mongoengine import Document, IntField, StringField

from wsflask import Broadcaster, Change, Connection, WebSocketServer
from wsflask.identity import Identity
from wsflask.transport.link import Link

from .cookies import SECRET_KEY
from .processes import rss_kb

__all__ = ["main"]

#: Views that one connection watches; those who subscribe at the same time.
_A_CLIENT, _AT_ONCE = 50, 20
#: Seconds after which a view that was just loaded holds no rows any more.
_HELD = 4.0
#: Changes after which other greenlets get a turn, as under a backlog.
_BATCH = 50


class Line(Document):
    """A document that views show."""

    group = StringField()
    value = IntField()
    text = StringField()
    meta = {"collection": "line", "indexes": ["group"]}


class _Resident(flask_login.UserMixin):
    """A user who is kept in memory."""

    def __init__(self, name: str) -> None:
        self.id = name


class _Counter(Link):
    """A socket that takes everything, and counts it."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: bytes) -> int:
        self.taken += len(data)
        return len(data)

    def call_when_writable(self) -> None:
        raise AssertionError("everything was taken")

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def run(self, work: Callable[[], None]) -> None:
        work()

    def end_writing(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Engine:
    def __init__(self) -> None:
        mongoengine.connect(host=os.environ["BENCH_MONGODB_URI"], tz_aware=True)
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, WSFLASK_PING_INTERVAL=1e6, WSFLASK_SESSION_CHECK_INTERVAL=1e6)
        flask_login.LoginManager(app).user_loader(_Resident)
        self._broadcaster = Broadcaster()
        self._server = WebSocketServer(app, services=[self._broadcaster])
        self._server.expose(Line, fields=("group", "value", "text"), read=lambda user: True)
        self._server.start()
        self._rng = random.Random(1)
        self._links: list[_Counter] = []
        self._groups: list[str] = []
        self._number = 0

    def subscribe(self, prefix: str, first: int, end: int) -> dict[str, float]:
        """Subscribe to the views of groups from one number to before another; return what each has cost."""
        started = time.process_time()
        pool = gevent.pool.Pool(_AT_ONCE)
        for start in range(first, end, _A_CLIENT):
            groups = [f"{prefix} {number}" for number in range(start, min(start + _A_CLIENT, end))]
            self._groups += groups
            pool.spawn(self._subscribe_all, self._connection(), groups)
        pool.join(raise_error=True)
        return {"us": 1e6 * (time.process_time() - started) / (end - first)}

    def memory(self) -> dict[str, float]:
        """Return the bytes that this process has, once views hold no rows that they have just loaded."""
        gevent.sleep(_HELD)
        gc.collect()
        return {"bytes": 1024.0 * rss_kb([os.getpid()])}

    def _subscribe_all(self, connection: Connection, groups: list[str]) -> None:
        for group in groups:
            self._broadcaster.subscribe(connection, "Line", [{"fn": "group", "op": "==", "val": group}])

    def _connection(self) -> Connection:
        link, name = _Counter(), f"user{len(self._links)}"
        self._links.append(link)
        return self._server.handler(link, identity=Identity(_Resident(name), name, frozenset(), name), form="v1")

    def change(self, count: int) -> dict[str, float]:
        """Take so many changes in, each of them a row of one view; return what each has cost."""
        changes = [self._change() for _ in range(count)]
        before = self._sent
        gc.collect()
        started = time.process_time()
        for start in range(0, count, _BATCH):
            for change in changes[start : start + _BATCH]:
                self._broadcaster.intake.follow([change])
            gevent.sleep(0)
        spent = time.process_time() - started
        return {"us": 1e6 * spent / count, "bytes": (self._sent - before) / count}

    @property
    def _sent(self) -> int:
        return sum(link.taken for link in self._links)

    def _change(self) -> Change:
        group = self._rng.choice(self._groups)
        self._number += 1
        document = {"_id": group, "group": group, "value": self._number, "text": "x" * 100}
        # Behind everything that the database has told.
        seq = f"{int(time.time()) + 60 << 32 | self._number:020d}"
        return Change(seq, "U", "line", group, document)


def main() -> None:
    """Answer commands: `subscribe prefix first end`, `memory`, `change count`."""
    engine = _Engine()
    commands: dict[str, Callable[..., dict[str, float]]] = {
        "subscribe": engine.subscribe,
        "memory": engine.memory,
        "change": engine.change,
    }
    print(json.dumps({"ready": True}), flush=True)
    for line in FileObjectThread(sys.stdin.fileno(), "r", closefd=False):
        name, *words = line.split()
        arguments: list[Any] = [int(word) if word.isdecimal() else word for word in words]
        print(json.dumps(commands[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
