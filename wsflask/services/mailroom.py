"""Keep the inboxes of those who are connected as the database has them, and tell their connections."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pymongo
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout

from ..connection import Connection
from ..documents import NotificationState
from ..documents.reading import notifications, read_states, to_everyone, unread_among
from ..feed.base import Change
from ..feed.positions import moment_end, position_of
from ..gather import Gather
from ..hub import turn_away
from ..outage import is_outage, log_failure
from ..protocol.messages import PLAIN, V1
from ..service import Service
from ..streams.rounds import Rounds
from ..streams.stream import Stream
from .arrivals import STREAM, Arrivals
from .bulletin import Bulletin
from .door import Door
from .inboxes import Box, Inboxes, unread_of
from .letters import Arrival, Letter, Letters
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
    """The inboxes of this process: loaded with the first tab of a user, then kept by the feed alone.

    Args:
        service: the notifier, with its server.
        awaits: has `reach` called as soon as the feed comes to a position.
    """

    def __init__(self, service: Service, awaits: Callable[[str], None]) -> None:
        self.bulletin = Bulletin()
        self.inboxes = Inboxes(self.bulletin)
        self.letters = Letters(service)
        self._service = service
        # Counts and the messages that tell of them change together: sending never blocks.
        self._lock = threading.RLock()
        # One change of a notification is taken in after another; held while other greenlets have their turn.
        self._in_order = threading.Lock()
        #: Those who come at once share the queries.
        self._newcomers: Gather[Connection] = Gather("wsflask mailroom", self._admit, turn_away, limit=_CHUNK)
        self._arrivals = Arrivals(service, self.letters, self.inboxes, awaits)
        self._catching_up = Rounds("wsflask notifications", lambda: self.stream)
        #: What arrives: clients that come back are told what they missed.
        self.stream: Stream[Arrival] = Stream(
            STREAM,
            self._arrivals,
            self._lock,
            service.server.settings,
            self._catching_up.wake,
            pause=lambda: time.sleep(_PAUSE),
        )
        #: Where connections come in.
        self.door = Door(self.inboxes, self.letters, self._arrivals, self._lock, self._newcomers.add, self._visit)
        self.door.stream = self.stream
        #: The change that is on its way to the boxes.
        self._round: Round | None = None
        self._number = 0
        #: Whether the bulletin is loaded, and kept by the feed.
        self._is_kept = threading.Event()

    def go_on(self, position: str) -> None:
        """Query all anew, and go on at a position of the feed. May switch.

        What a gap has hidden is told late; where the history does not tell it, clients learn that their place is lost.
        """
        self.reload()
        told = self.stream.go_on(position, self._tell_late, self._greeted)
        with self._lock:
            self.door.recount(told)

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
            turn_away([*arrivals, *(self._newcomers.withdraw() if is_away else ())])
        for ws in arrivals:
            ws.release()

    def _await_bulletin(self, arrivals: list[Connection]) -> None:
        """Wait until the notifications to everyone are known, or nobody wants to know any more. May switch."""
        if not self._sees_every_write:
            self.reload()  # what other processes have written
            return
        for _ in range(math.ceil(self._service.server.settings.database_timeout / _LOOK)):
            if self._is_kept.wait(_LOOK) or not any(ws.is_open for ws in arrivals):
                return
        raise NetworkTimeout("the notifications to everyone are not loaded yet")

    def _load(self, arrived: Iterable[Box]) -> None:
        """Fill the boxes, and greet those who wait at them: two queries for all. May switch."""
        while boxes := [box for box in arrived if not box.is_loaded]:
            states, unread, as_of = self._query(boxes)
            self._reload([each for box in boxes for each in self._fill(box, states, unread[box], as_of)])

    def _page(self, after: ObjectId | None) -> list[dict[str, Any]]:
        with self._timeout():
            return to_everyone(after, limit=_PAGE)

    def _query(self, boxes: list[Box]) -> tuple[dict[str, Any], dict[Box, dict[bytes, int]], str]:
        """Return the read states by user, what is unread by box, the bulletin aside, and as of which position at most.

        Two queries; may switch.
        """
        client: MongoClient[Any] = NotificationState._get_db().client
        with self._timeout(), client.start_session() as session, session.bind(end_session=False):
            states = read_states({box.user_id for box in boxes})
            found = unread_among([(box.user_id, box.groups) for box in boxes], states)
            unread = unread_of(boxes, found, self.bulletin, self.letters.category)
            time = session.operation_time
        return states, unread, moment_end(position_of(time)) if time is not None and self._sees_every_write else ""

    def _fill(self, box: Box, states: dict[str, Any], unread: dict[bytes, int], as_of: str) -> list[Box]:
        """Load the box and greet those who wait; return what has to be loaded anew."""
        with self._lock:
            pending, box.pending = box.pending or (), None
            if len(pending) > _PENDING:
                return []  # some were not kept
            box.load(states.get(box.user_id), unread.items())
            box.as_of = as_of
            box.told = self._number  # what is on its way is on the bulletin: it counts already
            self.door.greet(box, is_resumable=False)
            # Before anything newer is taken in: an insert after its delete would count for ever.
            stale = [each for change in pending for each in self._catch_up_with(change, box)]
            self.door.greet(box)  # these have what was pending from the stream
            return stale

    def _reload(self, boxes: list[Box], posted: Collection[bytes] = ()) -> None:
        """Query anew what loaded boxes hold, and tell what that changes: two or three queries for each 500 boxes.

        Args:
            posted: what is new on the bulletin since the boxes were told of it.
        """
        for start in range(0, len(boxes), _CHUNK):
            chunk = boxes[start : start + _CHUNK]
            revs = {box: box.rev for box in chunk}
            states, unread, as_of = self._query(chunk)
            missed: dict[Box, set[bytes]] = {}
            with self._lock:
                for box in chunk:
                    self._visit(box)
                    count, own = box.unread, set(box.own or ())
                    box.load(states.get(box.user_id), unread[box].items(), since_rev=revs[box])
                    box.as_of = as_of
                    missed[box] = set(box.own or ()) - own
                    if box.unread != count or set(box.own or ()) != own:
                        self._send([box], self.letters.count)
            self._send_missed(missed, posted)

    def _send_missed(self, missed: dict[Box, set[bytes]], posted: Collection[bytes]) -> None:
        """Send what arrived unseen; of very many only the newest, the others are in the list.

        Who has a stream gets it from that, unless the feed does not see it.
        """
        newest = sorted(set(posted).union(*missed.values()))[-_CATCH_UP:]
        if not newest:
            return
        forms = (PLAIN,) if self._sees_every_write else (PLAIN, V1)
        with self._timeout():
            found = list(notifications().find({"_id": {"$in": [ObjectId(key) for key in newest]}}).sort("_id", 1))
        for raw in found:
            key = raw["_id"].binary
            with self._lock:
                boxes = [box for box, ids in missed.items() if key in ids or (key in posted and box.counts(key))]
                self._send(boxes, Arrival(self.letters, raw).message, forms=forms)
            time.sleep(_PAUSE)

    # --- from the feed

    def _notification_changed(self, change: Change) -> None:
        """Take the change in, and visit the boxes that it concerns, some at a time. May switch."""
        with self._lock:
            key = change.id.binary
            was_posted, is_posted = self.bulletin.category(key), self._post(change)
            arrival = self._arrived(change)
            if arrival is None and is_posted is not None and is_posted == was_posted:
                boxes = []  # it counts as before, for everyone
            elif change.op == "I" and change.document is not None and was_posted is is_posted is None:
                boxes = self.inboxes.addressed(change.document)
            else:
                boxes = self.inboxes.all()
            rest = iter(self._ready(boxes, change))
            self._round = self._new_round(change, was_posted, is_posted, arrival)
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

    def _arrived(self, change: Change) -> Arrival | None:
        """Note an arrival in the stream, and return it if it is new there."""
        if change.op != "I" or change.document is None:
            self._arrivals.revise(change)
            return None
        arrival, size = self._arrivals.item(change.seq, change.document)
        return arrival if self.stream.add(change.seq, arrival, size) else None

    def _tell_late(self, seq: str, arrival: Arrival, size: int) -> None:
        """Tell of an arrival that the feed did not."""
        with self._lock:
            if not self.stream.add(seq, arrival, size):
                return
            named = {"users": arrival.users, "groups": arrival.groups}
            boxes = self.inboxes.all() if arrival.everyone else self.inboxes.addressed(named)
            boxes = [box for box in boxes if arrival.is_for(box.user_id, box.groups)]
            self._send(boxes, arrival.message, forms=(V1,), key=arrival.key)

    def _post(self, change: Change) -> int | None:
        """Put the notification on the bulletin or take it off; return the category with which it is there now."""
        raw, key = change.document, change.id.binary
        if change.op == "D" or raw is None or raw.get("everyone") is not True:
            self.bulletin.discard(key)
            return None
        category = self.letters.category(raw)
        self.bulletin.put(key, category)
        return category

    def _new_round(
        self, change: Change, was_posted: int | None, is_posted: int | None, arrival: Arrival | None = None
    ) -> Round:
        raw, key = change.document if change.op != "D" else None, change.id.binary
        is_arrival = change.op == "I" and raw is not None
        category = self.letters.category(raw) if raw is not None else None
        is_newest = is_posted is not None and self.bulletin.newest()[0] == key
        self._number += 1
        letter = self.letters.count
        if is_arrival and raw is not None:
            letter = (arrival or Arrival(self.letters, raw, change.seq)).message
        return Round(
            number=self._number,
            key=key,
            category=category,
            addressees=Addressees(raw) if raw is not None and is_posted is None else None,
            was_posted=was_posted,
            is_posted=is_posted,
            is_arrival=is_arrival,
            seq=change.seq if arrival is not None and self._sees_every_write else "",
            fresh=self.door.fresh,
            letter=letter,
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

    def _greeted(self) -> list[Connection]:
        return [ws for box in self.inboxes.all() for ws in box.greeted]

    def _send(
        self, boxes: Iterable[Box], letter: Letter, *, forms: Collection[str] = (PLAIN, V1), key: bytes = b""
    ) -> None:
        """Send each box the message for its count: one frame for all who have the same.

        Args:
            forms: of the protocol: the others are left out.
            key: id of the notification that the message tells of; it says whether that was read.
        """
        told: dict[tuple[int, str, bool], list[Connection]] = {}
        for box in boxes:
            what = box.unread, self.letters.label_in(box), key != b"" and box.is_read(key)
            told.setdefault(what, []).extend(ws for ws in box.greeted if ws.form in forms)
        for what, connections in told.items():
            self._service.server.hub.send(letter(*what), connections)

    @property
    def _sees_every_write(self) -> bool:
        return self._service.server.feed.sees_every_write

    def _timeout(self) -> Any:
        return pymongo.timeout(self._service.server.settings.database_timeout)
