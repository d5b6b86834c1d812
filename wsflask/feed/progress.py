"""How far the database has been read, and which of its collections."""

from __future__ import annotations

import threading

from .subscription import Namespace

__all__ = ["Progress"]


class Progress:
    """Collections that join at different times, and the moment up to which they were read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: frozenset[Namespace] = frozenset()
        #: The collections of the present stream.
        self.opened: frozenset[Namespace] = frozenset()
        #: Every change up to here was handed on; "" before there is a stream, and after its place was lost.
        self.position = ""

    @property
    def is_current(self) -> bool:
        """Whether the stream that `reopen()` was called for has every collection that is wanted by now."""
        return self.opened == self._wanted

    def want(self, namespaces: frozenset[Namespace]) -> None:
        """Watch these collections too, from now on."""
        with self._lock:
            self._wanted |= namespaces

    @property
    def wanted(self) -> frozenset[Namespace]:
        """The collections that anybody here watches, or did."""
        return self._wanted

    def reopen(self) -> frozenset[Namespace]:
        """Return the collections for the next stream."""
        with self._lock:
            self.opened = self._wanted
            return self.opened

    def advance(self, position: str) -> None:
        """Note that everything up to the position was handed on; a stream that repeats something changes nothing."""
        self.position = max(self.position, position)

    def lose(self) -> None:
        """Forget the position: it can not be taken up again, and the next may even sort before it."""
        self.position = ""
