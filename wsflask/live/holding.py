"""Views whose rows are held for a moment: a crowd that comes for the same view costs one query."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .view import Loaded, View

__all__ = ["Holding"]

#: Seconds that rows are held after they were used last, and at most. Thousands who come at once are all accepted before
#: most of them are let in, which takes some seconds.
_SECONDS, _LONGEST = 5.0, 20.0


@dataclass(slots=True)
class _Held:
    until: float
    longest: float
    size: int


class Holding:
    """Which views hold their rows, and until when. Guarded by the lock of `LiveViews`.

    Args:
        most: bytes of rows that are held in all; a view that does not fit in holds none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._views: dict[View, _Held] = {}

    def begin(self, view: View, loaded: Loaded) -> None:
        """Note that the view holds what it has just loaded."""
        self._forget(view)
        if view.holds_rows:
            return
        size = sum(len(row.body) for row in loaded.rows.values())
        if self._size + size > self._most:
            view.let_go()
            return
        now = time.monotonic()
        self._size += size
        self._views[view] = _Held(now + _SECONDS, now + _LONGEST, size)

    def use(self, view: View) -> None:
        """Note that somebody got the rows that the view holds."""
        held = self._views.get(view)
        if held is not None:
            held.until = min(time.monotonic() + _SECONDS, held.longest)

    def end(self) -> None:
        """Have the views let go of their rows that nobody came for lately."""
        now = time.monotonic()
        for view, held in tuple(self._views.items()):
            if held.until < now:
                view.let_go()
                self._forget(view)

    def _forget(self, view: View) -> None:
        held = self._views.pop(view, None)
        if held is not None:
            self._size -= held.size
