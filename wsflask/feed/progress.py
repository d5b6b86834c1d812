"""How far the change stream has been read, for collections that join at different times."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from .base import Namespace

__all__ = ["Progress", "Token"]

Token = Mapping[str, Any]


class Progress:
    """The resume token, and what was handed on before it.

    A collection that is to be watched too needs another stream. What was written to it since then may lie before the
    place that the old stream has reached meanwhile, so the new one starts where the old one was when it was asked for,
    and what the old one has told already is not told again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: frozenset[Namespace] = frozenset()
        self._opened: frozenset[Namespace] = frozenset()
        self._restart: Token | None = None
        self._told: dict[Namespace, str] = {}
        #: Where a stream goes on; None: at the present.
        self.token: Token | None = None
        #: Every change up to here was handed on.
        self.position = ""

    @property
    def wanted(self) -> frozenset[Namespace]:
        """The collections to be watched."""
        return self._wanted

    @property
    def is_current(self) -> bool:
        """Whether the stream that `reopen()` was called for has every collection that is wanted by now."""
        return self._opened == self._wanted

    def want(self, namespaces: frozenset[Namespace]) -> None:
        """Watch these collections too, from now on."""
        with self._lock:
            if namespaces <= self._wanted:
                return
            self._wanted |= namespaces
            if self.token is not None and (self._restart is None or self.token["_data"] < self._restart["_data"]):
                self._restart = self.token

    def reopen(self) -> frozenset[Namespace]:
        """Return the collections for the next stream, and put the token where it has to start."""
        with self._lock:
            if self.token is not None:
                told = self.token["_data"]
                for namespace in self._opened:
                    self._told[namespace] = max(told, self._told.get(namespace, ""))
                if self._restart is not None:
                    self.token = self._restart
            self._restart = None
            self._opened = self._wanted
            return self._opened

    def is_told(self, seq: str, namespaces: Iterable[Namespace]) -> bool:
        """Return whether an earlier stream has told what happened at this position to one of the collections."""
        return any(seq <= self._told.get(namespace, "") for namespace in namespaces)

    def advance(self, token: Token | None) -> None:
        """Note that everything up to the token was handed on."""
        if token is not None:
            with self._lock:
                self.token = token
                self.position = max(self.position, token["_data"])

    def lose(self) -> None:
        """Forget the position: it can not be taken up again, and the next may even sort before it."""
        with self._lock:
            self.token = self._restart = None
            self.position = ""
            self._told.clear()
