"""One stream of a process: what is told now goes to those who are up to date, and who comes back is caught up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pymongo.errors import PyMongoError

from ..feed.base import HistoryLost
from ..feed.positions import moment_before, moment_between, moment_end, moment_of
from ..protocol.messages import V1, Message
from .comer import Comer
from .journal import Journal
from .missed import Addressed, Missed

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["CHANNEL", "Limits", "Source", "Stream"]

_log = logging.getLogger(__name__)

#: Channel of the messages on a stream itself.
CHANNEL = "stream"
#: Missed messages that are sent before others have their turn, and before the client has to have taken most of them.
_CHUNK = 100
#: Seconds in which the history is not asked again for what lies shortly behind a position that it did not tell of.
_DOUBT = 10.0
#: Clients that are looked after, and messages that they are sent, in one go: about half a millisecond.
_TURN = 200

Item = TypeVar("Item")


class Source(Protocol[Item]):
    """What a service tells its stream; all but `history` is called under the stream's lock and must not switch."""

    def channels(self) -> list[str]:
        """Return the channels whose messages belong to the stream."""

    def epoch(self, user_id: str) -> str:
        """Return what the positions of a user are bound to (`place.epoch_of`)."""

    def addressed(self, item: Item) -> Addressed:
        """Return whom an item is for."""

    def message(self, ws: Connection, seq: str, item: Item) -> Message | None:
        """Return what a connection gets of an item that it missed; None: nothing."""

    def history(self, since: str, until: str) -> Sequence[tuple[str, Item, int]]:
        """Return what happened after `since`, to the end of the moment of `until`: position, item, bytes. May switch.

        Raises:
            HistoryLost: that can not be told.
        """

    def awaits(self, position: str) -> None:
        """Have `Stream.reach` called as soon as the feed comes to a position."""

    def is_behind(self, position: str) -> bool:
        """Return whether the stream may come to a position yet: the feed is there already, or behind itself."""

    def lost(self, ws: Connection) -> None:
        """Note that a client that comes back has lost its place: it was told `reset`."""

    def turn_away(self, connections: Iterable[Connection]) -> None:
        """Have clients come again that cannot be caught up now."""


class Limits(Protocol):
    """The settings of a stream."""

    @property
    def stream_history(self) -> int: ...
    @property
    def stream_history_bytes(self) -> int: ...
    @property
    def stream_patience(self) -> float: ...
    @property
    def outbox_bytes(self) -> int: ...


