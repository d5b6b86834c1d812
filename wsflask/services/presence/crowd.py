"""Those who are here, in this process and everywhere: the seats told to the store, what that tells told to clients."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Iterable
from typing import Any

from ...connection import Connection
from ...documents import EndedSession
from ...encoding import quote
from ...feed.base import Feed, Gap
from ...protocol.messages import Message
from ...service import Host
from ...tasks import supervise
from .roster import Roster
from .seats import Seats
from .store import BEAT, Entry, Follower, Key, Left, Missed, PresenceStore, Stored, StoreUnavailable
from .writes import Writes

__all__ = ["Crowd"]

_log = logging.getLogger(__name__)

#: What is taken from the store, or of ended sessions, in one go.
_BATCH = 1000
#: Seconds between two attempts where the store fails.
_RETRY = 1.0
#: Seconds in which every worker has found that the store began anew, and has written its entries again.
_REWRITTEN = 2 * BEAT
#: Longest wait of the loops: they look after several things.
_TURN = 1.0


class Crowd:
    """Clients of this process in rooms with those of all others."""

    def __init__(self, channel: str, server: Host, store: PresenceStore, *, linger: float, rooms: int) -> None:
        self.feed: Feed = server.feed
        #: Set once it is known who is here.
        self.is_loaded = threading.Event()
        self._channel = channel
        self._hub = server.hub
        self._page = server.settings.presence_page
        self._pause = server.settings.presence_batch
        self._store = store
        self._linger = linger
        self._roster = Roster()
        #: When to load again, since the store had begun anew; infinite: not at all.
        self._again = math.inf
        self._seats = Seats(linger, rooms)
        #: What is told and who is told belong together: sending never blocks.
        self._lock = threading.RLock()
        #: Seats that another worker has given up, and since when: if the client is heard of, he is here.
        self._doubtful: dict[Key, float] = {}
        self._writes = Writes(store, self._seats, self._lock, self._written)

    # --- clients

    def rooms_of(self, ws: Connection) -> list[str]:
        """Return the rooms that the connection is in."""
        return self._seats.rooms_of(ws)

    def join(self, ws: Connection, key: Key, about: str, meta: str) -> None:
        """Have the connection in a room, and answer its request with the members; never switches.

        Raises:
            Refusal: too_big: it is in too many rooms already.
        """
        with self._lock:
            if not ws.is_open:
                return
            told = self._seats.sit(ws, key, about, meta)
            if not told and not self._store.is_mine(self._roster.process_of(key)):
                told.append(key)
            self._writes.add(told, is_taken=True)
            self.show(ws, key[0], None)

    def update(self, ws: Connection, room: str, meta: str) -> None:
        """Show other metadata of the connection's tab; never switches.

        Raises:
            Refusal: not_found: it is not in the room.
        """
        with self._lock:
            self._writes.add(self._seats.update(ws, room, meta), is_taken=True)

    def describe(self, ws: Connection, room: str, about: str) -> None:
        """Show something else of the connection's user; never switches."""
        with self._lock:
            self._writes.add(self._seats.describe(ws, room, about))

    def leave(self, ws: Connection, room: str) -> None:
        """Take the connection out of a room; never switches."""
        with self._lock:
            self._writes.add(self._seats.rise(ws, room))

    def disconnected(self, ws: Connection, *, is_final: bool) -> None:
        """Await the tabs of a connection, unless its end was final; never switches."""
        with self._lock:
            self._writes.add(self._seats.disconnected(ws, time.monotonic(), is_final=is_final))

    def show(self, ws: Connection, room: str, after: str | None) -> None:
        """Answer the connection's request with a page of the members; never switches."""
        with self._lock:
            page = self._roster.page(room, self._page, after)
            head = b'{"room":%s,"you":%s,' % (quote(room), quote(ws.user_id))
            ws.reply(payload_json=b"%s%s}" % (head, page))

    # --- what the store tells

    def run(self) -> None:
        """Follow the store, and tell clients; keeps the lease and what time brings beside it. May switch."""
        follower = self._store.follow()
        keeper = supervise("wsflask presence lease", lambda: self._keep(follower))
        try:
            self._follow(follower)
        finally:
            keeper.stop(0.2)
            follower.close()
            self._release()

    def _follow(self, follower: Follower) -> None:
        is_stale, told_at = True, 0.0
        while not follower.is_closed:
            if is_stale or time.monotonic() >= self._again:
                is_stale = not self._load()
            wait = _TURN if not self._roster.has_news else max(told_at + self._pause - time.monotonic(), 0.001)
            items = follower.take(_BATCH, wait)
            is_stale = is_stale or any(isinstance(item, Missed) for item in items)
            with self._lock:
                for item in items:
                    if not isinstance(item, Missed):
                        self._take(item)
                if self._roster.has_news and time.monotonic() >= told_at + self._pause and not follower.is_behind:
                    self._tell()
                    told_at = time.monotonic()

    def _load(self) -> bool:
        """Take in who is here by what the store has; return whether it was there. May switch."""
        try:
            stored = self._store.load()
        except StoreUnavailable as error:
            self._writes.failed("loaded", error)
            time.sleep(_RETRY)
            return False
        with self._lock:
            self._replace(stored)
            self._tell()
        self.is_loaded.set()
        return True

    def _replace(self, stored: Stored) -> None:
        """Have the roster be what the store has; but where that has begun anew nobody leaves yet."""
        found = {entry.key for entry in stored.entries}
        missing = [key for key in self._seats.all_keys() if key not in found]
        self._writes.add(missing)
        if stored.is_anew:
            self._await_others()
        if time.monotonic() < self._again < math.inf:  # also after a gap meanwhile: others write there yet
            for entry in stored.entries:
                self._roster.put(entry)
        else:
            self._again = math.inf
            self._roster.replace(stored.entries, spared=missing)

    def _take(self, item: Entry | Left) -> None:
        """Take in what has happened; called under the lock."""
        if isinstance(item, Entry):
            self._roster.put(item)
            return
        seat = self._seats.get(item.key)
        if seat is not None and self._store.is_mine(self._roster.process_of(item.key)):
            self._writes.add([item.key])  # swept while this process was frozen, or deleted by hand
            return
        if seat is not None and seat.ws is not None:
            self._doubtful[item.key] = time.monotonic()
        self._roster.remove(item.key)

    def _written(self, items: Iterable[Entry | Left]) -> None:
        """Take in what this process has written, where the store does not tell of it; called under the lock."""
        if not self._store.tells_own:
            for item in items:
                self._take(item)

    def _tell(self) -> None:
        """Tell those who are in the rooms what has changed there; called under the lock."""
        for room, news in self._roster.news():
            audience = self._seats.audience(room)
            if audience:
                for payload in news.payloads(room, self._page):
                    self._hub.send(Message(self._channel, payload_json=payload), audience)

    # --- what time brings

    def _keep(self, follower: Follower) -> None:
        """Renew the lease, sweep those of others, give up who is awaited in vain; at once after a logout.

        With the feed, which tells of logouts, the following ends too.
        """
        with self.feed.watch(EndedSession, name="presence sessions") as ended:
            due = 0.0
            while not ended.is_closed:
                if time.monotonic() >= due:
                    self._renew()
                    due = time.monotonic() + BEAT * random.uniform(0.8, 1.1)
                sessions = ended.take_many(_BATCH, self._wait(due))
                with self._lock:
                    if sessions:
                        self._sessions_ended(sessions)
                    self._writes.add(self._seats.expire(time.monotonic()))
                    self._look_at_doubtful()
                self._writes.retry()
        follower.close()

    def _wait(self, due: float) -> float:
        """Return how long nothing is to be done: who loses his connection meanwhile is not given up before."""
        now, deadline = time.monotonic(), self._seats.first_deadline
        until = now + self._linger if deadline is None else deadline
        return max(min(due, until, now + _TURN) - now, 0.001)

    def _renew(self) -> None:
        """Renew the lease, and sweep. May switch."""
        try:
            if not self._store.renew():
                with self._lock:
                    self._writes.add(self._seats.all_keys())
            self._store.sweep()
            if self._writes.recovered():
                self._await_anew()
        except Exception as error:
            self._store.interrupted()
            self._await_anew()
            self._writes.failed("renewed", error)

    def _await_anew(self) -> None:
        with self._lock:
            self._seats.postpone(time.monotonic())
            if self._again < math.inf:
                self._await_others()

    def _await_others(self) -> None:
        """Have those who are missing in a store that began anew the time to be written there again."""
        self._again = time.monotonic() + self._linger + _REWRITTEN

    def _sessions_ended(self, changes: Iterable[Any]) -> None:
        sessions = {str(change.id) for change in changes if not isinstance(change, Gap)}
        self._writes.add(self._seats.sessions_ended(sessions))

    def _look_at_doubtful(self) -> None:
        for key, since in list(self._doubtful.items()):
            seat = self._seats.get(key)
            if seat is None or seat.ws is None or self._roster.process_of(key) is not None:
                del self._doubtful[key]
            elif seat.ws.heard > since:
                del self._doubtful[key]
                self._writes.add([key])

    def _release(self) -> None:
        try:
            self._store.release(self._linger)
        except Exception as error:
            _log.warning("the lease of this worker's presence could not be given back: %s", type(error).__name__)
