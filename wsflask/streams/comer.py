"""A connection that is being caught up with a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from .history import Stretch
from .place import Place

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Comer"]

Item = TypeVar("Item")


class Comer(Generic[Item]):
    """Where a connection is on its way to the end of a stream."""

    __slots__ = ("deadline", "end", "groups", "joined", "missed", "place", "position", "stretch", "todo", "ws")

    def __init__(self, ws: Connection, place: Place | None, joined: Callable[[], None], deadline: float) -> None:
        self.ws = ws
        #: Where the client says it is; None: it is new.
        self.place = place
        #: Called when it is caught up.
        self.joined = joined
        #: Monotonic time up to which it waits for the stream to begin, or to reach its place.
        self.deadline = deadline
        #: Everything of the stream up to here was sent, as far as it is the user's.
        self.position = place.seq if place is not None else ""
        #: How many messages it was sent.
        self.missed = 0
        #: What is to be sent next, up to `end`, to one in these groups; None: to be looked up.
        self.todo: Iterator[tuple[str, Item, int]] | None = None
        self.end = ""
        #: From where that was taken, if it is more than the stream remembers.
        self.stretch: Stretch[Item] | None = None
        self.groups: frozenset[str] = frozenset()
