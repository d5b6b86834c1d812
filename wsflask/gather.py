"""Do one piece of work for all that come at about the same time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .tasks import Task, spawn

__all__ = ["Gather"]

_log = logging.getLogger(__name__)

#: In a storm of reconnects a query then serves dozens.
_PAUSE = 0.01

_Item = TypeVar("_Item")


class Gather(Generic[_Item]):
    """Hand items over in rounds, instead of one query for each.

    Who comes alone is served at once. Who comes while a round is under way, or shortly after it, waits for the next,
    together with all who come meanwhile: each round begins after its items have come. Nobody waits in a greenlet of his
    own; there is one for the rounds, while there are any.

    Args:
        name: of the greenlet or thread.
        work: gets the items of a round, in the order in which they came. May switch; has to handle its own errors.
        give_up: gets the items of a round that was broken off: its greenlet was killed, or `work` failed after all.
        limit: items in one round.
        pause: seconds between two rounds, in which others may come.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[_Item]], None],
        give_up: Callable[[list[_Item]], None],
        *,
        limit: int = 500,
        pause: float = _PAUSE,
    ) -> None:
        self._name = name
        self._work = work
        self._give_up = give_up
        self._limit = limit
        self._pause = pause
        self._items: list[_Item] = []
        self._task: Task | None = None
        self._lock = threading.Lock()

    def add(self, item: _Item) -> None:
        """Have the item worked on soon; never switches."""
        with self._lock:
            self._items.append(item)
            if self._task is None or not self._task.is_alive:
                self._task = spawn(self._name, self._run)

    def withdraw(self) -> list[_Item]:
        """Return the items that wait for a round, which they do no more."""
        with self._lock:
            items, self._items = self._items, []
            return items

    def _run(self) -> None:
        try:
            while items := self._next():
                self._round(items)
                time.sleep(self._pause)
        except BaseException:
            with self._lock:  # The greenlet was killed: the others still wait.
                self._task = spawn(self._name, self._run) if self._items else None
            raise

    def _next(self) -> list[_Item]:
        with self._lock:
            items, self._items = self._items[: self._limit], self._items[self._limit :]
            if not items:
                self._task = None
            return items

    def _round(self, items: list[_Item]) -> None:
        try:
            self._work(items)
        except Exception:
            _log.exception("%s failed for %d", self._name, len(items))
            self._give_up(items)
        except BaseException:
            self._give_up(items)
            raise
