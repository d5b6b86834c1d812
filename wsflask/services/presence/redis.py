"""The store of presence in Redis: signed entries, a lease for each worker, and a log that tells all of them."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from ...feed.epoch import read_own_epoch
from ...feed.redis_frames import Forged, Seal
from ...feed.redis_stream import connect, line
from ...outage import log_outage
from .leases import Leases
from .redis_calls import Calls, Head
from .redis_follower import RedisFollower
from .redis_frames import Frames, id_of, owner_of
from .store import BEAT, Entry, Follower, Key, PresenceStore, Stored, StoreUnavailable

__all__ = ["RedisPresenceStore"]

_log = logging.getLogger(__name__)

#: Entries of the log that are kept for workers that are late; the largest have 2.5 KB.
_LOG = 20_000
#: Entries that are removed in one go: for so long nobody else has an answer of Redis.
_BATCH = 1000
#: Who follows, who renews and who writes has one each.
_CONNECTIONS = 3


class RedisPresenceStore(PresenceStore):
    """Entries in Redis, under the name of the database that MongoEngine is connected to.

    Args:
        patience: seconds without a renewal after which this worker's lease is over.
        timeout: seconds that many calls may take together; one alone takes a second or two.
        log: entries of the log that are kept.
    """

    def __init__(self, url: str, secret: bytes, *, patience: float, timeout: float, log: int = _LOG) -> None:
        super().__init__()
        self._client = connect(url)
        self._secret = secret
        self._patience = patience
        self._timeout = timeout
        self._log = log
        self._place: tuple[Calls, Frames] | None = None
        self._observed = Leases(2 * BEAT)
        self._number = 0
        self._is_over = False
        #: What it was like when it was loaded last.
        self._known: Head | None = None

    def follow(self) -> Follower:
        self._is_over = False
        follower = RedisFollower(self._reach)
        if follower.begin():
            self._connect()
        return follower

    def load(self) -> Stored:
        deadline = time.monotonic() + self._timeout
        with self._reach() as (calls, frames):
            head = calls.head()
            found: dict[str, bytes] = {}
            for name, kept in calls.entries():
                found[name] = kept
                if time.monotonic() > deadline:
                    raise StoreUnavailable("Redis is slow")
            leases = calls.leases()  # after the entries: who writes one has a lease already
            if not calls.head().follows(head):
                raise StoreUnavailable("Redis has begun anew while it was read")
            stray = [name for name, kept in found.items() if owner_of(kept) not in leases]
            for start in range(0, len(stray), _BATCH):
                if time.monotonic() > deadline:
                    break  # the others with another load
                calls.purge(stray[start : start + _BATCH])
        entries = [self._unpacked(name, kept, frames) for name, kept in found.items() if owner_of(kept) in leases]
        is_anew = self._known is not None and not head.follows(self._known)
        self._known = head
        return Stored([entry for entry in entries if entry is not None], is_anew)

    def write(self, taken: Sequence[Entry], kept: Sequence[Entry], gone: Sequence[Key]) -> None:
        with self._reach() as (calls, frames):
            puts, keeps = ([(id_of(e.key), frames.pack(e)) for e in entries] for entries in (taken, kept))
            if not calls.write(self.lease, list(self._leases), puts, keeps, [id_of(key) for key in gone]):
                raise StoreUnavailable("the lease of this worker is over")

    def renew(self) -> bool:
        self._number += 1
        with self._reach() as (calls, frames):
            if self.lease and calls.renew(self.lease, frames.pack_beat(self.lease, self._number, self._patience)):
                return True
            lease = secrets.token_hex(6)
            calls.found(lease, frames.pack_beat(lease, self._number, self._patience))
        self._leases.add(lease)
        self.lease = lease
        return False

    def sweep(self) -> None:
        deadline = time.monotonic() + min(self._timeout, BEAT)  # then this worker's own lease has to be renewed
        with self._reach() as (calls, frames):
            found = {name: kept for name, kept in calls.leases().items() if name != self.lease}
            beats = {name: frames.unpack_beat(name, kept, self._patience) for name, kept in found.items()}
            for name in self._observed.look(beats, time.monotonic()):
                while calls.sweep(name, found[name], _BATCH) and time.monotonic() < deadline:
                    pass
                if time.monotonic() >= deadline:
                    break

    def interrupted(self) -> None:
        self._observed.interrupt()

    def release(self, seconds: float) -> None:
        self._number += 1
        try:
            if self.lease:
                with self._reach() as (calls, frames):
                    calls.renew(self.lease, frames.pack_beat(self.lease, self._number, seconds))
        finally:
            self._is_over = True  # a write that comes late would connect again
            self._client.close()

    def _connect(self) -> None:
        """Have a connection ready for each greenlet: one that is killed while it connects leaves a socket open."""
        pool = self._client.connection_pool
        ready: list[Any] = []
        try:
            ready.extend(pool.get_connection() for _ in range(_CONNECTIONS))
        except (RedisError, OSError):
            pass  # whoever needs one tries again
        for connection in ready:
            pool.release(connection)

    @contextmanager
    def _reach(self) -> Iterator[tuple[Calls, Frames]]:
        if self._is_over:
            raise StoreUnavailable("the lease is given back")
        try:
            if self._place is None:
                name = f"wsflask:{read_own_epoch(self._timeout)}"
                self._place = Calls(self._client, name, self._log), Frames(Seal(self._secret, f"{name} presence"))
            yield self._place
        except (RedisError, OSError, PyMongoError) as error:
            raise StoreUnavailable(line(error)) from error

    def _unpacked(self, name: str, kept: bytes, frames: Frames) -> Entry | None:
        try:
            return frames.unpack(name, kept)
        except Forged as error:
            log_outage(_log, "Redis holds an entry of presence that none of our workers has written: %s", error)
            return None
