"""Whether the database is there, and word of it to the clients."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext

import pymongo

from .connection import Connection
from .feed.base import Feed
from .hub import Hub
from .protocol.messages import V1, Message

__all__ = ["Health"]

_log = logging.getLogger(__name__)

#: Seconds without an answer of the database after which it counts as away. The feed asks ten times a second; to elect
#: another primary takes two where the old one steps down. With a look each second users know within five.
_SILENCE = 3.0
#: Seconds that a client's query may take while the database is away: what waits behind it is answered in time too.
_BRIEF = 0.5


class Health:
    """Tell clients of the form v1 when the database has gone away, and when it is back.

    Args:
        hub: whose connections are told.
    """

    def __init__(self, hub: Hub) -> None:
        #: Whether clients get nothing new, and commands are refused.
        self.is_degraded = False
        self._hub = hub

    def look(self, feed: Feed) -> None:
        """Look whether something has changed; called about once a second."""
        silence = time.monotonic() - feed.heard
        if self.is_degraded == (silence > _SILENCE):
            return
        self.is_degraded = not self.is_degraded
        if self.is_degraded:
            _log.warning("the database does not answer; clients are told, and stay")
        else:
            _log.warning("the database answers again")
        self._hub.send(self._message(), [each for each in self._hub.connections() if each.form == V1])

    def haste(self) -> AbstractContextManager[None]:
        """Return what bounds the queries for a client's message while the database is away; else nothing does."""
        return pymongo.timeout(_BRIEF) if self.is_degraded else nullcontext()

    def patience(self, timeout: float) -> float:
        """Return how long a client's query may take now, which else may take `timeout` seconds."""
        return min(_BRIEF, timeout) if self.is_degraded else timeout

    def entered(self, connection: Connection) -> None:
        """Tell one who has just been welcomed, if the database is away."""
        if self.is_degraded and connection.form == V1:
            connection.send(self._message())

    def _message(self) -> Message:
        return Message("health", {"degraded": self.is_degraded}, key="degraded")
