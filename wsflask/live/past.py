"""Which documents changed lately, for clients that come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

__all__ = ["Past", "Touch"]


@dataclass(slots=True)
class Touch:
    """What happened to a document since some position."""

    #: The first thing that happened was that it came to be.
    is_new: bool
    #: The last: "I", "U" or "D".
    op: str


class Past:
    """Positions and keys of changes by collection, whole from a floor on.

    Args:
        most: changes remembered of a collection, about 150 bytes each, and as many again that were asked for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin = ""
        self._collections: dict[str, deque[tuple[str, Hashable, str]]] = {}
        self._floors: dict[str, str] = {}

    @property
    def is_begun(self) -> bool:
        """Whether there is a position after which changes are known."""
        return self._begin != ""

    def begin(self, position: str, collection: str | None = None) -> None:
        """Forget everything, or what is known of one collection; what comes after the position will be known."""
        if collection is None:
            self._begin = position
            self._collections.clear()
            self._floors.clear()
        else:
            self._collections.pop(collection, None)
            self._floors[collection] = position

    def floor(self, collection: str) -> str:
        """Return the position after which every change is known; "": none is."""
        return self._floors.get(collection, self._begin)

    def note(self, collection: str, seq: str, key: Hashable, op: str) -> None:
        """Note a change."""
        changes = self._collections.get(collection)
        if changes is None:
            changes = self._collections[collection] = deque()
        changes.append((seq, key, op))
        if len(changes) > 2 * self._most:
            self._floors[collection], _, _ = changes.popleft()

    def room(self, collection: str) -> int:
        """Return how many earlier changes can be taken in."""
        return min(self._most, 2 * self._most - len(self._collections.get(collection, ())))

    def extend(self, collection: str, since: str, earlier: Iterable[tuple[str, Hashable, str]]) -> None:
        """Take in what happened after `since` and up to the floor, oldest first."""
        changes = self._collections.setdefault(collection, deque())
        changes.extendleft(reversed(list(earlier)))
        self._floors[collection] = since

    def since(self, collection: str, seq: str) -> dict[Hashable, Touch] | None:
        """Return what changed after the position, the oldest first; None where that is not known any more."""
        floor = self.floor(collection)
        if not floor or seq < floor:
            return None
        recent = []
        for change in reversed(self._collections.get(collection, ())):
            if change[0] <= seq:
                break
            recent.append(change)
        touched: dict[Hashable, Touch] = {}
        for _, key, op in reversed(recent):
            earlier = touched.pop(key, None)
            touched[key] = Touch(op == "I" if earlier is None else earlier.is_new, op)
        return touched
