"""Who is connected to this process, and the fan-out of one message to many of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .connection import Connection, Counts, Outflow
from .identity import Identity
from .protocol.codes import CloseCode
from .protocol.messages import Message

__all__ = ["EVERYONE", "Hub", "Recipients", "sign_out", "turn_away"]


@dataclass(frozen=True, slots=True)
class Recipients:
    """Whom a message is for: everyone, or the union of some users and groups."""

    everyone: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


EVERYONE = Recipients(everyone=True)


class Hub:
    """The connections of this process, by user and by group."""

    def __init__(self) -> None:
        #: What has happened to the clients of this process.
        self.counts = Counts()
        #: Writes for the connections of an event loop.
        self.outflow = Outflow(self.counts)
        #: Those whose session is being looked up: they get nothing yet.
        self.arriving: dict[Connection, None] = {}
        self._all: dict[Connection, None] = {}
        #: A tuple, not a dict: most users have one connection, nobody has more than a few.
        self._by_user: dict[str, tuple[Connection, ...]] = {}
        self._by_group: dict[str, dict[Connection, None]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> None:
        """Take the connection in."""
        with self._lock:
            self._all[connection] = None
            self._by_user[connection.user_id] = (*self._by_user.get(connection.user_id, ()), connection)
            self._join(connection)

    def remove(self, connection: Connection) -> bool:
        """Let the connection go; return whether it was there."""
        with self._lock:
            if self._all.pop(connection, 0) == 0:
                return False
            others = tuple(other for other in self._by_user[connection.user_id] if other is not connection)
            if others:
                self._by_user[connection.user_id] = others
            else:
                del self._by_user[connection.user_id]
            self._quit(connection)
            return True

    def become(self, connection: Connection, identity: Identity) -> bool:
        """Have the connection belong to the same user as he is now; return whether it was taken in."""
        with self._lock:
            is_in = connection in self._all
            if is_in:
                self._quit(connection)
            connection.identity = identity
            if is_in:
                self._join(connection)
            return is_in

    def _join(self, connection: Connection) -> None:
        for group in connection.groups:
            self._by_group.setdefault(group, {})[connection] = None

    def _quit(self, connection: Connection) -> None:
        for group in connection.groups:
            self._by_group[group].pop(connection)
            if not self._by_group[group]:
                del self._by_group[group]

    def connections(self) -> list[Connection]:
        """Return all connections, the oldest first."""
        return list(self._all)

    def connections_of(self, user_id: str) -> tuple[Connection, ...]:
        """Return the user's connections: one for each tab and device."""
        return self._by_user.get(user_id, ())

    def user_ids(self) -> list[str]:
        """Return the ids of the users that are connected here."""
        return list(self._by_user)

    def select(self, to: Recipients) -> list[Connection]:
        """Return the connections of these recipients, each once."""
        if to.everyone:
            return self.connections()
        found: dict[Connection, None] = {}
        for user_id in to.users:
            found.update(dict.fromkeys(self._by_user.get(user_id, ())))
        for group in to.groups:
            found.update(self._by_group.get(group, {}))
        return list(found)

    def statistics(self) -> dict[str, Any]:
        """Return who is connected, what waits for them, and what has happened since the process began."""
        waiting = [size for connection in self.connections() if (size := connection.waiting_bytes)]
        counts = self.counts
        return {
            "connections": len(self._all),
            "arriving": len(self.arriving),
            "users": len(self._by_user),
            "waiting": len(waiting),
            "waiting_bytes": sum(waiting),
            "sent": counts.sent,
            "received": counts.received,
            "conflated": counts.conflated,
            "too_slow": counts.closed[CloseCode.SLOW_CONSUMER],
            "closed": dict(sorted(counts.closed.items())),
        }

    def send(self, message: Message, connections: Iterable[Connection]) -> None:
        """Send one message to many: encoded and framed once, never waiting for a client.

        It leaves when the calling greenlet next waits; of several messages to the same clients each gets one write.
        Between every 512 clients the event loop serves whoever has sent something.
        """
        self.outflow.fan_out(message, connections)


def sign_out(connections: Iterable[Connection]) -> None:
    """Close the connections of those who may have nothing any more, also of what waits for them already."""
    for connection in connections:
        if not connection.revoke(CloseCode.SESSION_ENDED, "signed out"):
            connection.close(CloseCode.SESSION_ENDED, "signed out")


def turn_away(connections: Iterable[Connection]) -> None:
    """Have clients come again later that cannot be served now."""
    for connection in connections:
        connection.close(CloseCode.OVERLOAD, "try again")
