"""Documents that came to be between two positions, as the database's history tells, read back by few queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pymongo
from mongoengine import Document
from pymongo import ReadPreference

from ..feed.base import Feed, HistoryLost

__all__ = ["inserted"]

#: Documents that are read by one query.
_CHUNK = 1000

Item = TypeVar("Item")


class Limits(Protocol):
    """How much is read."""

    @property
    def stream_history(self) -> int: ...
    @property
    def stream_history_bytes(self) -> int: ...
    @property
    def database_timeout(self) -> float: ...


def inserted(
    feed: Feed,
    document_class: type[Document],
    since: str,
    until: str,
    limits: Limits,
    make: Callable[[str, dict[str, Any]], tuple[Item, int]],
) -> list[tuple[str, Item, int]]:
    """Return position, item and size of the documents that were inserted after `since`, oldest first. May switch.

    To the end of the moment of `until`. What was deleted meanwhile is left out; what was changed is as it is now.

    Args:
        make: returns item and size of a position and a raw document.

    Raises:
        HistoryLost: that can not be told, or is more than the limits allow.
        PyMongoError: the database failed.
    """
    # As many deletes, by expiry say, may lie between the inserts.
    touches = feed.touches(document_class, since, until, 2 * limits.stream_history)
    inserts = [(touch.seq, touch.id) for touch in touches if touch.op == "I"]
    if len(inserts) > limits.stream_history:
        raise HistoryLost(f"more than {limits.stream_history} messages")
    collection = document_class._get_collection().with_options(read_preference=ReadPreference.PRIMARY)
    entries, room = [], limits.stream_history_bytes
    for start in range(0, len(inserts), _CHUNK):
        chunk = inserts[start : start + _CHUNK]
        with pymongo.timeout(limits.database_timeout):
            query = {"_id": {"$in": [identity for _, identity in chunk]}}
            found = {raw["_id"]: raw for raw in collection.find(query)}
        for seq, identity in chunk:
            if identity in found:
                item, size = make(seq, found.pop(identity))
                entries.append((seq, item, size))
                room -= size
        if room < 0:
            raise HistoryLost(f"more than {limits.stream_history_bytes} bytes")
    return entries
