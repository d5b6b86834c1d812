"""The stream of publications that are kept for those who come back."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..connection import Connection
from ..documents import KeptPublication
from ..feed.positions import moment_of
from ..hub import Recipients, turn_away
from ..protocol.messages import Message
from ..service import Host
from ..streams.history import Stretch, inserted
from ..streams.place import epoch_of

__all__ = ["STREAM", "Kept", "Publications", "recipients_of"]

_log = logging.getLogger(__name__)

#: The stream's name on the wire.
STREAM = "publications"


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept publication: whom it is for, what they get, and until when."""

    everyone: bool
    users: frozenset[str]
    groups: frozenset[str]
    message: Message
    #: Seconds since 1970.
    expires: float


class Publications:
    """What the stream of kept publications asks of its service (see `streams.source.Source`).

    Args:
        host: returns the server.
        channels: returns the channels that the stream has.
        awaits: has the stream told when the feed comes to a position.
        lost: called with a client that has lost its place.
    """

    def __init__(
        self,
        host: Callable[[], Host],
        channels: Callable[[], list[str]],
        awaits: Callable[[str], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._host = host
        self.channels = channels
        self.awaits = awaits
        self.lost = lost

    def epoch(self, user_id: str) -> str:
        host = self._host()
        return epoch_of(host.secret, STREAM, user_id, host.feed.epoch)

    def addressed(self, item: Kept) -> Kept:
        return item

    def message(self, ws: Connection, seq: str, item: Kept) -> Message | None:
        return item.message if item.expires > time.time() else None

    def history(self, since: str, until: str) -> Stretch[Kept]:
        host = self._host()
        return inserted(host.feed, KeptPublication, since, until, host.settings, self._item)

    def _item(self, seq: str, raw: dict[str, Any]) -> tuple[Kept, int]:
        """Return the item of what the history tells, which may hold anything."""
        try:
            return self.item(seq, raw)
        except Exception:
            _log.exception("the publication %r cannot be sent", raw["_id"])
            return Kept(False, frozenset(), frozenset(), Message(STREAM), 0.0), 0

    def is_behind(self, position: str) -> bool:
        feed = self._host().feed
        return feed.is_behind or moment_of(position) <= feed.position

    def turn_away(self, connections: Iterable[Connection]) -> None:
        turn_away(connections)

    @staticmethod
    def item(seq: str, raw: dict[str, Any]) -> tuple[Kept, int]:
        """Return the item of a raw document, and its size in bytes."""
        payload, to = raw["payload"].encode(), recipients_of(raw)
        expires: datetime.datetime = raw["expires_dt"]
        item = Kept(
            to.everyone,
            frozenset(to.users),
            frozenset(to.groups),
            Message(raw["channel"], payload_json=payload, seq=seq),
            expires.replace(tzinfo=expires.tzinfo or datetime.UTC).timestamp(),
        )
        return item, len(payload) + sum(map(len, (*to.users, *to.groups)))


def recipients_of(raw: dict[str, Any]) -> Recipients:
    """Return whom a raw publication is for."""
    return Recipients(
        everyone=bool(raw.get("everyone")), users=tuple(raw.get("users", ())), groups=tuple(raw.get("groups", ()))
    )
