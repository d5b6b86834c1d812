"""Do one piece of work for all that come at about the same time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .tasks import spawn

__all__ = ["Gather"]

_log = logging.getLogger(__name__)

#: Seconds between two rounds, in which others may come: in a storm of reconnects a query then serves dozens.
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
        limit: items in one round.
    """

    def __init__(self, name: str, work: Callable[[list[_Item]], None], *, limit: int = 500) -> None:
        self._name = name
        self._work = work
        self._limit = limit
        self._items: list[_Item] = []
        self._is_running = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: _Item) -> None:
        """Have the item worked on soon; never switches."""
        with self._lock:
            self._items.append(item)
            if self._is_running:
                return
            self._is_running = True
        spawn(self._name, self._run)

    def _run(self) -> None:
        is_over = False
        try:
            while True:
                with self._lock:
                    items, self._items = self._items[: self._limit], self._items[self._limit :]
                    if not items:
                        self._is_running = False
                        is_over = True
                        return
                try:
                    self._work(items)
                except Exception:
                    _log.exception("%s failed for %d", self._name, len(items))
                time.sleep(_PAUSE)
        finally:
            if not is_over:  # The greenlet was killed: the others still wait.
                spawn(self._name, self._run)
