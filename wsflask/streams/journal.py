"""What happened lately, whole from a floor on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

__all__ = ["Journal"]

Item = TypeVar("Item")


class Journal(Generic[Item]):
    """Items in the order of their positions; the oldest give way to new ones.

    Args:
        most: items that are remembered, and as many again that were read from the history.
        most_bytes: the same for their sizes, in bytes.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        #: Position after which every item is known; "" before `begin`.
        self.floor = ""
        self._most = 2 * most
        self._most_bytes = 2 * most_bytes
        self._seqs: list[str] = []
        self._entries: list[tuple[str, Item, int]] = []
        #: Where the known ones begin in both lists.
        self._first = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._seqs) - self._first

    @property
    def end(self) -> str:
        """Position of the newest item; of the floor if there is none."""
        return self._seqs[-1] if len(self) else self.floor

    def begin(self, position: str) -> None:
        """Forget everything; what happens after the position will be known."""
        self.floor = position
        self._seqs, self._entries, self._first, self._bytes = [], [], 0, 0

    def add(self, seq: str, item: Item, size: int) -> bool:
        """Note an item; return whether it was new: a feed may tell the latest again."""
        if not self.floor or seq <= self.end:
            return False
        self._seqs.append(seq)
        self._entries.append((seq, item, size))
        self._bytes += size
        while len(self) and (len(self) > self._most or self._bytes > self._most_bytes):
            self._drop_first()
        return True

    def has_room(self, earlier: Sequence[tuple[str, Item, int]]) -> bool:
        """Return whether `extend` may take these in, beside what is known."""
        size = sum(entry[2] for entry in earlier)
        return len(self) + len(earlier) <= self._most and self._bytes + size <= self._most_bytes

    def extend(self, since: str, earlier: Iterable[tuple[str, Item, int]]) -> None:
        """Take in what happened after `since` and up to the floor, oldest first."""
        own = self._entries[self._first :]
        # What is of the floor's own moment may be known.
        taken = [entry for entry in earlier if not own or entry[0] < own[0][0]]
        self._entries = taken + own
        self._seqs = [entry[0] for entry in self._entries]
        self._first, self._bytes = 0, sum(entry[2] for entry in self._entries)
        self.floor = since

    def since(self, seq: str, most: int) -> list[tuple[str, Item, int]] | None:
        """Return the first `most` items after the position, oldest first; None: not known that far back."""
        if not self.floor or seq < self.floor:
            return None
        start = bisect_right(self._seqs, seq, lo=self._first)
        return self._entries[start : start + most]

    def _drop_first(self) -> None:
        self.floor, _, size = self._entries[self._first]
        self._first += 1
        self._bytes -= size
        if self._first > len(self):
            del self._seqs[: self._first], self._entries[: self._first]
            self._first = 0
