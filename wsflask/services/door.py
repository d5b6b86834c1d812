"""Let connections into the mailroom, once they have what they missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from ..connection import Connection
from ..protocol.messages import V1
from ..streams.place import Place
from ..streams.stream import Stream
from .arrivals import STREAM, Arrivals
from .inboxes import Box, Inboxes
from .letters import Arrival, Letters

__all__ = ["Door"]


class Door:
    """Who comes waits at his box until that is loaded and the stream has caught him up; then he is greeted.

    Args:
        arrivals: tells what the positions of a user are bound to.
        lock: the mailroom's, which is the stream's too.
        load: has the box of a held connection loaded soon, `greet` called and the connection released; never switches.
        visit: tells a box what is on its way to it; called under the lock.
    """

    def __init__(
        self,
        inboxes: Inboxes,
        letters: Letters,
        arrivals: Arrivals,
        lock: AbstractContextManager[Any],
        load: Callable[[Connection], None],
        visit: Callable[[Box], None],
    ) -> None:
        self.stream: Stream[Arrival]
        #: Who was told a count of a time to which the feed has not come: what arrived up to then may be in it.
        self.fresh: dict[Connection, str] = {}
        self._inboxes = inboxes
        self._letters = letters
        self._arrivals = arrivals
        self._lock = lock
        self._load = load
        self._visit = visit
        #: Those who are not in the stream: whether they are being caught up already.
        self._apart: dict[Connection, bool] = {}

    def enter(self, ws: Connection) -> None:
        """Send the connection what it missed and its count, as soon as that is known, and then all that changes it."""
        with self._lock:
            if ws.is_open:  # it may have left already
                self._apart[ws] = False
                self._join(ws)

    def move(self, ws: Connection) -> None:
        """Have the connection look into the inbox of the groups that its user is in now."""
        with self._lock:
            box = self._inboxes.of(ws)
            if box is None or box.groups == ws.groups or not ws.is_open:
                return
            self._visit(box)
            self._inboxes.leave(ws)
            self._join(ws)

    def leave(self, ws: Connection) -> None:
        """Tell the connection nothing any more."""
        with self._lock:
            self._apart.pop(ws, None)
            self.fresh.pop(ws, None)
            self._inboxes.leave(ws)

    def reach(self, position: str) -> None:
        """Note that everything up to a position of the feed was told."""
        with self._lock:
            self.stream.reach(position)
            if self.fresh:
                self.fresh = {ws: as_of for ws, as_of in self.fresh.items() if as_of > self.stream.reached}

    # --- under the lock

    def greet(self, box: Box, *, is_resumable: bool = True) -> None:
        """Let those in who wait at a loaded box, once they have what they missed.

        Args:
            is_resumable: False lets in those only who have no stream.
        """
        for ws in box.waiting:
            if ws not in self._apart:
                self._let_in(ws)
            elif not self._apart[ws] and (is_resumable or ws.form != V1):
                self._apart[ws] = True
                self.stream.enter(ws, partial(self._joined, ws))

    def recount(self, connections: Iterable[Connection]) -> None:
        """Send each its count."""
        for ws in connections:
            if (box := self._inboxes.of(ws)) is not None:
                ws.send(self._letters.count(box.unread, self._letters.label_in(box)))

    def _join(self, ws: Connection) -> None:
        box = self._inboxes.join(ws)
        if box.is_loaded:
            self.greet(box)
            return
        if ws not in self._apart:
            self._set_apart(ws)
        ws.hold()
        self._load(ws)

    def _joined(self, ws: Connection) -> None:
        """Let a connection in that has what it missed."""
        box = self._inboxes.of(ws)
        if self._apart.pop(ws, None) is None or box is None:
            return  # it has left
        if not box.is_loaded:
            self._set_apart(ws)
            return
        self._let_in(ws)
        if STREAM not in ws.resume and box.as_of > self.stream.reached:
            self.fresh[ws] = box.as_of

    def _let_in(self, ws: Connection) -> None:
        box = self._inboxes.of(ws)
        if box is not None:
            self._visit(box)
            self.recount([ws])
            box.waiting = tuple(other for other in box.waiting if other is not ws)
            box.greeted += (ws,)

    def _set_apart(self, ws: Connection) -> None:
        """Have a connection that has everything up to now be caught up with what follows."""
        ws.resume = {**ws.resume, STREAM: Place(self._arrivals.epoch(ws.user_id), self.stream.position)}
        self._apart[ws] = False
