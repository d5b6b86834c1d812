"""A few at a time, the others in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate"]


class _Waiter(threading.Event):
    """Set when it is its turn; gives up when that takes too long."""

    has_given_up = False


class Gate:
    """Lets some through at the same time.

    Args:
        places: how many.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many wait, with those who have given up lately."""
        return len(self._waiting)

    @contextmanager
    def turn(self, timeout: float) -> Iterator[bool]:
        """Wait for one's turn, which lasts as long as the block; yield whether it came within `timeout` seconds.

        May switch.
        """
        is_in = self._enter(timeout)
        try:
            yield is_in
        finally:
            if is_in:
                self._leave()

    def _enter(self, timeout: float) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            waiter = _Waiter()
            self._waiting.append(waiter)
        try:
            waiter.wait(timeout)
        except BaseException:  # the greenlet is killed, perhaps in the moment in which it is its turn
            with self._lock:
                waiter.has_given_up = True
            if waiter.is_set():
                self._leave()
            raise
        with self._lock:
            waiter.has_given_up = not waiter.is_set()
        return not waiter.has_given_up

    def _leave(self) -> None:
        with self._lock:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.has_given_up:
                    waiter.set()
                    return
            self._free += 1
