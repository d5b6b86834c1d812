"""The service on the channel `notifications`: who has how many unread, and what has just arrived."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from ..config import Settings
from ..connection import Connection
from ..deadline import seconds_left
from ..documents import Notification, NotificationState, is_read, mark_all_read, mark_read, read_state
from ..documents.reading import addressed_to, notifications, unread_query
from ..documents.transactions import majority, taking_part
from ..errors import Refusal
from ..feed.base import Change, Gap, Subscription
from ..ledger import command_id
from ..outage import log_failure
from ..service import Host, Service
from .mailroom import Mailroom

__all__ = ["Notifier"]

_log = logging.getLogger(__name__)

#: Changes that are taken in together, and seconds without one after which the position of the feed is noted.
_BATCH, _LOOK = 200, 1.0
#: Notifications in one answer to `list`: at most, and if the client does not say.
_MAX_LIMIT, _DEFAULT_LIMIT = 100, 20


class Notifier(Service):
    """Tell every user of notifications as they arrive, and of the unread count whenever it changes."""

    channel = "notifications"
    keeps_publications = False

    def __init__(self, server: Host | None = None) -> None:
        super().__init__(server)
        self._mailroom: Mailroom
        self._lock = threading.Lock()
        self._changes: Subscription | None = None
        self._actions: dict[str, Callable[[Connection, Any, str | None], Any]] = {
            "mark_read": self._mark_read,
            "mark_all_read": self._mark_all_read,
            "list": self._list,
        }

    @classmethod
    def notify(cls, notification: Notification, session: ClientSession | None = None) -> Notification:
        """Save the notification; its recipients see it at once, wherever they are connected. May switch.

        From any process or thread with a MongoEngine connection; no server needs to run. When it returns, a majority
        of the replica set has the notification, and nothing short of deleting it takes it away again. In a
        transaction, that of the session or one that is bound to the context: its recipients see it if that commits.
        """
        if not isinstance(notification, Notification):
            raise TypeError(f"notify() takes a wsflask.Notification, not {type(notification).__name__}")
        type(notification)._get_collection()  # its indexes are not made in a transaction
        with pymongo.timeout(Settings().database_timeout), taking_part(session):
            return notification.save(write_concern=majority())

    def bind(self, server: Host) -> None:
        super().bind(server)
        self._mailroom = Mailroom(self, self._await)
        self.stream = self._mailroom.stream

    # --- hooks

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Send what has arrived while the client was away, the unread count and the category of the newest unread."""
        self._subscribe()
        self._mailroom.door.enter(ws)

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        """Count for the groups that the user is in now, and send that count if they are others than before."""
        self._mailroom.door.move(ws)

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        self._mailroom.door.leave(ws)

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        """Handle `mark_read`, `mark_all_read` and `list`."""
        if not isinstance(message, dict):
            raise Refusal("bad_data")
        name = message.get("action")
        action = self._actions.get(name) if isinstance(name, str) else None
        if action is None:
            raise Refusal("bad_action")
        command = command_id(message)
        with self._timeout():
            return action(ws, message.get("data"), command)

    def run(self) -> None:
        """Relay what arrives, until the feed ends."""
        changes = self._subscribe()
        try:
            self._mailroom.go_on(changes.position)
            self._keep()
            while not changes.is_closed:
                for change in changes.take_many(_BATCH, _LOOK):
                    if not isinstance(change, Gap):
                        self._mailroom.take(change)
                    elif change.collection in (None, Notification._get_collection_name()):
                        self._mailroom.go_on(change.seq)
                    else:
                        self._mailroom.reload()
                self._mailroom.door.reach(changes.position)
        finally:
            self._mailroom.lapse()
            changes.close()

    def _await(self, position: str) -> None:
        if self._changes is not None:
            self._changes.wake_at(position)

    def _keep(self) -> None:
        """Have old notifications deleted, if that is wanted."""
        days = self.server.settings.notification_days
        try:
            if days is not None:
                with self._timeout():
                    Notification.keep_for(days)
        except PyMongoError as error:
            log_failure(_log, error, "the database was not told to delete notifications after %s days", days)

    def _subscribe(self) -> Subscription:
        """Return the subscription; there is one before the first count is queried, so that nothing falls between."""
        with self._lock:
            if self._changes is None or self._changes.is_closed:
                self._changes = self.server.feed.watch(Notification, NotificationState, name="notifications")
            return self._changes

    # --- requests

    def _mark_read(self, ws: Connection, data: Any, command: str | None) -> None:
        if not isinstance(data, dict):
            raise Refusal("bad_data")
        state = mark_read(ws.user_id, ws.groups, _id_in(data.get("id")), command=command)
        if state is None:
            raise Refusal("not_found")
        self._marked(ws, state)

    def _mark_all_read(self, ws: Connection, data: Any, command: str | None) -> None:
        self._marked(ws, mark_all_read(ws.user_id, ws.groups, command=command))

    def _marked(self, ws: Connection, state: dict[str, Any]) -> None:
        """Tell the user's tabs here at once; those elsewhere hear of it by the feed."""
        self._mailroom.take(Change("", "U", NotificationState._get_collection_name(), ws.user_id, state))
        self._mailroom.reply(ws, {})

    def _list(self, ws: Connection, data: Any, _: str | None) -> None:
        before, limit, unread_only = _page_in(data)
        state = read_state(ws.user_id)
        query = unread_query(ws.user_id, ws.groups, state) if unread_only else addressed_to(ws.user_id, ws.groups)
        if before is not None:
            query.setdefault("_id", {})["$lt"] = before
        found = list(notifications().find(query).sort("_id", -1).limit(limit + 1))
        page = found[:limit]
        items = [self._mailroom.letters.item(raw, is_read=is_read(raw["_id"], state)) for raw in page]
        self._mailroom.reply(ws, {"notifications": items, "next": str(page[-1]["_id"]) if len(found) > limit else None})

    def _timeout(self) -> Any:
        return pymongo.timeout(seconds_left(self.server.settings.database_timeout))


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
