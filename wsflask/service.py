"""The contract of a service: a channel, hooks that do nothing by default, and work of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from bson import ObjectId

from .documents import KeptPublication, Publication
from .documents.transactions import majority
from .encoding import dumps
from .errors import ConfigError
from .hub import EVERYONE, Recipients
from .ledger import Ledger, command_id
from .protocol.messages import Message

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession

    from .access.exposure import Exposures
    from .config import Settings
    from .connection import Connection
    from .feed.base import Feed
    from .feed.bus import Bus
    from .hub import Hub
    from .streams.stream import Stream

__all__ = ["Host", "Service"]


class Host(Protocol):
    """What a service sees of its server."""

    hub: Hub
    settings: Settings
    exposures: Exposures
    bus: Bus | None

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
    #: Whether what is published here with `keep` can be resumed; not where the messages have positions of their own.
    keeps_publications = True
    #: The service's own stream of messages that can be resumed, if it has one.
    stream: Stream[Any] | None = None

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
        self._ledger = Ledger(server.settings)

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

    def on_reset(self, ws: Connection, user: Any) -> None:
        """Send the client what it needs: its place in the history of this channel is lost. May switch.

        It may have missed messages that were published with `keep`. Called after every service's `on_connect` when such
        a client has come back, and for all of this process when the feed itself has lost its place.
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
        """Send to one client of this process; never blocks.

        Args:
            seq: a position of the service's own, for clients that resume by themselves.

        Raises:
            ConfigError: clients would take it for a place among the publications that are kept.
        """
        if seq is not None and self.keeps_publications:
            name = type(self).__name__
            raise ConfigError(f"{name} sends positions of its own (seq=); it has to say keeps_publications = False")
        ws.send(Message(self.channel, payload, seq=seq))

    def once(self, ws: Connection, message: Any, apply: Callable[[], Any]) -> Any:
        """Return what `apply` returns, and have it take effect once for each `cmd_id` of the user. May switch.

        For `on_message`: `return self.once(ws, message, lambda: self.order(message))`. `apply` writes to the database,
        by MongoEngine's alias "default", and does nothing else: all of it is one transaction, which is tried again
        where others write the same documents, and undone when `apply` raises. A repeated command gets the answer of
        the first, for `WSFLASK_COMMAND_SECONDS`; one that was refused is tried anew. A standalone server has no
        transactions: there it takes effect at most once, and is not undone.

        Args:
            message: the payload that the client sent; without a `cmd_id`, each is applied.
            apply: returns the answer, as JSON at most `WSFLASK_COMMAND_ANSWER_BYTES`.

        Raises:
            Refusal: bad_data, there is something wrong with the `cmd_id`; unavailable, it is under way elsewhere; or
                what `apply` raises.
            PyMongoError: nobody knows whether it took effect; the client is told `unavailable`, and repeats it.
        """
        return self._ledger.once(self.channel, ws.user_id, command_id(message), apply)

    def publish(
        self,
        payload: Any,
        *,
        to: Recipients | Any = EVERYONE,
        keep: float | None = None,
        session: ClientSession | None = None,
    ) -> None:
        """Send to recipients wherever they are connected, from any process or thread. May switch.

        When it returns, a majority of the database has it, and every worker's feed will see it. In a transaction of
        MongoDB it is written there: it is published if that commits, and never else. Outside of one, and without
        `keep`, it goes through Redis instead where there is one (WSFLASK_REDIS_URL), and so perhaps before what was
        published with `keep` a moment earlier.

        Args:
            to: a user (object or id), `Recipients(users=…, groups=…)`, or EVERYONE.
            keep: seconds for which a client of the form v1 that was away still gets it when it comes back; None: who is
                not connected does not get it.
            session: of PyMongo, with the transaction to take part in; None: that of the context, if there is one.

        Raises:
            ConfigError: the messages of this channel have positions of their own, and cannot be kept.
        """
        if keep is not None and not self.keeps_publications:
            raise ConfigError(f"{type(self).__name__} has positions of its own; publish without keep=")
        if not isinstance(to, Recipients):
            to = Recipients(users=(str(to.get_id()) if hasattr(to, "get_id") else str(to),))
        publication = (Publication if keep is None else KeptPublication)(
            channel=self.channel,
            payload=dumps(payload).decode(),
            everyone=to.everyone,
            users=list(to.users),
            groups=list(to.groups),
        )
        if keep is not None:
            publication.keep_for(keep)
        elif self._server is not None:
            publication.keep_for(self._server.settings.publication_seconds)
        bus = self._server.bus if self._server is not None else None
        if bus is not None and keep is None and session is None and majority():
            publication.id = ObjectId()  # so that it is heard once, if it should come both ways
            if bus.publish(publication.to_mongo().to_dict()):
                return
        publication.write(session)
