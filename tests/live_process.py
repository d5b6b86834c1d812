"""The views of one process over a database that answers when it is told to, and clients that record."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.live_world import COLLECTION, NONE, Connection, query
from wsflask.access import Condition
from wsflask.config import Settings
from wsflask.feed.base import Change
from wsflask.live.intake import Intake
from wsflask.live.keys import row_key
from wsflask.live.subscriber import Subscriber
from wsflask.live.view import Loaded, Query, row_of
from wsflask.live.views import LiveViews
from wsflask.protocol.messages import Message

__all__ = ["ANN", "BEN", "Client", "Database", "Process", "at", "change"]

ANN, BEN = Condition("owner", "==", "ann"), Condition("owner", "==", "ben")


def at(moment: int) -> str:
    return f"{moment:020d}"


def change(moment: int, op: str, identity: str, **fields: Any) -> Change:
    return Change(at(moment), op, COLLECTION, identity, None if op == "D" else {"_id": identity, **fields})


class Client(Connection):
    """A connection that may be slow."""

    def __init__(self) -> None:
        super().__init__()
        self.drains: Callable[[], bool] = lambda: True
        self.closed_with = 0

    def drain(self, timeout: float) -> bool:
        return self.drains()

    def close(self, code: int, reason: str = "") -> None:
        super().close(code, reason)
        self.closed_with = code

    @property
    def ops(self) -> list[Any]:
        return [(one["op"], one["message"]["_id"]) if "message" in one else one["op"] for one in self.inbox]


class Database:
    """Answers loads when it is told to: with the rows of these documents, or an exception."""

    def __init__(self) -> None:
        self.queries = 0
        self.answer: Sequence[dict[str, Any]] | Exception = ({"_id": "a"}, {"_id": "b"})
        self.goes_on = threading.Event()
        self.goes_on.set()

    def load(self, asked: Query, settings: Settings, position: Callable[[], str]) -> Loaded:
        self.queries += 1
        answer, where = self.answer, position()
        assert self.goes_on.wait(10)
        if isinstance(answer, Exception):
            raise answer
        found = [one for one in answer if asked.full_scope.matches(one)]
        return Loaded({row_key(one["_id"]): row_of(asked, one, NONE) for one in found}, where)


class Process:
    """The views of one process."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.views = LiveViews(Settings(**{"database_timeout": 5.0, **settings}), b"secret", deliver, database.load)
        self.views.begin(at(1))
        self._intake = Intake(self.views)

    def follow(self, *changes: Change, seq: str = "") -> None:
        self._intake.follow(changes, seq)

    def subscribe(self, client: Any, *conditions: Condition, **parameters: Any) -> Subscriber:
        subscriber = self.views.attach(client, query(*conditions), parameters)
        self.views.wait(subscriber)
        self.views.send(subscriber)
        return subscriber

    @property
    def watching(self) -> int:
        return len(list(self.views.watchers))


def deliver(message: Message, connections: Sequence[Any]) -> None:
    for ws in connections:
        ws.inbox.append(json.loads(message.payload_json))
