"""The stream of notifications: what has arrived lately, and who is told of it late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from bson import ObjectId

from ..connection import Connection
from ..documents import Notification
from ..feed.base import Change
from ..feed.positions import moment_of
from ..hub import turn_away
from ..protocol.messages import Message
from ..service import Service
from ..streams.history import Stretch, inserted
from ..streams.place import epoch_of
from .inboxes import Inboxes
from .letters import Arrival, Letters

__all__ = ["STREAM", "Arrivals"]

_log = logging.getLogger(__name__)

#: The stream's name on the wire.
STREAM = "notifications"


class Arrivals:
    """What the stream of notifications asks of its service (see `streams.source.Source`).

    Args:
        awaits: has the stream told when the feed comes to a position.
    """

    def __init__(self, service: Service, letters: Letters, inboxes: Inboxes, awaits: Callable[[str], None]) -> None:
        self._service = service
        self._letters = letters
        self._inboxes = inboxes
        self.awaits = awaits
        #: Those that the stream remembers, by id.
        self._known: WeakValueDictionary[bytes, Arrival] = WeakValueDictionary()

    def item(self, seq: str, raw: dict[str, Any]) -> tuple[Arrival, int]:
        """Return the item of a raw notification, and its size in bytes."""
        arrival = self._known.get(raw["_id"].binary)
        if arrival is None or arrival.seq != seq:
            arrival = self._known[raw["_id"].binary] = Arrival(self._letters, raw, seq)
        return arrival, arrival.size

    def revise(self, change: Change) -> None:
        """Note that one was changed or deleted: who comes back gets it as it is, if it still is there, and for him."""
        arrival = self._known.get(change.id.binary)
        if arrival is None:
            return
        if change.op == "D":
            arrival.is_gone = True
        elif change.document is not None:
            arrival.revise(self._letters, change.document)

    def _item(self, seq: str, raw: dict[str, Any]) -> tuple[Arrival, int]:
        """Return the item of what the history tells, which may hold anything."""
        try:
            return self.item(seq, raw)
        except Exception:
            _log.exception("the notification %r cannot be sent", raw["_id"])
            nothing = Arrival(self._letters, {"_id": ObjectId(bytes(12))}, seq)
            nothing.is_gone = True
            return nothing, 0

    # --- for the stream

    def channels(self) -> list[str]:
        return [self._service.channel]

    def epoch(self, user_id: str) -> str:
        host = self._service.server
        return epoch_of(host.secret, STREAM, user_id, host.feed.epoch)

    def addressed(self, item: Arrival) -> Arrival:
        return item

    def message(self, ws: Connection, seq: str, item: Arrival) -> Message | None:
        box = self._inboxes.of(ws)
        if box is None or not item.is_for(ws.user_id, ws.groups):
            return None
        label = self._letters.label_in(box)
        return self._letters.missed(item, item.revision, box.unread, label, box.is_read(item.key))

    def history(self, since: str, until: str) -> Stretch[Arrival]:
        host = self._service.server
        return inserted(host.feed, Notification, since, until, host.settings, self._item)

    def lost(self, ws: Connection) -> None:
        """Do nothing: the count that follows is all there is to say."""

    def is_behind(self, position: str) -> bool:
        feed = self._service.server.feed
        return feed.is_behind or moment_of(position) <= feed.position

    def turn_away(self, connections: Iterable[Connection]) -> None:
        turn_away(connections)
