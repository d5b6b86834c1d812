"""The one deadline of what a client asks: all that it waits for, one thing after another, counts toward it."""

from __future__ import annotations

import contextvars
import time

__all__ = ["asked_at", "ended", "seconds_left"]

#: Seconds that a wait may take in any case: enough for a database that answers, where a client has sent much at once
#: and its messages have waited for each other.
_LEAST = 0.1

_asked: contextvars.ContextVar[float] = contextvars.ContextVar("wsflask.asked")


def asked_at(moment: float) -> contextvars.Token[float]:
    """Note when what is handled from here on arrived, as monotonic time; `ended` takes what is returned."""
    return _asked.set(moment)


def ended(token: contextvars.Token[float]) -> None:
    """Note that it is handled."""
    _asked.reset(token)


def seconds_left(timeout: float) -> float:
    """Return how long a wait may take now, if clients get an answer `timeout` seconds after they have asked.

    Where nobody has asked, it is all of `timeout`.
    """
    moment = _asked.get(None)
    if moment is None:
        return timeout
    return min(timeout, max(moment + timeout - time.monotonic(), _LEAST))
