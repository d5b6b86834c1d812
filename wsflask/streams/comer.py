"""A connection that is being caught up with a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from .history import Stretch
from .place import Place

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Comer", "make_room"]

Item = TypeVar("Item")


class Comer(Generic[Item]):
    """Where a connection is on its way to the end of a stream."""

    __slots__ = ("deadline", "end", "got", "groups", "joined", "missed", "place", "position", "stretch", "todo", "ws")

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
        #: Monotonic time at which it got that, or can get it soon.
        self.got = deadline
        self.groups: frozenset[str] = frozenset()

    def let_go(self) -> None:
        """Have what is to be sent next looked up again."""
        self.todo = self.stretch = None


def make_room(comers: Sequence[Comer[Item]], most: int, before: float) -> bool:
    """Return whether one more part of the past may be held, of `most`; if need be one that was got `before` is let go.

    So nobody keeps others from theirs by taking his own slowly.
    """
    holders = [comer for comer in comers if comer.stretch is not None]
    if len({id(comer.stretch) for comer in holders}) < most:
        return True
    first = min(holders, key=lambda comer: comer.got)
    if first.got > before:
        return False
    oldest = first.stretch
    for comer in holders:
        if comer.stretch is oldest:
            comer.let_go()
    return True
