"""One stream of a process: what is told now goes to those who are up to date, and who comes back is caught up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pymongo.errors import PyMongoError

from ..feed.base import HistoryLost
from ..feed.positions import moment_end, moment_of
from ..outage import log_failure
from ..protocol.messages import V1, Message
from .comer import Comer, make_room
from .history import Stretch
from .journal import Journal
from .lost import Lost, seconds_of
from .missed import Missed
from .source import Limits, Source

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["CHANNEL", "Stream"]

_log = logging.getLogger(__name__)

#: Channel of the messages on a stream itself.
CHANNEL = "stream"
#: Missed messages that are sent before others have their turn, and before the client has to have taken most of them.
_CHUNK = 100
#: Seconds, by the database's clock, that are a moment's absence; who was away for longer waits for those who were not.
_NEAR = 60
#: Parts of the past, each of the size that is remembered, that those who come back from far may hold at one time.
_STRETCHES = 4
#: Seconds that one waits for such a part; then he comes again, with the same place.
_LONGEST = 60.0
#: Clients that are looked after, and messages that they are sent, in one go: about half a millisecond.
_TURN = 200

Item = TypeVar("Item")


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
        self._lost = Lost(name, settings.stream_reach)
        #: Until when nobody reads a part of the past that is too long to be remembered.
        self._rests_until = 0.0
        #: Whether such a part is read next for who has waited longest, and not for who missed most.
        self._is_in_turn = False
        #: Who has waited longest, since he came or got such a part, is the first.
        self._comers: dict[Connection, Comer[Item]] = {}

    # --- what is told

    @property
    def position(self) -> str:
        """Up to here everything was added; what follows is sent to all who are up to date by then."""
        return max(self.reached, self._journal.end)

    def begin(self, position: str) -> None:
        """Forget what was told; what happens after the moment of the position will be added."""
        with self._lock:
            self._journal.begin(moment_end(position) if position else "")
            self.reached = self._journal.floor
            self._lost.begin(self.reached)

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
            while not is_whole:
                hidden = self._source.history(self.position, position)
                for entry in hidden.entries:
                    hand_on(*entry)
                    self._pause()
                self.reach(hidden.end)
                is_whole = hidden.end >= moment_of(position)
            return []
        except (HistoryLost, PyMongoError) as error:
            _log.warning("the stream %s has a gap before %s: %s", self.name, position, type(error).__name__)
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

    def catch_up(self) -> int:
        """Take those who wait some way further; return how many are left. May switch."""
        comers = list(self._comers.values())
        try:
            for comer in comers:
                if comer.groups is not comer.ws.groups:
                    comer.let_go()
            self._look_back([comer for comer in comers if self._knows(comer) and comer.todo is None])
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
        return len(self._comers)

    def turn_away(self) -> None:
        """Have all those come again who wait: they cannot be caught up now."""
        self._turn_away(list(self._comers.values()))

    def _turn_away(self, comers: Iterable[Comer[Item]]) -> None:
        with self._lock:
            turned = [each.ws for each in comers if self._comers.pop(each.ws, None) is not None]
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

    def _look_back(self, comers: list[Comer[Item]]) -> None:
        """Learn what those missed of whom that is not known: one read for all, if that is not too much. May switch.

        Else it is a part: what the earliest needs, for the others come by that, and every other time what he needs who
        has waited longest, so that nobody keeps others waiting by coming again and again. Who has missed little comes
        first: asking for what is long past takes no more than half of the time, and does not hold him up.
        """
        deadline, has_learnt = self._now() + self._settings.stream_patience, False
        while before := [comer for comer in comers if self._is_before(comer.position)]:
            until, began = self._journal.floor, self._now()
            near = [each for each in before if seconds_of(until) - seconds_of(each.position) <= _NEAR]
            far = [each for each in before if seconds_of(until) - seconds_of(each.position) > _NEAR]
            is_far = bool(far) and not has_learnt and self._may_be_far(far[0], began, bool(near))
            if not (is_far or near):
                return
            if is_far:
                those, self._is_in_turn = far[:1] if self._is_in_turn else far, not self._is_in_turn
            else:
                those = near
                make_room(list(self._comers.values()), _STRETCHES, began)
            earliest, has_learnt = min(each.position for each in those), True
            try:
                stretch = self._source.history(earliest, until)
            except HistoryLost:
                known = [each.position for each in list(self._comers.values()) if self._knows(each)]
                self._lost.note(earliest, until, known, self._now(), is_late=self._now() >= deadline)
                continue
            except PyMongoError as error:
                if not is_far:
                    raise
                log_failure(_log, error, "the history of the stream %s could not be read", self.name)
                self._turn_away(those)
                continue
            finally:
                if is_far:
                    self._rests_until = 2 * self._now() - began
            with self._lock:
                is_whole = stretch.end >= moment_of(until) and self._journal.floor == until
                if is_whole and self._journal.has_room(stretch.entries):
                    self._journal.extend(earliest, stretch.entries)
                    continue
                end = moment_end(stretch.end)
                those = [each for each in comers if earliest <= each.position < end]
                self._assign(those, stretch.entries, end, stretch)
            return

    def _may_be_far(self, first: Comer[Item], now: float, are_others_near: bool) -> bool:
        """Return whether a part is to be read now that is long past; `first` has waited longest for one."""
        patience = self._settings.stream_patience
        if now < self._rests_until or (are_others_near and now - first.got < patience):
            return False
        return make_room(list(self._comers.values()), _STRETCHES, now - patience)

    def _is_before(self, position: str) -> bool:
        """Return whether it is not known what happened since, and the history may tell."""
        return not self._is_lost(position) and self._journal.since(position, 0) is None

    def _is_lost(self, position: str) -> bool:
        """Return whether it is known that the history does not tell, or nobody is to ask it."""
        return self._lost.has(position, self.reached, self._now())

    def _look_up(self, comers: list[Comer[Item]]) -> None:
        """Find what each of those has missed who do not know it yet, or are in other groups by now."""
        asking = [each for each in comers if each.todo is None and self._journal.since(each.position, 0) is not None]
        if asking:
            entries = self._journal.since(min(comer.position for comer in asking), len(self._journal)) or []
            self._assign(asking, entries, entries[-1][0] if entries else "", None)

    def _assign(
        self,
        comers: list[Comer[Item]],
        entries: Sequence[tuple[str, Item, int]],
        end: str,
        stretch: Stretch[Item] | None,
    ) -> None:
        """Give each what it has missed of these, which are all that happened up to `end`."""
        users = {comer.ws.user_id for comer in comers}
        groups = frozenset[str]().union(*(comer.ws.groups for comer in comers))
        missed = Missed(entries, self._source.addressed, users, groups)
        for comer in comers:
            comer.groups = comer.ws.groups
            comer.todo = missed.of(comer.ws.user_id, comer.groups, comer.position)
            comer.end, comer.stretch, comer.got = end, stretch, self._now()
            if stretch is not None and self._comers.pop(comer.ws, None) is not None:
                self._comers[comer.ws] = comer  # the others come first

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
        is_lost = comer.todo is None and self._is_lost(comer.position)
        if is_lost or place.epoch != self._source.epoch(ws.user_id):
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
        if comer.todo is None:
            if self._now() - comer.got > _LONGEST:
                self._source.turn_away([ws])
            return not ws.is_open
        if not self._send_some(comer):
            return False
        return self._is_at_end(comer) and self._join(comer, "resumed")

    def _send_some(self, comer: Comer[Item]) -> bool:
        """Send some, unless much waits for the client already; return whether that was all that was looked up."""
        ws, most = comer.ws, self._settings.outbox_bytes // 4
        if comer.groups is not ws.groups:
            comer.let_go()
            return False
        for _ in range(_CHUNK):
            if ws.waiting_bytes > most:
                return False
            entry = next(comer.todo or iter(()), None)
            if entry is None:
                comer.position = max(comer.position, comer.end)
                comer.let_go()
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
