"""What a service tells the stream that it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..protocol.messages import Message
from . import history
from .history import Stretch
from .missed import Addressed

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Limits", "Source"]

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

    def history(self, since: str, until: str) -> Stretch[Item]:
        """Return what happened after `since`, to the end of the moment of `until` or the first part of it. May switch.

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


class Limits(history.Limits, Protocol):
    """The settings of a stream."""

    @property
    def stream_reach(self) -> float: ...
    @property
    def stream_patience(self) -> float: ...
    @property
    def outbox_bytes(self) -> int: ...
