"""The notifications to everyone: held once in a process, whatever the number of its users."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Mapping

__all__ = ["Bulletin"]


class Bulletin:
    """Ids and categories in the order of ids. An id is its 12 bytes, which compare faster than an ObjectId."""

    __slots__ = ("_categories", "_keys")

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._categories: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return self.category(key) is not None

    def category(self, key: bytes) -> int | None:
        """Return the category of what has this id; None if that is not to everyone, or is no more."""
        place = bisect_left(self._keys, key)
        return self._categories[place] if self._is_at(place, key) else None

    def load(self, found: Mapping[bytes, int]) -> set[bytes]:
        """Hold these and nothing else; return the ids that were not held before."""
        before = set(self._keys)
        self._keys = sorted(found)
        self._categories = [found[key] for key in self._keys]
        return found.keys() - before

    def put(self, key: bytes, category: int) -> None:
        """Take one in, or change its category."""
        place = bisect_left(self._keys, key)
        if self._is_at(place, key):
            self._categories[place] = category
        else:
            self._keys.insert(place, key)
            self._categories.insert(place, category)

    def discard(self, key: bytes) -> None:
        """Forget one, if it is there."""
        place = bisect_left(self._keys, key)
        if self._is_at(place, key):
            del self._keys[place], self._categories[place]

    def unread(self, before: bytes, read: Iterable[bytes]) -> int:
        """Return how many lie beyond the watermark, those aside that were read one by one."""
        beyond = len(self._keys) - bisect_right(self._keys, before)
        return beyond - sum(key > before and key in self for key in read)

    def newest(self, before: bytes = b"", read: Container[bytes] = ()) -> tuple[bytes, int | None]:
        """Return id and category of the newest beyond the watermark that was not read; b"" and None if all were."""
        for place in range(len(self._keys) - 1, -1, -1):
            key = self._keys[place]
            if key <= before:
                break
            if key not in read:
                return key, self._categories[place]
        return b"", None

    def _is_at(self, place: int, key: bytes) -> bool:
        return place < len(self._keys) and self._keys[place] == key
