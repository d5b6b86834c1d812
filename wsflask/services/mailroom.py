"""Keep the inboxes of those who are connected as the database has them, and tell their connections."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterable
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.errors import PyMongoError

from ..connection import Connection
from ..documents import NotificationState, category_of, label_of, notification_item
from ..documents.reading import notifications, read_states, unread_among
from ..encoding import dumps
from ..feed.base import Change
from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..service import Service
from .inboxes import Box, Inboxes, unread_of

__all__ = ["Mailroom"]

_log = logging.getLogger(__name__)

#: Boxes that are loaded by one pair of queries.
_CHUNK = 500
#: Changes kept for a box that is being loaded; with more it is loaded again.
_PENDING = 1000
#: Arrivals that are sent later, after a gap, to each of those who missed them.
_CATCH_UP = 100


class Mailroom:
    """The inboxes of this process: loaded with the first tab of a user, then kept by the feed alone."""

    def __init__(self, service: Service) -> None:
        self.inboxes = Inboxes()
        #: Those who come while others are being loaded are loaded together: many come at once after a restart.
        self._unloaded: list[Box] = []
        self._is_loading = False
        self._service = service
        # Counts and the messages that tell of them change together: sending never blocks.
        self._lock = threading.RLock()

    def enter(self, ws: Connection) -> None:
        """Send the connection its count, as soon as that is known, and then all that changes it. May switch."""
        with self._lock:
            if not ws.is_open:
                return  # it may have left already
            box, is_new = self.inboxes.join(ws)
            if box.inbox.is_loaded:
                self._greet(box)
            elif is_new:
                self._unloaded.append(box)
            if self._is_loading or not self._unloaded:
                return
            self._is_loading = True
        self._load()

    def leave(self, ws: Connection) -> None:
        """Tell the connection nothing any more."""
        with self._lock:
            self.inboxes.leave(ws)

    def reload(self) -> None:
        """Query anew what every inbox holds, and tell what that changes. May switch."""
        self._reload(self.inboxes.all())

    def take(self, change: Change) -> None:
        """Take in a change of a Notification or a NotificationState, and tell those it concerns. May switch."""
        with self._lock:
            stale = self._apply(change)
        if stale:
            self._reload(stale)

    def reply(self, ws: Connection, payload: dict[str, Any]) -> None:
        """Answer with the count that the connection was told last, so that no answer undoes a later message."""
        with self._lock:
            box = self.inboxes.of(ws)
            ws.reply({**payload, "unread": box.inbox.unread if box is not None else 0})

    def item(self, raw: dict[str, Any], *, is_read: bool) -> dict[str, Any]:
        """Return a raw notification as clients get it."""
        labels = self._service.server.settings.notification_labels
        return notification_item(raw, labels=labels, default_category=self._default, is_read=is_read)

    # --- from the database

    def _load(self) -> None:
        """Fill the boxes that are new, and greet those who wait at them: two queries for each 500 boxes."""
        while True:
            with self._lock:
                chunk, self._unloaded = self._unloaded[:_CHUNK], self._unloaded[_CHUNK:]
                if not chunk:
                    self._is_loading = False
                    return
            try:
                states, unread = self._query(chunk)
                stale = [each for box in chunk for each in self._fill(box, states, unread[box])]
                if stale:
                    self._reload(stale)
            except Exception as error:
                is_outage = isinstance(error, PyMongoError)
                _log.error("unread counts could not be loaded: %s", type(error).__name__, exc_info=not is_outage)
                self._turn_away(chunk)
            except BaseException:
                self._turn_away([*chunk, *self._unloaded])
                self._unloaded, self._is_loading = [], False
                raise

    def _query(self, boxes: list[Box]) -> tuple[dict[str, Any], dict[Box, dict[ObjectId, int]]]:
        """Return the read states by user, and what is unread by box. Two queries; may switch."""
        with self._timeout():
            states = read_states({box.inbox.user_id for box in boxes})
            keys = [(box.inbox.user_id, box.inbox.groups) for box in boxes]
            return states, unread_of(boxes, states, unread_among(keys, states), self._default)

    def _fill(self, box: Box, states: dict[str, Any], unread: dict[ObjectId, int]) -> list[Box]:
        """Load the box and greet those who wait; return what has to be loaded anew."""
        with self._lock:
            pending, box.pending = box.pending, []
            if len(pending) > _PENDING:
                self._unloaded.append(box)  # some were not kept
                return []
            box.inbox.load(states.get(box.inbox.user_id), unread.items())
            self._greet(box)
            # Before anything newer is taken in: an insert after its delete would count for ever.
            return [each for change in pending for each in self._apply(change, only=box)]

    def _turn_away(self, boxes: Iterable[Box]) -> None:
        """Have those who wait come again."""
        with self._lock:
            for box in boxes:
                for ws in list(box.waiting):
                    self.inboxes.leave(ws)
                    ws.close(CloseCode.OVERLOAD, "try again")

    def _reload(self, boxes: Iterable[Box]) -> None:
        """Query anew what the boxes hold, and tell what that changes: two or three queries for each 500 boxes."""
        loaded = (box for box in boxes if box.inbox.is_loaded)
        while chunk := list(itertools.islice(loaded, _CHUNK)):
            revs = {box: box.inbox.rev for box in chunk}
            states, unread = self._query(chunk)
            missed: dict[Box, frozenset[ObjectId]] = {}
            with self._lock:
                for box in chunk:
                    before = box.inbox.ids
                    box.inbox.load(states.get(box.inbox.user_id), unread[box].items(), since_rev=revs[box])
                    missed[box] = box.inbox.ids - before
                    if box.inbox.ids != before:
                        self._send_counts([box])
            self._catch_up(missed)

    def _catch_up(self, missed: dict[Box, frozenset[ObjectId]]) -> None:
        """Send what arrived unseen; of very many only the newest, the others are in the list."""
        newest = sorted(frozenset[ObjectId]().union(*missed.values()))[-_CATCH_UP:]
        if not newest:
            return
        with self._timeout():
            found = list(notifications().find({"_id": {"$in": newest}}).sort("_id", 1))
        with self._lock:
            for raw in found:
                self._send_arrival(raw, [box for box, ids in missed.items() if raw["_id"] in ids])

    # --- from the feed; called under the lock

    def _apply(self, change: Change, only: Box | None = None) -> list[Box]:
        """Take the change in and tell those it concerns; return the boxes that have to be loaded anew."""
        if change.collection == NotificationState._get_collection_name():
            return self._state_changed(change, only)
        self._notification_changed(change, only)
        return []

    def _state_changed(self, change: Change, only: Box | None) -> list[Box]:
        boxes = self._ready(self.inboxes.of_user(change.id) if only is None else [only], change)
        if change.op == "D" or change.document is None:
            return boxes
        state = change.document
        newer = [box for box in boxes if state.get("rev", 0) > box.inbox.rev]
        stale = [box for box in newer if not box.inbox.apply(state)]
        self._send_counts(box for box in newer if box not in stale)
        return stale

    def _notification_changed(self, change: Change, only: Box | None) -> None:
        raw = change.document
        if change.op == "I" and raw is not None:
            boxes = self._ready(self.inboxes.addressed(raw) if only is None else [only], change)
            # What a count has included already, or the user has read already, is no arrival any more.
            boxes = [box for box in boxes if box.inbox.put(change.id, category_of(raw, self._default))]
            self._send_arrival(raw, boxes)
            return
        changed = []
        for box in self._ready(self.inboxes.all() if only is None else [only], change):
            if change.op == "U" and raw is not None and box.inbox.is_addressed(raw):
                is_changed = box.inbox.put(change.id, category_of(raw, self._default))
            else:
                is_changed = box.inbox.discard(change.id)
            if is_changed:
                changed.append(box)
        self._send_counts(changed)

    def _ready(self, boxes: list[Box], change: Change) -> list[Box]:
        """Return the boxes that are loaded; the others get the change when they are."""
        for box in boxes:
            if not box.inbox.is_loaded and len(box.pending) <= _PENDING:
                box.pending.append(change)
        return [box for box in boxes if box.inbox.is_loaded]

    # --- to the clients; called under the lock

    def _greet(self, box: Box) -> None:
        message = self._count_message(box)
        for ws in box.waiting:
            ws.send(message)
        box.greeted.update(box.waiting)
        box.waiting.clear()

    def _send_counts(self, boxes: Iterable[Box]) -> None:
        messages: dict[tuple[int, str], Message] = {}
        for box in boxes:
            key = (box.inbox.unread, self._category(box))
            if key not in messages:
                messages[key] = self._count_message(box)
            self._service.server.hub.send(messages[key], list(box.greeted))

    def _send_arrival(self, raw: dict[str, Any], boxes: list[Box]) -> None:
        """Send the arrival: encoded once, and one frame for all whose unread count is the same."""
        groups: dict[tuple[int, str], list[Connection]] = {}
        for box in boxes:
            groups.setdefault((box.inbox.unread, self._category(box)), []).extend(box.greeted)
        last = dumps(self.item(raw, is_read=False)) if groups else b""
        for (unread, category), connections in groups.items():
            payload = b'{"category":%b,"last":%b,"unread":%d}' % (dumps(category), last, unread)
            self._service.server.hub.send(Message(self._service.channel, payload_json=payload), connections)

    def _count_message(self, box: Box) -> Message:
        return Message(self._service.channel, {"unread": box.inbox.unread, "category": self._category(box)})

    def _category(self, box: Box) -> str:
        category = box.inbox.category
        labels = self._service.server.settings.notification_labels
        return label_of(self._default if category is None else category, labels)

    @property
    def _default(self) -> int:
        return self._service.server.settings.notification_default_category

    def _timeout(self) -> Any:
        return pymongo.timeout(self._service.server.settings.database_timeout)
