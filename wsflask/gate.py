"""A few at a time, the others in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Gate", "Turn"]


class _Waiter:
    """Who waits; gives up when that takes too long. Thousands may: an Event takes three times as long to make."""

    __slots__ = ("_bell", "has_given_up", "is_called")

    def __init__(self) -> None:
        self._bell = threading.Lock()
        self._bell.acquire()
        #: Whether it is its turn.
        self.is_called = False
        self.has_given_up = False

    def wait(self, timeout: float) -> None:
        """Return when it is called, or time is over. May switch."""
        self._bell.acquire(timeout=timeout)

    def call(self) -> None:
        """Tell that it is its turn."""
        self.is_called = True
        self._bell.release()


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
            waiter.wait(timeout)
        except BaseException:  # the greenlet is killed, perhaps in the moment in which it is its turn
            with self._lock:
                waiter.has_given_up = True
            if waiter.is_called:
                self._leave()
            raise
        with self._lock:
            waiter.has_given_up = not waiter.is_called
        return None if waiter.has_given_up else Turn(self)

    def _leave(self) -> None:
        with self._lock:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.has_given_up:
                    waiter.call()
                    return
            self._free += 1
