"""The database's history is made to forget."""

from __future__ import annotations

import time
from typing import Any

from bson import Timestamp
from pymongo import MongoClient
from pymongo.errors import OperationFailure

__all__ = ["latest", "roll_over"]

_PATIENCE = 60.0
#: MongoDB's error code where the first entry was dropped while it was read.
_POSITION_LOST = 136


def latest(client: MongoClient[Any]) -> Timestamp:
    """Return the time of the latest entry."""
    entry = client["local"]["oplog.rs"].find_one(sort=[("$natural", -1)])
    assert entry is not None
    return Timestamp(entry["ts"].time, entry["ts"].inc)


def roll_over(client: MongoClient[Any], beyond: Timestamp) -> bool:
    """Write until the history begins after a time; return whether it does. May switch."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        client["fill"]["fill"].insert_many([{"x": "x" * 100_000} for _ in range(100)])
        try:
            first = client["local"]["oplog.rs"].find_one(sort=[("$natural", 1)])
        except OperationFailure as error:
            if error.code != _POSITION_LOST:
                raise
            continue
        if first is not None and first["ts"] > beyond:
            return True
    return False
