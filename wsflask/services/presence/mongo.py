"""The store of presence in MongoDB: entries that the feed tells of, and a lease for each worker."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import DeleteOne, ReadPreference, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from ...documents import PresenceEntry, PresenceLease
from ...feed.base import Change, Feed, Gap, Subscription
from .leases import Beat, Leases
from .store import BEAT, Entry, Follower, Key, Left, Missed, PresenceStore, Stored, StoreUnavailable

__all__ = ["MongoPresenceStore"]

#: Sweeps between two looks for entries without any lease: its sweeper died, or was frozen, in the midst of it.
_ORPHANS = 30
_DUPLICATE_KEY = 11000

_Raw = dict[str, Any]


class MongoPresenceStore(PresenceStore):
    """Entries in the collection `wsflask_presence`.

    Args:
        patience: seconds without a renewal after which this worker's lease is over.
        timeout: seconds that a call may take.
    """

    def __init__(self, feed: Feed, *, patience: float, timeout: float) -> None:
        super().__init__()
        self._feed = feed
        self._patience = patience
        self._timeout = timeout
        self._observed = Leases(2 * BEAT)
        self._sweeps = 0
        self.tells_own = feed.sees_every_write

    def follow(self) -> Follower:
        return _Follower(self._feed.watch(PresenceEntry, name="presence"))

    def load(self) -> Stored:
        with self._in_time():
            return Stored([entry for raw in self._entries.find({}) if (entry := _entry(raw)) is not None])

    def write(self, taken: Sequence[Entry], kept: Sequence[Entry], gone: Sequence[Key]) -> None:
        mine = {"$in": list(self._leases)}
        steps: list[UpdateOne | DeleteOne] = [UpdateOne({"_id": _id(e.key)}, _set(e), upsert=True) for e in taken]
        steps += [UpdateOne({"_id": _id(e.key), "process": mine}, _set(e), upsert=True) for e in kept]
        steps += [DeleteOne({"_id": _id(key), "process": mine}) for key in gone]
        with self._in_time():
            try:
                self._entries.bulk_write(steps, ordered=False)
            except BulkWriteError as error:
                spared = range(len(taken), len(taken) + len(kept))
                failures = (error.details or {}).get("writeErrors", [])
                if not failures or any(f["code"] != _DUPLICATE_KEY or f["index"] not in spared for f in failures):
                    raise
                # Another worker has it, so that it could not be inserted.

    def renew(self) -> bool:
        with self._in_time():
            if self.lease:
                beat = {"$inc": {"beat": 1}, "$set": {"patience": self._patience}}
                done = self._beats.update_one({"_id": self.lease}, beat)
                if done.matched_count:
                    return True
            lease = secrets.token_hex(6)
            self._beats.insert_one({"_id": lease, "beat": 0, "patience": self._patience})
        self._leases.add(lease)
        self.lease = lease
        return False

    def sweep(self) -> None:
        with self._in_time():
            # Before the leases: who writes an entry has a lease already.
            named = set(self._entries.distinct("process")) if self._sweeps % _ORPHANS == 0 else set()
            found = {raw["_id"]: raw for raw in self._beats.find({})}
            beats = {name: Beat(raw["beat"], raw["patience"]) for name, raw in found.items() if name != self.lease}
            over = self._observed.look(beats, time.monotonic())
            # Of several that find it over one removes it.
            ended = [p for p in over if self._beats.delete_one({"_id": p, "beat": beats[p].number}).deleted_count]
            gone = [*ended, *(named - found.keys())]
            if gone:
                self._entries.delete_many({"process": {"$in": gone}})
            self._sweeps += 1

    def interrupted(self) -> None:
        self._observed.interrupt()
        self._sweeps = 0

    def release(self, seconds: float) -> None:
        if self.lease:
            with self._in_time():
                self._beats.update_one({"_id": self.lease}, {"$set": {"patience": seconds}, "$inc": {"beat": 1}})

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        try:
            with pymongo.timeout(self._timeout):
                yield
        except PyMongoError as error:
            raise StoreUnavailable(type(error).__name__) from error

    @property
    def _entries(self) -> Collection[_Raw]:
        return _certain(PresenceEntry._get_collection())

    @property
    def _beats(self) -> Collection[_Raw]:
        return _certain(PresenceLease._get_collection())


class _Follower:
    """The feed's changes of entries."""

    def __init__(self, changes: Subscription) -> None:
        self._changes = changes

    @property
    def is_closed(self) -> bool:
        return self._changes.is_closed

    @property
    def is_behind(self) -> bool:
        return self._changes.statistics()["waiting"] > 0

    def take(self, most: int, timeout: float) -> list[Entry | Left | Missed]:
        told = map(_told, self._changes.take_many(most, timeout))
        return [item for item in told if item is not None]

    def close(self) -> None:
        self._changes.close()


def _told(change: Change | Gap) -> Entry | Left | Missed | None:
    if isinstance(change, Gap):
        return Missed()
    if change.op != "D" and change.document is not None:
        return _entry(change.document)
    key = _key(change.id)
    return Left(key) if key is not None else None


def _entry(raw: _Raw) -> Entry | None:
    """Return the entry in a raw document; None: it is none of ours."""
    key = _key(raw["_id"])
    texts = raw.get("process"), raw.get("about"), raw.get("data")
    return Entry(key, *texts) if key is not None and all(isinstance(text, str) for text in texts) else None  # type: ignore[arg-type]


def _set(entry: Entry) -> _Raw:
    return {"$set": {"process": entry.process, "about": entry.about, "data": entry.meta}}


def _id(key: Key) -> str:
    room, user, tab = key
    return f"{room}\n{tab}\n{user}"


def _key(identity: Any) -> Key | None:
    parts = identity.split("\n", 2) if isinstance(identity, str) else ()
    return (parts[0], parts[2], parts[1]) if len(parts) == 3 else None


def _certain(collection: Collection[_Raw]) -> Collection[_Raw]:
    return collection.with_options(read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority"))
