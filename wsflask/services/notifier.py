"""The service on the channel `notifications`: who has how many unread, and what has just arrived."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pymongo
from bson import ObjectId

from ..config import Settings
from ..connection import Connection
from ..documents import (
    Notification,
    NotificationState,
    category_of,
    is_read,
    label_of,
    mark_all_read,
    mark_read,
    notification_item,
    read_state,
)
from ..documents.reading import addressed_to, notifications, read_states, unread_among, unread_query
from ..encoding import dumps
from ..errors import Refusal
from ..feed.base import Change, Gap, Subscription
from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..service import Host, Service
from .inboxes import Box, Inboxes, unread_of

__all__ = ["Notifier"]

_log = logging.getLogger(__name__)

#: Boxes that are loaded by one pair of queries after a gap.
_CHUNK = 500
#: Changes kept for a box that is being loaded; with more it is loaded again.
_PENDING = 1000
#: Arrivals that are sent later, after a gap, to each of those who missed them.
_CATCH_UP = 100
_MAX_LIMIT = 100
_DEFAULT_LIMIT = 20


class Notifier(Service):
    """Tell every user of notifications as they arrive, and of the unread count whenever it changes."""

    channel = "notifications"

    def __init__(self, server: Host | None = None) -> None:
        super().__init__(server)
        self._inboxes = Inboxes()
        # Counts and the messages that tell of them change together: sending never blocks.
        self._lock = threading.RLock()
        self._changes: Subscription | None = None
        self._actions: dict[str, Callable[[Connection, Any], Any]] = {
            "mark_read": self._mark_read,
            "mark_all_read": self._mark_all_read,
            "list": self._list,
        }

    @classmethod
    def notify(cls, notification: Notification) -> Notification:
        """Save the notification; its recipients see it at once, wherever they are connected. May switch.

        From any process or thread with a MongoEngine connection; no server needs to run. When it returns, a majority
        of the replica set has the notification, and nothing short of deleting it takes it away again.
        """
        if not isinstance(notification, Notification):
            raise TypeError(f"notify() takes a wsflask.Notification, not {type(notification).__name__}")
        with pymongo.timeout(Settings().database_timeout):
            return notification.save(write_concern={"w": "majority"})

    # --- hooks

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Send the unread count and the category of the newest unread notification."""
        self._subscribe()
        with self._lock:
            if not ws.is_open:
                return  # on_disconnect may have been called already
            box, is_new = self._inboxes.join(ws)
            if box.inbox.is_loaded:
                self._greet(box)
        if is_new:
            self._load(box)

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        with self._lock:
            self._inboxes.leave(ws)

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        """Handle `mark_read`, `mark_all_read` and `list`."""
        if not isinstance(message, dict):
            raise Refusal("bad_data")
        name = message.get("action")
        action = self._actions.get(name) if isinstance(name, str) else None
        if action is None:
            raise Refusal("bad_action")
        with self._timeout():
            return action(ws, message.get("data"))

    def run(self) -> None:
        """Relay what arrives, until the feed ends."""
        if self.server.settings.notification_days is not None:
            Notification.keep_for(self.server.settings.notification_days)
        changes = self._subscribe()
        try:
            self._reload(self._inboxes.all())
            for change in changes:
                if isinstance(change, Gap):
                    self._reload(self._inboxes.all())
                else:
                    self._take(change)
        finally:
            changes.close()

    def _subscribe(self) -> Subscription:
        """Return the subscription; there is one before the first count is queried, so that nothing falls between."""
        with self._lock:
            if self._changes is None or self._changes.is_closed:
                self._changes = self.server.feed.watch(Notification, NotificationState, name="notifications")
            return self._changes

    # --- from the database

    def _load(self, box: Box) -> None:
        """Fill a new box, and greet those who wait at it."""
        inbox, stale = box.inbox, []
        try:
            while not inbox.is_loaded:
                with self._timeout():
                    state = read_state(inbox.user_id)
                    unread = notifications().find(unread_query(inbox.user_id, inbox.groups, state), {"category": 1})
                    found = [(raw["_id"], category_of(raw, self._default)) for raw in unread]
                with self._lock:
                    pending, box.pending = box.pending, []
                    if len(pending) > _PENDING:
                        continue  # some were not kept
                    inbox.load(state, found)
                    self._greet(box)
                    # Before anything newer is taken in: an insert after its delete would count for ever.
                    stale = [box for change in pending for box in self._apply(change, only=box)]
        except BaseException:
            with self._lock:
                for ws in list(box.waiting):
                    self._inboxes.leave(ws)
                    ws.close(CloseCode.OVERLOAD, "try again")
            raise
        if stale:
            self._reload([box])

    def _reload(self, boxes: Iterable[Box]) -> None:
        """Query anew what the boxes hold, and tell what that changes: two or three queries for each 500 boxes."""
        loaded = (box for box in boxes if box.inbox.is_loaded)
        while chunk := list(itertools.islice(loaded, _CHUNK)):
            revs = {box: box.inbox.rev for box in chunk}
            with self._timeout():
                states = read_states({box.inbox.user_id for box in chunk})
                keys = [(box.inbox.user_id, box.inbox.groups) for box in chunk]
                unread = unread_of(chunk, unread_among(keys, states), self._default)
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

    # --- from the feed

    def _take(self, change: Change) -> None:
        with self._lock:
            stale = self._apply(change)
        if stale:
            self._reload(stale)

    def _apply(self, change: Change, only: Box | None = None) -> list[Box]:
        """Take the change in and tell those it concerns; return the boxes that have to be loaded anew."""
        if change.collection == NotificationState._get_collection_name():
            return self._state_changed(change, only)
        self._notification_changed(change, only)
        return []

    def _state_changed(self, change: Change, only: Box | None) -> list[Box]:
        boxes = self._ready(self._inboxes.of_user(change.id) if only is None else [only], change)
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
            boxes = self._ready(self._inboxes.addressed(raw) if only is None else [only], change)
            # What a count has included already, or the user has read already, is no arrival any more.
            boxes = [box for box in boxes if box.inbox.put(change.id, category_of(raw, self._default))]
            self._send_arrival(raw, boxes)
            return
        changed = []
        for box in self._ready(self._inboxes.all() if only is None else [only], change):
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
            self.server.hub.send(messages[key], list(box.greeted))

    def _send_arrival(self, raw: dict[str, Any], boxes: list[Box]) -> None:
        """Send the arrival: encoded once, and one frame for all whose unread count is the same."""
        groups: dict[tuple[int, str], list[Connection]] = {}
        for box in boxes:
            groups.setdefault((box.inbox.unread, self._category(box)), []).extend(box.greeted)
        last = dumps(self._item(raw, is_read=False)) if groups else b""
        for (unread, category), connections in groups.items():
            payload = b'{"category":%b,"last":%b,"unread":%d}' % (dumps(category), last, unread)
            self.server.hub.send(Message(self.channel, payload_json=payload), connections)

    def _count_message(self, box: Box) -> Message:
        return Message(self.channel, {"unread": box.inbox.unread, "category": self._category(box)})

    def _category(self, box: Box) -> str:
        category = box.inbox.category
        labels = self.server.settings.notification_labels
        return label_of(self._default if category is None else category, labels)

    def _item(self, raw: dict[str, Any], *, is_read: bool) -> dict[str, Any]:
        labels = self.server.settings.notification_labels
        return notification_item(raw, labels=labels, default_category=self._default, is_read=is_read)

    @property
    def _default(self) -> int:
        return self.server.settings.notification_default_category

    def _timeout(self) -> Any:
        return pymongo.timeout(self.server.settings.database_timeout)

    # --- requests

    def _mark_read(self, ws: Connection, data: Any) -> None:
        if not isinstance(data, dict):
            raise Refusal("bad_data")
        state = mark_read(ws.user_id, ws.groups, _id_in(data.get("id")))
        if state is None:
            raise Refusal("not_found")
        self._marked(ws, state)

    def _mark_all_read(self, ws: Connection, data: Any) -> None:
        self._marked(ws, mark_all_read(ws.user_id, ws.groups))

    def _marked(self, ws: Connection, state: dict[str, Any]) -> None:
        """Tell the user's tabs here at once; those elsewhere hear of it by the feed."""
        self._take(Change("", "U", NotificationState._get_collection_name(), ws.user_id, state))
        self._reply(ws, {})

    def _reply(self, ws: Connection, payload: dict[str, Any]) -> None:
        """Answer with the count that the connection was told last, so that no answer undoes a later message."""
        with self._lock:
            box = self._inboxes.of(ws)
            ws.reply({**payload, "unread": box.inbox.unread if box is not None else 0})

    def _list(self, ws: Connection, data: Any) -> None:
        before, limit, unread_only = _page_in(data)
        state = read_state(ws.user_id)
        query = unread_query(ws.user_id, ws.groups, state) if unread_only else addressed_to(ws.user_id, ws.groups)
        if before is not None:
            query.setdefault("_id", {})["$lt"] = before
        found = list(notifications().find(query).sort("_id", -1).limit(limit + 1))
        page = found[:limit]
        items = [self._item(raw, is_read=is_read(raw["_id"], state)) for raw in page]
        self._reply(ws, {"notifications": items, "next": str(page[-1]["_id"]) if len(found) > limit else None})


def _id_in(value: Any) -> ObjectId:
    if not isinstance(value, str) or not ObjectId.is_valid(value):
        raise Refusal("bad_data")
    return ObjectId(value)


def _page_in(data: Any) -> tuple[ObjectId | None, int, bool]:
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise Refusal("bad_data")
    before, limit = data.get("before"), data.get("limit", _DEFAULT_LIMIT)
    unread_only = data.get("unread_only", False)
    if type(limit) is not int or not 1 <= limit <= _MAX_LIMIT or not isinstance(unread_only, bool):
        raise Refusal("bad_data")
    return (_id_in(before) if before is not None else None), limit, unread_only
