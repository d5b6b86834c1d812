"""A few at a time, the others in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Gate", "Turn"]


class _Waiter:
    """Who waits; gives up when that takes too long."""

    __slots__ = ("bell", "has_given_up")

    def __init__(self) -> None:
        #: Rung when it is its turn.
        self.bell = threading.Event()
        self.has_given_up = False


class Turn:
    """A place behind the gate, until it is given back."""

    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate

    def end(self) -> None:
        """Give the place to the next one; may be called twice."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave()


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

    def enter(self, timeout: float) -> Turn | None:
        """Wait for one's turn, and return it, to be ended; None: it has not come within `timeout` seconds.

        May switch.
        """
        with self._lock:
            if self._free:
                self._free -= 1
                return Turn(self)
            waiter = _Waiter()
            self._waiting.append(waiter)
        try:
            waiter.bell.wait(timeout)
        except BaseException:  # the greenlet is killed, perhaps in the moment in which it is its turn
            with self._lock:
                waiter.has_given_up = True
            if waiter.bell.is_set():
                self._leave()
            raise
        with self._lock:
            waiter.has_given_up = not waiter.bell.is_set()
        return None if waiter.has_given_up else Turn(self)

    def _leave(self) -> None:
        with self._lock:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.has_given_up:
                    waiter.bell.set()
                    return
            self._free += 1
