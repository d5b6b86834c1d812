"""How long a request to subscribe waits before it is refused as unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Patience"]

#: Rows may take this many times the time-out of one query while the database answers others: a load may need several
#: queries, and waits for its turn.
_QUERIES = 3
#: Seconds to wait where the database is away already.
_BRIEF = 0.5


class Patience:
    """Begins when it is made.

    Args:
        timeout: seconds that one query may take; who asks has an answer within these where the database is away.
        is_answering: whether the database answers at this moment.
    """

    def __init__(self, timeout: float, is_answering: Callable[[], bool] = lambda: True) -> None:
        self._timeout = timeout
        self._until = time.monotonic() + (timeout if is_answering() else min(timeout, _BRIEF))
        self._is_answering = is_answering

    @property
    def left(self) -> float:
        """Seconds that are left of the first time-out, at least 0."""
        return max(self._until - time.monotonic(), 0.0)

    def wait(self, wait: Callable[[float], bool]) -> bool:
        """Wait as long as makes sense; return whether it came to that. May switch.

        Args:
            wait: waits for some seconds, and returns whether it came to that.
        """
        if wait(self.left):
            return True
        return self._is_answering() and wait((_QUERIES - 1) * self._timeout)
