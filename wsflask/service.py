"""The contract of a service: a channel, hooks that do nothing by default, and work of its own."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Protocol

from .documents import Publication
from .encoding import dumps
from .errors import ConfigError
from .hub import EVERYONE, Recipients
from .protocol.messages import Message

if TYPE_CHECKING:
    from .access.exposure import Exposures
    from .config import Settings
    from .connection import Connection
    from .feed.base import Feed
    from .hub import Hub

__all__ = ["Host", "Service"]


class Host(Protocol):
    """What a service sees of its server."""

    hub: Hub
    settings: Settings
    exposures: Exposures

    @property
    def feed(self) -> Feed:
        """The changes of the database, once the server has started."""

    @property
    def secret(self) -> bytes:
        """Key for values that clients hand back; the same in every worker."""

    def render_row(self, template: str, name: str, row: dict[str, Any]) -> str:
        """Return a row of a live page as HTML; the template knows it as `row` and under this name."""


class Service:
    """One channel of the server. Subclass it, name the `channel`, override the hooks that are needed.

    A service is given to `WebSocketServer(services=[...])` as a class, an instance or an import name.
    """

    #: The channel's name on the wire: `^[a-z][a-z0-9_.-]{0,63}$`.
    channel: str = ""

    def __init__(self, server: Host | None = None) -> None:
        self._server = server

    @property
    def server(self) -> Host:
        """The server this service runs in.

        Raises:
            ConfigError: the service was not given to a server yet.
        """
        if self._server is None:
            name = type(self).__name__
            raise ConfigError(f"{name} is not part of a server; give it to WebSocketServer(services=[…])")
        return self._server

    def bind(self, server: Host) -> None:
        """Note the server; called once before any hook."""
        self._server = server

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Greet a client that has just connected, before anything it sends is handled. May switch.

        A service that greets later, for many at once, calls `ws.hold()` here and `ws.release()` when it has.
        """

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        """Handle the payload of one message; one at a time for a connection. May switch.

        Returns:
            What the client gets as the reply. None: a request with an id gets null, unless `ws.reply` was called;
            one without gets nothing.

        Raises:
            Refusal: the client gets its code, and the socket stays open.
        """
        raise NotImplementedError

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        """Judge anew what the client may have: `user` and `ws.groups` are what they are now. May switch.

        Called for each connection of a user who has changed, or of whom `WebSocketServer.rights_changed` tells, one
        call at a time for a connection. Beside `on_connect` and `on_message`, and again after one that was under way.
        """

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        """Forget a client; nothing can be sent to it any more. In a greenlet of its own; may switch."""

    def run(self) -> None:
        """Do the service's own work, in a greenlet of its own; started again with backoff when it raises.

        Called once in each process, when its first client connects. Returning ends it for good.
        """

    def statistics(self) -> dict[str, Any]:
        """Return numbers on this process for `WebSocketServer.statistics`; none by default. Never switches."""
        return {}

    def send(self, ws: Connection, payload: Any, *, seq: str | None = None) -> None:
        """Send to one client of this process; never blocks."""
        ws.send(Message(self.channel, payload, seq=seq))

    def publish(self, payload: Any, *, to: Recipients | str = EVERYONE) -> None:
        """Send to recipients wherever they are connected, from any process or thread. May switch.

        Fire and forget: who is not connected does not get it. Written with majority, so that it returns when every
        worker's feed will see it.

        Args:
            to: `Recipients(users=…, groups=…)`, a user's id, or EVERYONE.
        """
        if isinstance(to, str):
            to = Recipients(users=(to,))
        publication = Publication(
            channel=self.channel,
            payload=dumps(payload).decode(),
            everyone=to.everyone,
            users=list(to.users),
            groups=list(to.groups),
        )
        if self._server is not None:
            kept = datetime.timedelta(seconds=self._server.settings.publication_seconds)
            publication.expires_dt = publication.created_dt + kept
        publication.save(write_concern={"w": "majority"})
