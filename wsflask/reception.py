"""From a handshake that was accepted to a client that services know."""

from __future__ import annotations

import logging
from typing import Protocol

import pymongo

from .config import Settings
from .connection import Connection
from .dispatch import Dispatcher
from .gather import Gather
from .hub import Hub, turn_away
from .outage import log_failure
from .protocol.codes import CloseCode
from .session import Sessions

__all__ = ["Front", "Reception"]

_log = logging.getLogger(__name__)


class Front(Protocol):
    """The server, as its reception sees it."""

    hub: Hub
    settings: Settings

    @property
    def sessions(self) -> Sessions: ...
    @property
    def patience(self) -> float: ...
    def enter(self, connection: Connection) -> None: ...


class Reception:
    """Let those in whose sessions were not ended; nothing of a client is handled before.

    Those who come at the same time are asked about together, and nobody waits in a greenlet of his own.
    """

    def __init__(self, front: Front, dispatcher: Dispatcher) -> None:
        self._front = front
        self._dispatcher = dispatcher
        self._arrivals: Gather[Connection] = Gather("wsflask reception", self._admit, turn_away)

    def receive(self, connection: Connection) -> None:
        """Let the client in, as soon as its session has been looked up. May switch unless it is parked."""
        connection.hold()
        self._front.hub.arriving[connection] = None
        if connection.is_parked:
            self._arrivals.add(connection)
        else:
            self._admit([connection])

    def _admit(self, connections: list[Connection]) -> None:
        try:
            with pymongo.timeout(self._front.patience):
                ended = self._front.sessions.ended(connections)
        except Exception as error:
            log_failure(_log, error, "sessions could not be checked")
            turn_away([*connections, *self._arrivals.withdraw()])  # Not one round after another.
            return
        for connection in connections:
            try:
                self._let_in(connection, has_ended=connection.identity.session_id in ended)
            except Exception:
                _log.exception("connection %s could not be let in", connection.id)
                connection.close(CloseCode.INTERNAL_ERROR, "internal")

    def _let_in(self, connection: Connection, *, has_ended: bool) -> None:
        if has_ended:
            connection.close(CloseCode.SESSION_ENDED, "sign in")
            return
        self._front.hub.arriving.pop(connection, None)
        self._front.enter(connection)
        if connection.is_open:
            self._dispatcher.greet(connection)
        connection.release()
