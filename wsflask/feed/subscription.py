"""The changes of some collections, for one consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from .changes import Change, Gap
from .positions import moment_before, moment_of

__all__ = ["Namespace", "Subscription"]

#: Database and collection.
Namespace = tuple[str, str]


class Subscription:
    """The changes of some collections, from the moment it was made; take them from one greenlet or thread.

    It holds at most `backlog` changes: when they are not taken in time, all of them give way to one `Gap`.
    """

    def __init__(
        self,
        name: str,
        namespaces: frozenset[Namespace],
        backlog: int,
        on_close: Callable[[Subscription], None],
        start: str = "",
    ) -> None:
        self.name = name
        self.namespaces = namespaces
        self._backlog = backlog
        self._on_close = on_close
        self._items: deque[Change | Gap] = deque()
        #: Everything up to this moment was put.
        self._reached = start
        #: What is not later than this was put before, and may be told again.
        self._told = start
        self._awaited: str | None = None
        self._filled = threading.Condition(threading.Lock())
        self._is_closed = False
        self._taken = self._dropped = self._gaps = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change | Gap]:
        """Yield what arrives until `close()`. May switch."""
        while not self._is_closed:
            item = self.take()
            if item is not None:
                yield item

    def take(self, timeout: float | None = None) -> Change | Gap | None:
        """Return the next item; None when closed, woken, or when none came within `timeout` seconds. May switch."""
        with self._filled:
            self._filled.wait_for(self._has_news, timeout)
            self._awaited = self._awaited if self._items else None
            if not self._items:
                return None
            self._taken += 1
            return self._items.popleft()

    def take_many(self, most: int, timeout: float | None = None) -> list[Change | Gap]:
        """Return the next items, about `most`: those of one moment stay together. May switch.

        None at all come when it is closed or woken, or when nothing came within `timeout` seconds.
        """
        with self._filled:
            self._filled.wait_for(self._has_news, timeout)
            items = self._items
            taken: list[Change | Gap] = []
            self._awaited = self._awaited if items else None
            taken.extend(items.popleft() for _ in range(min(most, len(items))))
            while items and moment_of(items[0].seq) == moment_of(taken[-1].seq):
                taken.append(items.popleft())
            self._taken += len(taken)
            return taken

    @property
    def position(self) -> str:
        """The moment up to which everything has been taken; it moves on quiet collections too."""
        with self._filled:
            return moment_before(self._items[0].seq) if self._items else self._reached

    def wake_at(self, position: str) -> None:
        """Have the consumer's next, or present, take end once, without an item, when `position` has been reached.

        Only one position is awaited, the lowest; it is forgotten whenever a take ends without an item.
        """
        with self._filled:
            moment = moment_of(position)
            self._awaited = moment if self._awaited is None else min(moment, self._awaited)
            if self._has_news():
                self._filled.notify()

    def put(self, items: Sequence[Change | Gap], reached: str) -> None:
        """Add items, now that everything up to the moment `reached` is told; never waits for the consumer.

        Called by the feed.
        """
        with self._filled:
            if self._is_closed:
                return
            if items and moment_of(items[0].seq) <= self._told:
                items = [item for item in items if moment_of(item.seq) > self._told]
            if len(self._items) + len(items) > self._backlog:
                self._give_way(Gap(items[-1].seq, "the subscription fell behind"), len(items))
            else:
                self._items.extend(items)
            self._reached = max(self._reached, reached)
            if self._has_news():
                self._filled.notify()

    def skip_told(self) -> None:
        """Leave out, from now on, what was put before: the feed begins to tell some of it again."""
        with self._filled:
            self._told = self._reached

    def lose(self, gap: Gap) -> None:
        """Have a gap take the place of all that waits; called by the feed. What follows may even sort before it."""
        with self._filled:
            if not self._is_closed:
                self._give_way(gap, 0)
                self._reached = self._told = moment_of(gap.seq)
                self._filled.notify()

    @property
    def reached(self) -> str:
        """The moment up to which everything was put."""
        return self._reached

    def _give_way(self, gap: Gap, more: int) -> None:
        self._dropped += len(self._items) + more
        self._gaps += 1
        self._items.clear()
        self._items.append(gap)

    def _has_news(self) -> bool:
        if self._items or self._is_closed:
            return True
        return self._awaited is not None and self._awaited <= self._reached

    def close(self) -> None:
        """End the iteration at once, also one that waits. May be called twice."""
        with self._filled:
            self._is_closed = True
            self._items.clear()
            self._filled.notify_all()
        self._on_close(self)

    @property
    def is_closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._is_closed

    def statistics(self) -> dict[str, int]:
        """Return how many items wait, were taken, were dropped, and how many gaps there were."""
        with self._filled:
            return {"waiting": len(self._items), "taken": self._taken, "dropped": self._dropped, "gaps": self._gaps}
