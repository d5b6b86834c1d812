"""The process of a writer: python -m tests.faults.writer KIND URI SEED USERS; told what to do by JSON lines."""

from __future__ import annotations

import inspect
import itertools
import json
import random
import sys
import threading
import time
from typing import Any

import mongoengine
from bson import ObjectId
from mongoengine.errors import MongoEngineException, OperationError
from pymongo import WriteConcern
from pymongo.errors import OperationFailure, PyMongoError

from wsflask import EVERYONE, Notification, Notifier, Recipients, Service

from .models import REGIONS, Item

__all__: list[str] = []

#: Threads that write at the same time; each is a lane.
_LANES = 4
#: Items there are at most.
_ITEMS = 400
#: Seconds a publication can be resumed from.
_KEEP = 3600.0


class _Chat(Service):
    channel = "chat"


class Writer:
    """Writes at a rate until told to stop, and notes what it was told of each write."""

    def __init__(self, kind: str, seed: int, users: int) -> None:
        self._write = {"notifications": self._notify, "publications": self._publish, "items": self._change}[kind]
        self._kind = kind
        self._seed = seed
        self._users = users
        self._rate = 0.0
        self._size = 0
        self._flooded: list[str] = []
        self._tokens = itertools.count(1)
        #: Token, lane, users (None: everyone), groups, outcome, began, ended.
        self.written: list[list[Any]] = []
        self._keeps = "keep" in inspect.signature(Service.publish).parameters
        for lane in range(_LANES):
            threading.Thread(target=self._run, args=(lane,), daemon=True).start()

    def answer(self, message: dict[str, Any]) -> Any:
        """Do what is asked."""
        if message["do"] == "write":
            self._rate, self._size = float(message["rate"]), int(message.get("size", 0))
        elif message["do"] == "flood":
            self._flooded = list(message["users"])
        elif message["do"] == "collect":
            return self.written
        elif message["do"] == "fill":
            self._fill(message["count"])
        elif message["do"] == "recent":
            return self._recent(message["since"])
        return {"keeps": self._keeps, "written": len(self.written)}

    def _recent(self, since: float) -> list[float]:
        """Return when writes ended well, since then."""
        return [each[6] for each in list(self.written) if each[4] == "ok" and each[6] >= since]

    def _run(self, lane: int) -> None:
        rng = random.Random(f"{self._kind} {self._seed} {lane}")
        due = time.monotonic()
        while True:
            rate = self._rate / _LANES
            if not rate:
                time.sleep(0.01)
                due = time.monotonic()
                continue
            # After a stall it does not catch up with all it has not written meanwhile.
            due = max(due + rng.uniform(0.5, 1.5) / rate, time.monotonic() - 0.1)
            time.sleep(max(due - time.monotonic(), 0))
            self._one(lane, rng)

    def _one(self, lane: int, rng: random.Random) -> None:
        token = f"{self._kind[0]}{next(self._tokens)}"
        record: list[Any] = [token, f"{self._kind}{lane}", None, [], "unknown", time.monotonic(), 0.0]
        # Noted before it is written: who collects now has to know that it may be there.
        self.written.append(record)
        try:
            self._write(record, rng)
            record[4] = "ok"
        except (PyMongoError, MongoEngineException) as error:
            record[4] = "failed" if _is_refused(error) else "unknown"
        record[6] = time.monotonic()

    def _recipients(self, record: list[Any], rng: random.Random) -> Recipients:
        """Draw whom it is for: mostly one user, now and then a team, seldom everyone."""
        drawn = rng.random()
        if self._flooded:
            record[2] = self._flooded
        elif drawn < 0.01:
            return EVERYONE
        elif drawn < 0.06:
            record[2], record[3] = [], [f"team{rng.randrange(10)}"]
        else:
            record[2] = [f"user{rng.randrange(self._users)}"]
        return Recipients(users=tuple(record[2]), groups=tuple(record[3]))

    def _notify(self, record: list[Any], rng: random.Random) -> None:
        to = self._recipients(record, rng)
        text = f"{record[0]} {'x' * self._size}".strip()
        Notifier.notify(
            Notification(id=ObjectId(), message=text, everyone=to.everyone, users=to.users, groups=to.groups)
        )

    def _publish(self, record: list[Any], rng: random.Random) -> None:
        to = self._recipients(record, rng)
        options: dict[str, Any] = {"keep": _KEEP} if self._keeps else {}
        _Chat().publish({"token": record[0], "more": "x" * self._size}, to=to, **options)

    def _change(self, record: list[Any], rng: random.Random) -> None:
        items = _items()
        number = rng.randrange(_ITEMS)
        drawn = rng.random()
        if drawn < 0.1:
            items.delete_one({"_id": number})
        else:
            change: dict[str, Any] = {"text": f"{record[0]} {'x' * self._size}", "secret": f"secret of {number}"}
            if drawn < 0.4:
                change["region"] = rng.choice(REGIONS)
            found = items.update_one({"_id": number}, {"$set": change, "$inc": {"version": 1}})
            if not found.matched_count:
                items.insert_one({"_id": number, "region": rng.choice(REGIONS), "version": 1, **change})

    @staticmethod
    def _fill(count: int) -> None:
        documents = ({"_id": n, "region": REGIONS[n % len(REGIONS)], "version": 1, "text": ""} for n in range(count))
        _items().insert_many(documents)


def _items() -> Any:
    return Item._get_collection().with_options(write_concern=WriteConcern("majority"))


def _is_refused(error: Exception) -> bool:
    """Return whether the server said that it did not write."""
    cause = error.__cause__ or error.__context__ if isinstance(error, OperationError) else error
    return isinstance(cause, OperationFailure) and cause.code == 11000


def _main(kind: str, uri: str, seed: str, users: str) -> None:
    mongoengine.connect(host=uri, uuidRepresentation="standard", tz_aware=True, timeoutMS=5_000)
    writer = Writer(kind, int(seed), int(users))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(writer.answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:5])
