"""Keep the inboxes of those who are connected as the database has them, and tell their connections."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Collection, Iterable
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.errors import NetworkTimeout

from ..connection import Connection
from ..documents import NotificationState
from ..documents.reading import notifications, read_states, to_everyone, unread_among
from ..feed.base import Change
from ..gather import Gather
from ..hub import turn_away
from ..outage import is_outage, log_failure
from ..service import Service
from .bulletin import Bulletin
from .inboxes import Box, Inboxes, unread_of
from .letters import Letter, Letters
from .rounds import Addressees, Round

__all__ = ["Mailroom"]

_log = logging.getLogger(__name__)

#: Boxes that are loaded by one pair of queries.
_CHUNK = 500
#: Notifications to everyone that are loaded by one query.
_PAGE = 5000
#: Changes kept for a box that is being loaded; with more it is loaded again.
_PENDING = 1000
#: Arrivals that are sent later, after a gap, to each of those who missed them.
_CATCH_UP = 100
#: Boxes that are told of a change before others have their turn: about a millisecond.
_TURN = 1000
#: Seconds after which those who wait for the bulletin look whether their clients are still there.
_LOOK = 0.2
#: Seconds that such a pause lasts at least: with 0 the process' other greenlets would run, but no socket be read.
_PAUSE = 1e-6


class Mailroom:
    """The inboxes of this process: loaded with the first tab of a user, then kept by the feed alone."""

    def __init__(self, service: Service) -> None:
        self.bulletin = Bulletin()
        self.inboxes = Inboxes(self.bulletin)
        self.letters = Letters(service)
        self._service = service
        # Counts and the messages that tell of them change together: sending never blocks.
        self._lock = threading.RLock()
        # One change of a notification is taken in after another; held while other greenlets have their turn.
        self._in_order = threading.Lock()
        #: Those who come at once share the queries.
        self._arrivals: Gather[Connection] = Gather("wsflask mailroom", self._admit, turn_away, limit=_CHUNK)
        #: The change that is on its way to the boxes.
        self._round: Round | None = None
        self._number = 0
        #: Whether the bulletin is loaded, and kept by the feed.
        self._is_kept = threading.Event()

    def enter(self, ws: Connection) -> None:
        """Send the connection its count, as soon as that is known, and then all that changes it."""
        with self._lock:
            if not ws.is_open:
                return  # it may have left already
            box = self.inboxes.join(ws)
            if box.is_loaded:
                self._visit(box)
                self._greet(box)
                return
        ws.hold()
        self._arrivals.add(ws)

    def move(self, ws: Connection) -> None:
        """Have the connection look into the inbox of the groups that its user is in now."""
        with self._lock:
            box = self.inboxes.of(ws)
            if box is None or box.groups == ws.groups:
                return
            self.inboxes.leave(ws)
            self.enter(ws)

    def leave(self, ws: Connection) -> None:
        """Tell the connection nothing any more."""
        with self._lock:
            self.inboxes.leave(ws)

    def reload(self) -> None:
        """Query anew what every inbox holds, tell what that changes, and let newcomers in. May switch."""
        with self._in_order:
            found: dict[bytes, int] = {}
            page = self._page(None)
            while page:
                found.update((raw["_id"].binary, self.letters.category(raw)) for raw in page)
                page = self._page(page[-1]["_id"]) if len(page) == _PAGE else []
            with self._lock:
                posted = self.bulletin.load(found)
                boxes = [box for box in self.inboxes.all() if box.is_loaded]
            self._is_kept.set()
            self._reload(boxes, posted)

    def lapse(self) -> None:
        """Let newcomers wait for the next `reload`: nobody takes changes in from here on."""
        self._is_kept.clear()

    def take(self, change: Change) -> None:
        """Take in a change of a Notification or a NotificationState, and tell those it concerns. May switch."""
        if change.collection == NotificationState._get_collection_name():
            with self._lock:
                stale = self._state_changed(change, self.inboxes.of_user(change.id))
            self._reload(stale)
        else:
            with self._in_order:
                self._notification_changed(change)

    def reply(self, ws: Connection, payload: dict[str, Any]) -> None:
        """Answer with the count that the connection was told last, so that no answer undoes a later message."""
        with self._lock:
            box = self.inboxes.of(ws)
            if box is not None:
                self._visit(box)
            ws.reply({**payload, "unread": box.unread if box is not None else 0})

    # --- from the database

    def _admit(self, arrivals: list[Connection]) -> None:
        """Fill the boxes of those who have come, and greet them; turn them away if that fails. May switch."""
        try:
            self._await_bulletin(arrivals)
            self._load({box: None for ws in arrivals if (box := self.inboxes.of(ws)) is not None})
        except Exception as error:
            if len(arrivals) > 1 and not is_outage(error):
                for ws in arrivals:  # Something is wrong with one of them.
                    self._admit([ws])
                return
            is_away = log_failure(_log, error, "unread counts could not be loaded")
            turn_away([*arrivals, *(self._arrivals.withdraw() if is_away else ())])
        for ws in arrivals:
            ws.release()

    def _await_bulletin(self, arrivals: list[Connection]) -> None:
        """Wait until the notifications to everyone are known, or nobody wants to know any more. May switch."""
        if not self._service.server.feed.sees_every_write:
            self.reload()  # what other processes have written
            return
        for _ in range(math.ceil(self._service.server.settings.database_timeout / _LOOK)):
            if self._is_kept.wait(_LOOK) or not any(ws.is_open for ws in arrivals):
                return
        raise NetworkTimeout("the notifications to everyone are not loaded yet")

    def _load(self, arrived: Iterable[Box]) -> None:
        """Fill the boxes, and greet those who wait at them: two queries for all. May switch."""
        while boxes := [box for box in arrived if not box.is_loaded]:
            states, unread = self._query(boxes)
            self._reload([each for box in boxes for each in self._fill(box, states, unread[box])])

    def _page(self, after: ObjectId | None) -> list[dict[str, Any]]:
        with self._timeout():
            return to_everyone(after, limit=_PAGE)

    def _query(self, boxes: list[Box]) -> tuple[dict[str, Any], dict[Box, dict[bytes, int]]]:
        """Return the read states by user, and what is unread by box, the bulletin aside. Two queries; may switch."""
        with self._timeout():
            states = read_states({box.user_id for box in boxes})
            found = unread_among([(box.user_id, box.groups) for box in boxes], states)
            return states, unread_of(boxes, found, self.bulletin, self.letters.category)

    def _fill(self, box: Box, states: dict[str, Any], unread: dict[bytes, int]) -> list[Box]:
        """Load the box and greet those who wait; return what has to be loaded anew."""
        with self._lock:
            pending, box.pending = box.pending or (), None
            if len(pending) > _PENDING:
                return []  # some were not kept
            box.load(states.get(box.user_id), unread.items())
            box.told = self._number  # what is on its way is on the bulletin: it counts already
            self._greet(box)
            # Before anything newer is taken in: an insert after its delete would count for ever.
            return [each for change in pending for each in self._catch_up_with(change, box)]

    def _reload(self, boxes: list[Box], posted: Collection[bytes] = ()) -> None:
        """Query anew what loaded boxes hold, and tell what that changes: two or three queries for each 500 boxes.

        Args:
            posted: what is new on the bulletin since the boxes were told of it.
        """
        for start in range(0, len(boxes), _CHUNK):
            chunk = boxes[start : start + _CHUNK]
            revs = {box: box.rev for box in chunk}
            states, unread = self._query(chunk)
            missed: dict[Box, set[bytes]] = {}
            with self._lock:
                for box in chunk:
                    self._visit(box)
                    count, own = box.unread, set(box.own or ())
                    box.load(states.get(box.user_id), unread[box].items(), since_rev=revs[box])
                    missed[box] = set(box.own or ()) - own
                    if box.unread != count or set(box.own or ()) != own:
                        self._send([box], self.letters.count)
            self._send_missed(missed, posted)

    def _send_missed(self, missed: dict[Box, set[bytes]], posted: Collection[bytes]) -> None:
        """Send what arrived unseen; of very many only the newest, the others are in the list."""
        newest = sorted(set(posted).union(*missed.values()))[-_CATCH_UP:]
        if not newest:
            return
        with self._timeout():
            found = list(notifications().find({"_id": {"$in": [ObjectId(key) for key in newest]}}).sort("_id", 1))
        for raw in found:
            key = raw["_id"].binary
            with self._lock:
                boxes = [box for box, ids in missed.items() if key in ids or (key in posted and box.counts(key))]
                self._send(boxes, self.letters.arrival(raw))
            time.sleep(_PAUSE)

    # --- from the feed

    def _notification_changed(self, change: Change) -> None:
        """Take the change in, and visit the boxes that it concerns, some at a time. May switch."""
        with self._lock:
            key = change.id.binary
            was_posted, is_posted = self.bulletin.category(key), self._post(change)
            if is_posted is not None and is_posted == was_posted:
                boxes = []  # it counts as before, for everyone
            elif change.op == "I" and change.document is not None and was_posted is is_posted is None:
                boxes = self.inboxes.addressed(change.document)
            else:
                boxes = self.inboxes.all()
            boxes = self._ready(boxes, change)
            self._round = self._new_round(change, was_posted, is_posted)
        rest = iter(boxes)
        try:
            while chunk := list(itertools.islice(rest, _TURN)):
                with self._lock:
                    self._round.visit(chunk, self._service.server.hub)
                if len(chunk) == _TURN:
                    time.sleep(_PAUSE)
        finally:
            with self._lock:
                try:
                    self._round.visit(rest, self._service.server.hub)  # a greenlet that is killed leaves nobody out
                finally:
                    self._round = None

    def _post(self, change: Change) -> int | None:
        """Put the notification on the bulletin or take it off; return the category with which it is there now."""
        raw, key = change.document, change.id.binary
        if change.op == "D" or raw is None or raw.get("everyone") is not True:
            self.bulletin.discard(key)
            return None
        category = self.letters.category(raw)
        self.bulletin.put(key, category)
        return category

    def _new_round(self, change: Change, was_posted: int | None, is_posted: int | None) -> Round:
        raw, key = change.document if change.op != "D" else None, change.id.binary
        is_arrival = change.op == "I" and raw is not None
        category = self.letters.category(raw) if raw is not None else None
        is_newest = is_posted is not None and self.bulletin.newest()[0] == key
        self._number += 1
        return Round(
            number=self._number,
            key=key,
            category=category,
            addressees=Addressees(raw) if raw is not None and is_posted is None else None,
            was_posted=was_posted,
            is_posted=is_posted,
            is_arrival=is_arrival,
            letter=self.letters.arrival(raw) if is_arrival and raw is not None else self.letters.count,
            label_of=self.letters.label_in,
            newest=self.letters.label(is_posted) if is_newest else None,
        )

    def _visit(self, box: Box) -> None:
        """Take in and tell what is on its way to the box, before anything else happens to that."""
        if self._round is not None and box.is_loaded:
            self._round.visit([box], self._service.server.hub)

    def _catch_up_with(self, change: Change, box: Box) -> list[Box]:
        """Take in what came while the box was loaded, and tell; return it if it has to be loaded anew."""
        if change.collection == NotificationState._get_collection_name():
            return self._state_changed(change, [box])
        posted = self.bulletin.category(change.id.binary)  # which knows of the change already, and of later ones
        self._new_round(change, posted, posted).visit([box], self._service.server.hub)
        return []

    def _state_changed(self, change: Change, boxes: list[Box]) -> list[Box]:
        """Take in a read state, and tell; return the boxes that have to be loaded anew."""
        boxes = self._ready(boxes, change)
        for box in boxes:
            self._visit(box)
        state = change.document
        if change.op == "D" or state is None:
            return boxes
        newer = [box for box in boxes if state.get("rev", 0) > box.rev]
        stale = [box for box in newer if not box.apply(state)]
        self._send([box for box in newer if box not in stale], self.letters.count)
        return stale

    def _ready(self, boxes: list[Box], change: Change) -> list[Box]:
        """Return the boxes that are loaded; the others get the change when they are."""
        ready = []
        for box in boxes:
            if box.is_loaded:
                ready.append(box)
            elif box.pending is None:
                box.pending = [change]
            elif len(box.pending) <= _PENDING:
                box.pending.append(change)
        return ready

    # --- to the clients; called under the lock

    def _greet(self, box: Box) -> None:
        message = self.letters.count(box.unread, self.letters.label_in(box))
        for ws in box.waiting:
            ws.send(message)
        box.greeted, box.waiting = box.greeted + box.waiting, ()

    def _send(self, boxes: Iterable[Box], letter: Letter) -> None:
        """Send each box the message for its count: one frame for all who have the same."""
        told: dict[tuple[int, str], list[Connection]] = {}
        for box in boxes:
            told.setdefault((box.unread, self.letters.label_in(box)), []).extend(box.greeted)
        for what, connections in told.items():
            self._service.server.hub.send(letter(*what), connections)

    def _timeout(self) -> Any:
        return pymongo.timeout(self._service.server.settings.database_timeout)
