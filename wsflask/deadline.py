"""The one deadline of what a client asks: all that it waits for, one thing after another, counts toward it."""

from __future__ import annotations

import contextvars
import time

from .errors import Refusal

__all__ = ["SHARE", "TimeIsUp", "asked_at", "ended", "seconds_left"]

#: Share of its time that what is begun has to have left. A call of the database that runs out of time costs its
#: connection, and while many are made anew nobody else gets one.
SHARE = 0.1
#: Share of its time that is kept for the way of the answer.
_WAY_BACK = 0.05


class TimeIsUp(Refusal):
    """Refuse what nobody may wait for any more; what the client asked may have been done in part."""

    def __init__(self, reason: str) -> None:
        super().__init__("unavailable", reason)


_asked: contextvars.ContextVar[float] = contextvars.ContextVar("wsflask.asked")


def asked_at(moment: float) -> contextvars.Token[float]:
    """Note when what is handled from here on arrived, as monotonic time; `ended` takes what is returned."""
    return _asked.set(moment)


def ended(token: contextvars.Token[float]) -> None:
    """Note that it is handled."""
    _asked.reset(token)


def seconds_left(timeout: float) -> float:
    """Return how long a wait may take now, if clients get an answer within `timeout` seconds after they have asked.

    Where nobody has asked, it is all of `timeout`.

    Raises:
        TimeIsUp: the time is about up: to begin now would only make those late who wait behind this.
    """
    moment = _asked.get(None)
    left = timeout if moment is None else moment + (1 - _WAY_BACK) * timeout - time.monotonic()
    if left <= SHARE * timeout:
        raise TimeIsUp("the time is up")
    return min(left, timeout)
