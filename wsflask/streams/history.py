"""Documents that came to be after a position, as the database's history tells, read back by few queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pymongo
from mongoengine import Document
from pymongo import ReadPreference

from ..feed.base import Feed, HistoryCut, HistoryLost
from ..feed.positions import moment_before, moment_of

__all__ = ["Stretch", "inserted"]

#: Documents that are read by one query: at least, at first, and at most once it is known how large they are.
_LEAST, _FIRST, _CHUNK = 10, 100, 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Stretch(Generic[Item]):
    """A part of a stream's past."""

    #: Position, item and size in bytes, oldest first.
    entries: Sequence[tuple[str, Item, int]]
    #: It is whole up to the end of this moment.
    end: str


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
) -> Stretch[Item]:
    """Return the documents that were inserted after `since`: all to the end of the moment of `until`, or the first.

    It ends earlier where that is more than the limits allow, or takes too long. What was deleted meanwhile is left out;
    what was changed is as it is now. May switch.

    Args:
        make: returns item and size of a position and a raw document.

    Raises:
        HistoryLost: that can not be told.
        PyMongoError: the database failed.
    """
    end = moment_of(until)
    try:
        # As many deletes, by expiry say, may lie between the inserts.
        touches = feed.touches(document_class, since, until, 2 * limits.stream_history)
    except HistoryCut as cut:
        touches, end = cut.touches, cut.reached
    inserts = [(touch.seq, touch.id) for touch in touches if touch.op == "I"]
    if len(inserts) > limits.stream_history:
        end = moment_before(inserts[limits.stream_history][0])
        inserts = [each for each in inserts if moment_of(each[0]) <= end]
    collection = document_class._get_collection().with_options(read_preference=ReadPreference.PRIMARY)
    entries, room, most, start = [], limits.stream_history_bytes, _FIRST, 0
    while chunk := inserts[start : start + most]:
        if room < 0:
            end = moment_before(chunk[0][0])
            break
        with pymongo.timeout(limits.database_timeout):
            query = {"_id": {"$in": [identity for _, identity in chunk]}}
            found = {raw["_id"]: raw for raw in collection.find(query)}
        for seq, identity in chunk:
            if identity in found:
                item, size = make(seq, found.pop(identity))
                entries.append((seq, item, size))
                room -= size
        start += len(chunk)
        size_each = (limits.stream_history_bytes - room) // start + 1
        most = min(max(room // size_each + 1, _LEAST), _CHUNK)
    if end <= moment_of(since) and end < moment_of(until):
        raise HistoryLost("more happened at one moment than can be read")
    return Stretch([entry for entry in entries if moment_of(entry[0]) <= end], end)
