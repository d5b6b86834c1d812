"""Catch up, in a greenlet of its own, those who wait at a stream."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from pymongo.errors import PyMongoError

from ..gather import Gather
from .stream import Stream

__all__ = ["Rounds"]

_log = logging.getLogger(__name__)

#: Seconds between two rounds: who comes meanwhile shares the next, and the clients take what they were sent.
_PAUSE = 0.01
#: And so much more for each who waits: about what it costs to look after him, in seconds, when there is nothing to do.
_EACH = 1e-5


class Rounds:
    """Call `Stream.catch_up` as long as somebody waits; there is one greenlet, while there is anything to do.

    Args:
        name: of the greenlet or thread.
        stream: returns the stream.
    """

    def __init__(self, name: str, stream: Callable[[], Stream[Any]]) -> None:
        self._stream = stream
        self._gather: Gather[None] = Gather(name, self._run, self._give_up, pause=_PAUSE)

    def wake(self) -> None:
        """Begin, unless it is under way; never switches."""
        self._gather.add(None)

    def _run(self, _: list[None]) -> None:
        try:
            while left := self._stream().catch_up():
                time.sleep(_PAUSE + _EACH * left)
        except PyMongoError as error:
            _log.error("the history could not be read: %s", type(error).__name__)

    def _give_up(self, _: list[None]) -> None:
        self._stream().turn_away()
