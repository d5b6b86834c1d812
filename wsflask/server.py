"""WebSocketServer: services behind one WebSocket that shares the session of a Flask application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response
from flask.sansio.app import App

from .access.exposure import Exposures
from .blueprint import make_blueprint
from .config import Settings
from .connection import Connection
from .contexts import Contexts
from .deadline import asked_at, ended
from .dispatch import Dispatcher
from .documents import RIGHTS_CHANGED, Publication
from .errors import ConfigError, Refusal
from .feed import create_bus
from .feed.base import Feed
from .gate import Gate
from .hooks import call_each, greet
from .hub import Hub, turn_away
from .identity import Identity
from .life import Life
from .page import Pages
from .people import People, names_of
from .protocol.codes import CloseCode
from .protocol.messages import V1
from .reception import Reception
from .roster import make_services
from .service import Service
from .services.relay import Relay
from .session import Sessions, derived_key, groups_of
from .stopping import HttpServer, when_signalled
from .streams.place import places_in
from .transport.crew import Crew
from .transport.handshake import form_of
from .transport.link import Link, Owner
from .transport.route import prepare
from .written import stamp

__all__ = ["WebSocketServer"]

_log = logging.getLogger(__name__)


class WebSocketServer:
    """Route messages of browsers to services.

    Args:
        app: the Flask application; or call `init_app`, or register `blueprint`.
        services: service classes, instances, or import names ("package.module:Class"); None: the setting
            WSFLASK_SERVICES.
        groups: function of a user that returns the names of its groups; None: the user's attribute `groups`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        services: Sequence[type[Service] | Service | str] | None = None,
        groups: Callable[[Any], Iterable[str]] | None = None,
    ) -> None:
        #: The documents that clients may see; nothing else can be seen.
        self.exposures = Exposures(groups or groups_of)
        #: The connections of this process.
        self.hub = Hub()
        #: Those that are no longer in the hub, and not yet closed.
        self.closing: set[Connection] = set()
        #: Where handshakes wait until their users are looked up.
        self.gate = Gate(Settings().handshakes_at_once)
        #: The greenlets that handle what clients send.
        self.crew = Crew()
        #: The settings of the application.
        self.settings = Settings()
        #: What carries messages that are not kept past the database, if there is Redis.
        self.bus = create_bus(self.settings, b"", lambda _: None)
        #: The blueprint to register: the websocket route and the JS client.
        self.blueprint: Blueprint = make_blueprint(self)
        self._given = services
        self._groups = groups
        self._services: dict[str, Service] = {}
        self._people = People(self)
        self._life = Life(self, self._people)
        self._relay = Relay(
            rights_changed=self._people.rights_changed,
            channels=lambda: [service.channel for service in self.services if service.keeps_publications],
            reset=self._reset,
        )
        self._workers: list[Service] = []
        self._app: Flask | None = None
        self._sessions: Sessions | None = None
        self._contexts: Contexts | None = None
        self._dispatcher = Dispatcher(self, self.settings)
        self._reception = Reception(self, self._dispatcher)
        if app is not None:
            self.init_app(app)

    # --- setting up

    def init_app(self, app: Flask) -> None:
        """Register the blueprint on the application.

        Raises:
            ConfigError: as `attach` does.
        """
        _check_is_first(app)
        app.register_blueprint(self.blueprint)

    def attach(self, app: App) -> None:
        """Take the application's settings; called when the blueprint is registered.

        Raises:
            ConfigError: the application has a server already or no SECRET_KEY, or a setting is wrong.
        """
        _check_is_first(app)
        if not app.secret_key:
            raise ConfigError("the application has no SECRET_KEY; sessions, and so users, need one")
        settings = Settings.from_config(app.config)
        services = make_services(self._given if self._given is not None else settings.services)
        if not isinstance(app, Flask):
            raise ConfigError("wsflask serves Flask applications")
        self.stop()
        app.extensions["wsflask"] = self
        self._app, self.settings, self.gate = app, settings, Gate(settings.handshakes_at_once)
        self.bus = create_bus(settings, self.secret, self._relay.hear)
        self._contexts = Contexts(app)
        self._dispatcher = Dispatcher(self, settings)
        self._reception = Reception(self, self._dispatcher)
        self._sessions = Sessions(app, self._groups, settings)
        self._services = {service.channel: service for service in services}
        self._workers = [self._relay, *services]
        for service in self._workers:
            service.bind(self)
        self.render_row = Pages(self, app).render_row
        prepare(app)

    def expose(self, document_class: Any, **options: Any) -> None:
        """Let clients see documents of a class, by right; see `Exposures.expose` for the options."""
        self.exposures.expose(document_class, **options)

    @property
    def services(self) -> list[Service]:
        """The configured services."""
        return list(self._services.values())

    @property
    def sessions(self) -> Sessions:
        """The sessions of the application."""
        if self._sessions is None:
            raise ConfigError("the server has no application; call init_app(app) or register its blueprint")
        return self._sessions

    @property
    def feed(self) -> Feed:
        """The changes of the database, once the server has started."""
        return self._life.feed

    @property
    def secret(self) -> bytes:
        """Key for values that clients hand back, derived from SECRET_KEY; the same in every worker."""
        return derived_key(self._app.secret_key if self._app is not None else "")

    @property
    def patience(self) -> float:
        """Seconds that a client's query may take now."""
        return self._life.health.patience(self.settings.database_timeout)

    # --- connections

    def handler(
        self,
        ws: Link,
        path: str = "",
        *,
        identity: Identity | None = None,
        form: str = "plain",
        is_compressed: bool = False,
        query: str = "",
    ) -> Connection:
        """Handle one WebSocket: from here on its messages reach the services.

        A connection without an identity is closed with 4501 and reaches none.
        """
        connection = self._make(ws, identity, form, query, is_compressed=is_compressed)
        if identity is None:
            connection.close(CloseCode.SESSION_ENDED, "sign in")
        else:
            self.enter(connection)
        return connection

    def accept(
        self,
        link: Link,
        identity: Identity | None,
        environ: dict[str, Any],
        *,
        is_compressed: bool = False,
        is_away: bool = False,
    ) -> Owner:
        """Take a socket over from its request; with `is_away` the database cannot say whose it is.

        No message of it is handled before its session has been checked.
        """
        self.start()
        query = environ.get("QUERY_STRING", "")
        connection = self._make(link, identity, form_of(environ), query, is_compressed=is_compressed)
        link.owner = connection
        if is_away:
            turn_away([connection])
        elif identity is None:
            connection.close(CloseCode.SESSION_ENDED, "sign in")
        else:
            self._reception.receive(connection)
        return connection

    def _make(self, link: Link, identity: Identity | None, form: str, query: str, *, is_compressed: bool) -> Connection:
        connection = Connection(
            link,
            identity or Identity(None, "", frozenset(), ""),
            form,
            self.settings,
            self._dispatcher,
            self.hub.outflow if link.descriptor >= 0 else None,
            self.hub.counts,
            is_compressed=is_compressed,
        )
        if query and form == V1:
            connection.resume = places_in(query)
        return connection

    def enter(self, connection: Connection) -> None:
        """Take the connection into the hub, unless it has to close."""
        if self._life.is_draining:
            self._life.dismiss(connection)
        elif len(self.hub.connections_of(connection.user_id)) >= self.settings.connections_per_user:
            connection.close(CloseCode.TOO_MANY_CONNECTIONS, "too many connections")
        elif connection.is_open:
            self._dispatcher.welcome(connection)
            if self._life.is_started:
                self._relay.expect(connection)
            self.hub.add(connection)
            self._life.health.entered(connection)
            self._people.entered(connection)
            if self._relay.has_ended(connection.identity.session_id):
                connection.close(CloseCode.SESSION_ENDED, "signed out")
            elif not connection.is_open:  # it was gone before it could be welcomed
                self.left(connection)

    def is_full(self) -> str | None:
        """Return why no further client is taken now, or None."""
        if self._life.is_draining:
            return "The server restarts."
        coming = len(self.hub.arriving) + len(self.gate)
        is_full = len(self.hub) + coming >= self.settings.max_connections
        return "The server is full." if is_full else None

    def left(self, ws: Connection) -> bool:
        """Take a closing connection out of the hub; return whether services knew it."""
        self.closing.add(ws)
        self.hub.arriving.pop(ws, None)
        self._relay.forget(ws)
        return self.hub.remove(ws)

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Call every service's on_connect, one after another; if one fails the client is closed with 1013.

        A service that holds the connection has greeted when it releases it; then the next one's turn comes. Before them
        the client is caught up with the publications that it missed.
        """
        hooks = [service.on_connect for service in (self._relay, *self.services)]
        greet(self, ws, iter([*hooks, self._relay.greeted]))

    def in_turn(self, ws: Connection, work: Callable[[], None]) -> None:
        """Do work that greets a client when its turn comes."""
        self._dispatcher.in_turn(ws, work)

    def on_message(self, ws: Connection, user: Any, message: dict[str, Any]) -> Any:
        """Give the payload to the service of the channel; return its reply.

        Raises:
            Refusal: unknown_channel, or what the service refuses with.
        """
        service = self._services.get(message["channel"])
        if service is None:
            raise Refusal("unknown_channel")
        token = asked_at(ws.asked)
        try:
            with self._life.health.haste():
                return service.on_message(ws, user, message["payload"])
        finally:
            ended(token)

    def judge(self, ws: Connection) -> None:
        """Have services judge anew what the client may have: something was under way while his rights changed."""
        self._people.tell(ws)

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        """Call every service's on_rights_changed."""
        call_each(self.services, "on_rights_changed", lambda service: service.on_rights_changed(ws, user), ws)

    def on_reset(self, ws: Connection, user: Any) -> None:
        """Call every service's on_reset."""
        call_each(self.services, "on_reset", lambda service: service.on_reset(ws, user), ws)

    def _reset(self, ws: Connection) -> None:
        self.in_turn(ws, partial(self.run_hook, self.on_reset, ws, ws.user))

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        """Call every service's on_disconnect."""
        call_each(self.services, "on_disconnect", lambda service: service.on_disconnect(ws, user), ws)

    @staticmethod
    def rights_changed(user: Any) -> None:
        """Load the user again on every worker, and judge anew what each of his clients may have, within a second.

        For rights that do not depend on the user's own document alone; a change of that counts without a call. Takes a
        user object or an id. From any process or thread, also one that serves nothing; may switch.
        """
        Publication(channel=RIGHTS_CHANGED, payload="{}", users=names_of(user)).write()

    @staticmethod
    def disconnect(user_id: str) -> None:
        """Close the user's connections on every worker with 1012: the client comes back and begins anew.

        From any process or thread; may switch.
        """
        Publication(channel="goodbye", payload="{}", users=[user_id]).write()

    def stamp(self, response: Response) -> Response:
        """Name in a response the position behind what its view wrote, where its method does not tell. May switch."""
        return stamp(response, self.settings)

    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any:
        """Call a hook in an application context of its own."""
        return self._contexts.run(hook, *args) if self._contexts is not None else hook(*args)

    def channels(self) -> list[str]:
        """Return the channels that clients may speak on."""
        return list(self._services)

    def statistics(self) -> dict[str, Any]:
        """Return numbers on this process, for operators: see docs/deployment.md. Never switches."""
        services = {channel: service.statistics() for channel, service in self._services.items()}
        found = {channel: numbers for channel, numbers in services.items() if numbers}
        return {**self.hub.statistics(), "is_degraded": self._life.health.is_degraded, "services": found}

    # --- life

    def start(self) -> None:
        """Start the feed and the services in this process; happens by itself with the first client. May switch."""
        if self._app is None:
            raise ConfigError("the server has no application; call init_app(app) or register its blueprint")
        self._life.start(self._workers)

    def drain(self) -> None:
        """Tell every client goodbye, close with 1012, take no new ones. May switch, for at most drain_timeout."""
        self._life.drain()

    def drain_on_signals(self, http_server: HttpServer) -> None:
        """Have SIGTERM, SIGINT, SIGQUIT and SIGHUP end a `gevent.pywsgi.WSGIServer`, with a goodbye to every client.

        To be called in the main thread, before `http_server.serve_forever()`, which returns at such a signal.
        """
        when_signalled(http_server.close, self.drain)

    def stop(self) -> None:
        """Drain, then end the services and the feed of this process. May switch; may be called twice."""
        self._life.stop()


def _check_is_first(app: App) -> None:
    if "wsflask" in app.extensions:
        raise ConfigError("this application has a WebSocketServer already; register one, with all services")
