"""Which documents changed lately, for clients that come back."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from ..streams.journal import Journal

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
        most: changes remembered of a collection, about 200 bytes each, and as many again that were asked for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin = ""
        #: By collection: key and op of each change.
        self._journals: dict[str, Journal[tuple[Hashable, str]]] = {}

    @property
    def is_begun(self) -> bool:
        """Whether there is a position after which changes are known."""
        return self._begin != ""

    def begin(self, position: str, collection: str | None = None) -> None:
        """Forget everything, or what is known of one collection; what comes after the position will be known."""
        if collection is None:
            self._begin = position
            self._journals.clear()
        else:
            self._journal(collection).begin(position)

    def floor(self, collection: str) -> str:
        """Return the position after which every change is known; "": none is."""
        journal = self._journals.get(collection)
        return self._begin if journal is None else journal.floor

    def note(self, collection: str, seq: str, key: Hashable, op: str) -> None:
        """Note a change."""
        self._journal(collection).add(seq, (key, op), 0)

    def room(self, collection: str) -> int:
        """Return how many earlier changes can be taken in."""
        journal = self._journals.get(collection)
        return self._most if journal is None else min(self._most, 2 * self._most - len(journal))

    def extend(self, collection: str, since: str, earlier: Iterable[tuple[str, Hashable, str]]) -> None:
        """Take in what happened after `since` and up to the floor, oldest first."""
        self._journal(collection).extend(since, ((seq, (key, op), 0) for seq, key, op in earlier))

    def since(self, collection: str, seq: str) -> dict[Hashable, Touch] | None:
        """Return what changed after the position, the oldest first; None where that is not known any more."""
        journal = self._journals.get(collection)
        if journal is None:
            return {} if self._begin and seq >= self._begin else None
        recent = journal.since(seq, len(journal))
        if recent is None:
            return None
        touched: dict[Hashable, Touch] = {}
        for _, (key, op), _ in recent:
            earlier = touched.pop(key, None)
            touched[key] = Touch(op == "I" if earlier is None else earlier.is_new, op)
        return touched

    def _journal(self, collection: str) -> Journal[tuple[Hashable, str]]:
        journal = self._journals.get(collection)
        if journal is None:
            journal = self._journals[collection] = Journal(self._most, 0)
            journal.begin(self._begin)
        return journal
