"""The route of the socket: parked where that is possible, else flask-sock's with a greenlet or thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Blueprint, Flask, after_this_request, g, request, session
from flask.sessions import SecureCookieSession
from flask_sock import Sock

from ..protocol.codes import SUBPROTOCOL
from ..protocol.deflate import negotiate
from ..protocol.messages import V1
from .crew import Crew
from .handshake import form_of
from .link import Link, Owner
from .threaded import ThreadedLink
from .upgrade import PywsgiResponse, set_nodelay, socket_to_park, take_over

__all__ = ["Opening", "Options", "add_route", "is_endpoint", "prepare"]


class Opening(Protocol):
    """Makes the connection of a link, for the request it was called in."""

    def __call__(self, link: Link, *, is_compressed: bool) -> Owner: ...


@dataclass(frozen=True, slots=True)
class Options:
    """How sockets are taken."""

    #: "auto", "parked" or "threaded".
    transport: str
    #: Whether permessage-deflate is agreed to, on parked sockets.
    compression: bool


def prepare(app: Flask) -> None:
    """Teach flask-sock our subprotocol, and to leave reading to us on our route alone; others stay as they are."""
    options = app.config.setdefault("SOCK_SERVER_OPTIONS", {})
    theirs = options.get("thread_class") or threading.Thread

    def reader(*args: Any, **kwargs: Any) -> Any:
        return _NoReader() if g.get("_wsflask_takes_socket") else theirs(*args, **kwargs)

    spoken = options.get("subprotocols") or []
    options["subprotocols"] = [*([spoken] if isinstance(spoken, str) else spoken), SUBPROTOCOL]
    options["thread_class"] = reader


class _NoReader:
    """Stands where simple-websocket starts its reader."""

    name = ""

    def start(self) -> None:
        """Read nothing."""


def is_endpoint(name: str) -> bool:
    """Return whether the request is for this endpoint of its blueprint, under whatever name that is registered."""
    return (request.endpoint or "").rpartition(".")[2] == name


def add_route(
    blueprint: Blueprint,
    path: str,
    endpoint: str,
    open_connection: Callable[[], Opening],
    options: Callable[[], Options],
    crew: Crew,
) -> None:
    """Add the websocket route; requests for it that no earlier hook has refused are accepted.

    Args:
        open_connection: called inside the request; returns what makes the connection of a link.
        crew: does the work of parked sockets.
    """

    def websocket(ws: Any) -> None:
        sock = ws.sock
        ws.connected = False  # flask-sock's own close does nothing from here on.
        ws.ws = None
        if ws.mode == "gevent":
            after_this_request(lambda _: PywsgiResponse())
        set_nodelay(sock)
        link = ThreadedLink(sock)
        try:
            link.owner = open_connection()(link, is_compressed=False)
            link.serve()
        finally:
            if ws.mode == "gevent":
                sock.close()  # a duplicate that simple-websocket has made; of TLS the socket itself

    theirs = _view_of_flask_sock(path, websocket)

    def view() -> Any:
        offered = request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
        sock = socket_to_park(request.environ) if options().transport != "threaded" else None
        if sock is None:  # Without the header: flask-sock would compress whenever that is offered, at 90 KB each.
            g._wsflask_takes_socket = True
            return theirs()
        extensions = negotiate(offered) if offered and options().compression else None
        make = open_connection()
        if isinstance(session._get_current_object(), SecureCookieSession):  # type: ignore[attr-defined]
            session.modified = False  # No cookie can be set any more.
        return take_over(
            request.environ,
            sock,
            crew,
            lambda link: make(link, is_compressed=extensions is not None),
            subprotocol=_subprotocol(request.environ),
            extensions=extensions,
        )

    blueprint.add_url_rule(path, endpoint, view, websocket=True)


def _view_of_flask_sock(path: str, handler: Callable[[Any], None]) -> Callable[[], Any]:
    """Return the view that flask-sock makes of a handler, without having it registered."""
    made: list[Callable[[], Any]] = []

    class Keeper:
        def route(self, _path: str, **_options: Any) -> Callable[[Callable[[], Any]], None]:
            return made.append

    Sock().route(path, bp=Keeper())(handler)
    return made[0]


def _subprotocol(environ: Mapping[str, Any]) -> str | None:
    return SUBPROTOCOL if form_of(environ) == V1 else None
