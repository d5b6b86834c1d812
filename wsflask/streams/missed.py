"""What those who come back have missed, found by user and by group."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Generic, Protocol, TypeVar

__all__ = ["Addressed", "Missed"]

Item = TypeVar("Item")


class Addressed(Protocol):
    """Whom an item is for: everyone, or the union of some users and groups."""

    @property
    def everyone(self) -> bool: ...
    @property
    def users(self) -> AbstractSet[str]: ...
    @property
    def groups(self) -> AbstractSet[str]: ...


class Missed(Generic[Item]):
    """Items that some users may have missed; the work grows with the items that are theirs, not with all times all.

    Args:
        entries: position, item and size of each, oldest first.
        addressed: tells whom an item is for.
        users: ids of those who ask.
        groups: all that these are in.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, Item, int]],
        addressed: Callable[[Item], Addressed],
        users: AbstractSet[str],
        groups: AbstractSet[str],
    ) -> None:
        self._entries = entries
        self._everyone: list[int] = []
        self._by_user: dict[str, list[int]] = {}
        self._by_group: dict[str, list[int]] = {}
        for number, (_, item, _) in enumerate(entries):
            to = addressed(item)
            if to.everyone:
                self._everyone.append(number)
                continue
            for user_id in to.users & users:
                self._by_user.setdefault(user_id, []).append(number)
            for group in to.groups & groups:
                self._by_group.setdefault(group, []).append(number)

    @property
    def end(self) -> str:
        """The position of the last item; "" if there is none."""
        return self._entries[-1][0] if self._entries else ""

    def of(self, user_id: str, groups: AbstractSet[str], since: str) -> Iterator[tuple[str, Item, int]]:
        """Yield what a user has missed after a position, each once, oldest first."""
        own = (self._by_group[group] for group in groups if group in self._by_group)
        lists = [self._everyone, self._by_user.get(user_id, []), *own]
        first = bisect_right(self._entries, since, key=lambda entry: entry[0])
        last = -1
        for number in heapq.merge(*(_from(each, first) for each in lists if each)):
            if number != last:
                last = number
                yield self._entries[number]


def _from(numbers: list[int], first: int) -> Iterator[int]:
    """Yield those from `first` on; nothing is copied, as thousands may go through the same list."""
    for place in range(bisect_right(numbers, first - 1), len(numbers)):
        yield numbers[place]
