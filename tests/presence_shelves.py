"""Where presence keeps its entries, as a test looks into it, and lays into it what other workers have written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from redis import Redis

from tests.harness import RedisServer, require_program
from wsflask.config import Settings
from wsflask.documents import PresenceEntry, PresenceLease
from wsflask.feed import create_feed
from wsflask.feed.base import Feed
from wsflask.feed.epoch import read_own_epoch
from wsflask.feed.redis_frames import Seal
from wsflask.services.presence.mongo import MongoPresenceStore
from wsflask.services.presence.redis import RedisPresenceStore
from wsflask.services.presence.redis_calls import Calls
from wsflask.services.presence.redis_frames import Frames, id_of, key_in, owner_of
from wsflask.services.presence.store import Entry, Key, PresenceStore

__all__ = ["KINDS", "MongoShelf", "RedisShelf", "Shelf", "lease_of"]


def lease_of(name: str) -> str:
    """Return a lease as a worker calls it."""
    return name.encode().hex()[:12].ljust(12, "0")


class Shelf(ABC):
    """The entries and leases of all workers; a lease has the name that `lease_of` makes of a word."""

    #: Settings of the server that keeps them there.
    settings: dict[str, Any]

    @abstractmethod
    def open(self, *, patience: float = 8.0) -> PresenceStore:
        """Return the store of a worker of its own."""

    @abstractmethod
    def close(self) -> None:
        """End what was opened."""

    @abstractmethod
    def owners(self) -> dict[Key, str]:
        """Return the lease of each entry."""

    @abstractmethod
    def count(self, lease: str) -> int:
        """Return how many entries a lease has."""

    @abstractmethod
    def put(self, key: Key, lease: str) -> None:
        """Lay in an entry, as another worker does."""

    @abstractmethod
    def put_lease(self, lease: str, patience: float) -> None:
        """Lay in a lease that nobody renews."""

    @abstractmethod
    def leases(self) -> set[str]:
        """Return the leases."""

    @abstractmethod
    def end(self, lease: str) -> None:
        """Remove a lease, and leave its entries."""

    @abstractmethod
    def sweep(self, lease: str) -> None:
        """Remove a lease and its entries, as another worker does."""

    @abstractmethod
    def lose(self) -> None:
        """Lose all entries, which no follower can be told one by one."""

    @abstractmethod
    def spoil(self) -> None:
        """Lay in what none of our workers writes."""


class MongoShelf(Shelf):
    """Two collections."""

    def __init__(self, redis: RedisServer) -> None:
        self.settings = {}
        self._feeds: list[Feed] = []

    def open(self, *, patience: float = 8.0) -> PresenceStore:
        feed = create_feed(Settings(feed="mongo"))
        feed.start()
        self._feeds.append(feed)
        return MongoPresenceStore(feed, patience=patience, timeout=5.0)

    def close(self) -> None:
        for feed in self._feeds:
            feed.stop()

    def owners(self) -> dict[Key, str]:
        found = {each.id: each.process for each in PresenceEntry.objects}
        return {key: lease for name, lease in found.items() if (key := key_in(name)) is not None}

    def count(self, lease: str) -> int:
        return int(PresenceEntry.objects(process=lease).count())

    def put(self, key: Key, lease: str) -> None:
        PresenceEntry(id=id_of(key), process=lease, about="{}", data="{}").save()

    def put_lease(self, lease: str, patience: float) -> None:
        PresenceLease(id=lease, beat=7, patience=patience).save()

    def leases(self) -> set[str]:
        return {each.id for each in PresenceLease.objects}

    def end(self, lease: str) -> None:
        PresenceLease.objects(id=lease).delete()

    def sweep(self, lease: str) -> None:
        self.end(lease)
        PresenceEntry.objects(process=lease).delete()

    def lose(self) -> None:
        PresenceEntry.drop_collection()

    def spoil(self) -> None:
        for raw in ({"_id": 7}, {"_id": "a"}, {"_id": "\n2\neve", "process": 1}):
            PresenceEntry._get_collection().insert_one(raw)


class RedisShelf(Shelf):
    """Keys of one database, signed as the servers of `Stage` do."""

    def __init__(self, redis: RedisServer, *, secret: bytes = b"of all workers") -> None:
        require_program("redis-server")
        self.settings = {"redis_url": redis.url}
        self.secret = secret
        self.url = redis.url
        self.client: Any = Redis.from_url(redis.url)
        self.name = f"wsflask:{read_own_epoch(5.0)}"
        self.keys = {part: f"{{{self.name}}}:presence:{part}" for part in ("log", "leases", "entries", "of:")}
        self.calls = Calls(self.client, self.name, 20_000)
        self._stores: list[RedisPresenceStore] = []

    @property
    def frames(self) -> Frames:
        return Frames(Seal(self.secret, f"{self.name} presence"))

    def open(self, *, patience: float = 8.0, log: int = 20_000) -> PresenceStore:
        store = RedisPresenceStore(self.url, self.secret, patience=patience, timeout=5.0, log=log)
        self._stores.append(store)
        return store

    def close(self) -> None:
        for store in self._stores:
            store._client.close()
        self.client.close()

    def owners(self) -> dict[Key, str]:
        found = {name: owner_of(kept) for name, kept in self.calls.entries()}
        return {key: lease for name, lease in found.items() if (key := key_in(name)) is not None}

    def count(self, lease: str) -> int:
        return int(self.client.scard(f"{self.keys['of:']}{lease}"))

    def put(self, key: Key, lease: str) -> None:
        kept = self.frames.pack(Entry(key, lease, "{}", "{}"))
        if not self.calls.write(lease, [lease], [(id_of(key), kept)], [], []):
            self.put_lease(lease, 1.0)  # nothing is written without
            self.put(key, lease)
            self.end(lease)

    def put_lease(self, lease: str, patience: float) -> None:
        self.calls.found(lease, self.frames.pack_beat(lease, 7, patience))

    def leases(self) -> set[str]:
        return set(self.calls.leases())

    def end(self, lease: str) -> None:
        self.client.hdel(self.keys["leases"], lease)

    def sweep(self, lease: str) -> None:
        while lease in self.leases():
            self.calls.sweep(lease, self.calls.leases()[lease], 1000)

    def lose(self) -> None:
        of = list(self.client.scan_iter(f"{self.keys['of:']}*"))
        self.client.delete(self.keys["log"], self.keys["entries"], *of)

    def spoil(self) -> None:
        log, entries, leases = (self.keys[part] for part in ("log", "entries", "leases"))
        self.client.hset(entries, mapping={b"\xff": b"", b"a": b"x" * 40, b"\n2\neve": b"x" * 40})
        self.client.hset(leases, mapping={b"\xff": b"", b"a": b"x" * 40})
        for fields in ({b"x": b"y"}, {b"i": b"\xff", b"b": b""}, {b"i": b"\n2\neve", b"b": b"x" * 40}, {b"i": b"a"}):
            self.client.xadd(log, fields)


#: A store is tested when it has its line here.
KINDS: dict[str, type[MongoShelf | RedisShelf]] = {
    "mongo": MongoShelf,
    "redis": RedisShelf,
}