class Stream(Generic[Item]):
    """A run of messages that clients can resume, whichever worker they come back to.

    A service that has one

    - calls `go_on(...)` once it follows the feed, and at every gap; then for each item, under `lock`, `add(...)`: if
      that is true it sends the item's message, with its `seq`, to those who are up to date; and `reach(feed.position)`
      when all that was taken from the feed is sent;
    - calls `enter(ws, joined)` for each connection. That one is up to date from the moment in which `joined()` is
      called, under `lock`: it has been told `loaded`, `resumed` or `reset`, and what it missed. Until then it is held,
      and must get nothing live. A fresh state is sent in `joined`, or later;
    - has `catch_up` called over and over, as long as somebody waits: `wake` says when that begins. `Rounds` does it.

    Args:
        name: on the wire.
        lock: under which items are added and connections join; one that may be taken twice.
        settings: how far back it reaches, and how long it waits.
        wake: called when somebody waits; must not switch.
        pause: called, without the lock, when others should have their turn. May switch.
    """

    def __init__(
        self,
        name: str,
        source: Source[Item],
        lock: AbstractContextManager[Any],
        settings: Limits,
        wake: Callable[[], None],
        *,
        pause: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        #: Everything up to the end of this moment was handed on, to all who are up to date; "" before there is one.
        self.reached = ""
        self._source = source
        self._lock = lock
        self._settings = settings
        self._wake = wake
        self._pause = pause
        self._now = now
        self._journal: Journal[Item] = Journal(settings.stream_history, settings.stream_history_bytes)
        #: Up to where it is known that the history does not tell, and up to where nobody asks it until some time: who
        #: comes with old positions, a moment later each time, does not make us search it again and again.
        self._lost = self._doubtful = ""
        self._doubtful_until = 0.0
        self._comers: dict[Connection, Comer[Item]] = {}

    # --- what is told

    @property
    def position(self) -> str:
        """Up to here everything was added; what follows is sent to all who are up to date by then."""
        return max(self.reached, self._journal.end)

    def begin(self, position: str) -> None:
        """Forget what was told; what happens after the moment of the position will be added."""
        with self._lock:
            self._journal.begin(position)
            self.reached = self._journal.floor
            self._lost, self._doubtful = min(self._lost, self.reached), ""

    def add(self, seq: str, item: Item, size: int) -> bool:
        """Note an item that is about to be sent; return whether to: a feed may tell the latest again."""
        return self._journal.add(seq, item, size)

    def reach(self, position: str) -> None:
        """Note that everything up to the moment of a position was sent."""
        if position:
            self.reached = max(self.reached, moment_end(position))

    def go_on(
        self,
        position: str,
        hand_on: Callable[[str, Item, int], None],
        connections: Callable[[], Iterable[Connection]],
    ) -> list[Connection]:
        """Go on at a position of the feed: at the beginning, and behind a gap. May switch.

        What the gap has hidden is read from the history and handed on late. Where that cannot be told, those who are up
        to date are told `reset`, and returned.

        Args:
            hand_on: adds and sends an item.
            connections: returns those who are up to date; called under the lock.
        """
        if not self.reached:
            self.begin(position)
            return []
        try:
            if moment_of(position) < moment_of(self.position):
                raise HistoryLost("the feed goes on before it")
            is_whole = self.position >= moment_end(position)  # nothing is hidden, and a slow database no loss
            hidden = () if is_whole else self._source.history(self.position, position)
        except (HistoryLost, PyMongoError) as error:
            _log.warning("the stream %s has a gap before %s: %s", self.name, position, type(error).__name__)
        else:
            for entry in hidden:
                hand_on(*entry)
                self._pause()
            self.reach(position)
            return []
        with self._lock:
            self.begin(position)
            told = [ws for ws in connections() if ws.form == V1]
            for ws in told:
                self._tell(ws, "reset", 0)
            return told

    # --- who comes

    def enter(self, ws: Connection, joined: Callable[[], None]) -> None:
        """Catch a connection up, then call `joined()` under the lock; never switches.

        Where it has to be waited for, the connection is held meanwhile. If it closes, `joined` is not called.
        """
        with self._lock:
            if not ws.is_open:
                return
            place = ws.resume.get(self.name)
            if ws.form != V1 or (place is None and self._journal.floor):
                self._join(Comer(ws, place, joined, 0.0), "loaded")
                return
            ws.hold()
            self._comers[ws] = Comer(ws, place, joined, self._now() + self._settings.stream_patience)
            is_first = len(self._comers) == 1
        if is_first:
            self._wake()

    def catch_up(self) -> bool:
        """Take those who wait some way further; return whether any are left. May switch."""
        comers = list(self._comers.values())
        try:
            self._look_back([comer.position for comer in comers if self._knows(comer) and comer.todo is None])
            with self._lock:
                self._look_up([comer for comer in comers if self._knows(comer)])
            done = 0
            for comer in comers:
                done += 1 - comer.missed
                with self._lock:
                    is_done = comer.ws in self._comers and self._advance(comer)
                    if is_done:
                        del self._comers[comer.ws]
                if is_done:
                    comer.ws.release()
                done += comer.missed
                if done >= _TURN:
                    done = 0
                    self._pause()
        except Exception:
            self.turn_away()
            raise
        return bool(self._comers)

    def turn_away(self) -> None:
        """Have all those come again who wait: they cannot be caught up now."""
        with self._lock:
            turned, self._comers = list(self._comers), {}
        self._source.turn_away(turned)
        for ws in turned:
            ws.release()

    # --- one step; under the lock, but for `_look_back`

    def _knows(self, comer: Comer[Item]) -> bool:
        """Return whether the client has a place that the stream has come to."""
        place = comer.place
        if place is None or not self.reached or place.epoch != self._source.epoch(comer.ws.user_id):
            return False
        return moment_of(comer.position) <= self.position and not self._is_lost(comer.position)

    def _look_back(self, positions: list[str]) -> None:
        """Learn what happened since these positions, where that is not known: one read for all. May switch."""
        deadline = self._now() + self._settings.stream_patience
        while earliest := min((each for each in positions if self._is_before(each)), default=None):
            until = self._journal.floor
            try:
                items = self._source.history(earliest, until)
            except HistoryLost as error:
                # Nobody has it searched again and again, a moment later each time: half of the way, then.
                self._lost = max(self._lost, earliest)
                self._doubtful_until = self._now() + _DOUBT
                later = [each for each in positions if each > earliest]
                doubtful = min([moment_between(earliest, until), *map(moment_before, later)])
                self._doubtful = until if self._now() >= deadline else doubtful
                _log.info("the stream %s does not reach back to %s: %s", self.name, earliest, error)
                continue
            with self._lock:
                if self._journal.floor == until:
                    self._journal.extend(earliest, items)

    def _is_before(self, position: str) -> bool:
        if self._is_lost(position) or self._is_forgotten(position):
            return False
        return self._journal.since(position, 0) is None

    def _is_forgotten(self, position: str) -> bool:
        """Return whether what follows the position is too much to be remembered; nobody reads that in vain."""
        return self._journal.is_full and position < self._journal.floor

    def _is_lost(self, position: str) -> bool:
        if position <= self._lost:
            return True
        return position <= self._doubtful and self._now() < self._doubtful_until

    def _look_up(self, comers: list[Comer[Item]]) -> None:
        """Find what each of those has missed who do not know it yet, or are in other groups by now."""
        asking = [comer for comer in comers if comer.todo is None or comer.groups is not comer.ws.groups]
        asking = [comer for comer in asking if not self._is_forgotten(comer.position)]
        if not asking:
            return
        first = min(comer.position for comer in asking)
        entries = self._journal.since(first, len(self._journal))
        if entries is None:
            return
        users = {comer.ws.user_id for comer in asking}
        groups = frozenset().union(*{comer.ws.groups for comer in asking})
        missed = Missed(entries, self._source.addressed, users, groups)
        for comer in asking:
            comer.groups = comer.ws.groups
            comer.todo = missed.of(comer.ws.user_id, comer.groups, comer.position)
            comer.end = missed.end

    def _advance(self, comer: Comer[Item]) -> bool:
        """Send the next of what a client has missed; return whether nothing is left to be done for it."""
        ws, place = comer.ws, comer.place
        if not ws.is_open:
            return True
        if not self.reached:
            if self._now() >= comer.deadline:
                self._source.turn_away([ws])
            return not ws.is_open
        if place is None:
            return self._join(comer, "loaded")
        if place.epoch != self._source.epoch(ws.user_id) or self._is_lost(comer.position):
            return self._join(comer, "reset")
        if comer.todo is None and self._is_forgotten(comer.position):
            return self._join(comer, "reset")
        if moment_of(comer.position) > self.position:
            if self._now() < comer.deadline:
                self._source.awaits(comer.position)
                return False
            if not self._source.is_behind(comer.position):
                return self._join(comer, "reset")
            # A reset would tell him again, from where this worker is, what another has told him: he tries again.
            self._source.turn_away([ws])
            return not ws.is_open
        if comer.todo is None or not self._send_some(comer):
            return False
        return self._is_at_end(comer) and self._join(comer, "resumed")

    def _send_some(self, comer: Comer[Item]) -> bool:
        """Send some, unless much waits for the client already; return whether that was all that was looked up."""
        ws, most = comer.ws, self._settings.outbox_bytes // 4
        if comer.groups is not ws.groups:
            comer.todo = None
            return False
        for _ in range(_CHUNK):
            if ws.waiting_bytes > most:
                return False
            entry = next(comer.todo or iter(()), None)
            if entry is None:
                comer.position = max(comer.position, comer.end)
                comer.todo = None
                return True
            self._send(comer, *entry)
        return False

    def _send(self, comer: Comer[Item], seq: str, item: Item, _: int) -> None:
        message = self._source.message(comer.ws, seq, item)
        comer.position = seq
        if message is not None:
            comer.ws.send(message)
            comer.missed += 1

    def _is_at_end(self, comer: Comer[Item]) -> bool:
        """Send what was added meanwhile, if that is little; return whether nothing is left."""
        added = self._journal.since(comer.position, _CHUNK)
        if added is None or len(added) == _CHUNK:
            return False
        user_id, groups = comer.ws.user_id, comer.ws.groups
        missed = Missed(added, self._source.addressed, {user_id}, groups)
        for entry in missed.of(user_id, groups, comer.position):
            self._send(comer, *entry)
        return True

    def _join(self, comer: Comer[Item], state: str) -> bool:
        """Have the connection get what is told from now on."""
        if comer.ws.form == V1:
            self._tell(comer.ws, state, comer.missed)
            if state == "reset":
                self._source.lost(comer.ws)
        comer.joined()
        return True

    def _tell(self, ws: Connection, state: str, missed: int) -> None:
        payload = {
            "stream": self.name,
            "channels": self._source.channels(),
            "state": state,
            "epoch": self._source.epoch(ws.user_id),
            "missed": missed,
        }
        ws.send(Message(CHANNEL, payload, seq=self.position))
