"""flask-sock's route: the handshake is its, the socket becomes ours."""

from __future__ import annotations

import _socket
import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import gevent
from flask import Blueprint, Flask, Response, after_this_request, g, request
from flask_sock import Sock

from ..protocol.codes import SUBPROTOCOL
from ..tasks import is_patched
from .link import Link, Owner
from .parked import ParkedLink
from .threaded import ThreadedLink

__all__ = ["add_route", "is_endpoint", "prepare"]

#: Servers whose socket can be parked, by flask-sock's word for them.
_PARKING_MODES = ("gunicorn", "gevent")


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
    open_connection: Callable[[], Callable[[Link], Owner]],
    transport: Callable[[], str],
) -> None:
    """Add the websocket route.

    Args:
        open_connection: called inside the request; returns what makes the connection of a link.
        transport: returns "auto", "parked" or "threaded".
    """

    def websocket(ws: Any) -> None:
        sock = ws.sock
        ws.connected = False  # flask-sock's own close does nothing from here on.
        ws.ws = None
        make = open_connection()
        if ws.mode == "gevent":
            after_this_request(_let_go_of_pywsgi)
        can_park = ws.mode in _PARKING_MODES and is_patched() and not isinstance(sock, ssl.SSLSocket)
        if can_park and transport() != "threaded":
            _park(sock, ws.mode, make)
        else:
            _set_nodelay(sock)
            link = ThreadedLink(sock, _nobody)
            link.owner = make(link)
            link.serve()

    websocket.__name__ = endpoint
    Sock().route(path, bp=blueprint)(websocket)

    @blueprint.before_request
    def _before() -> None:
        if is_endpoint(endpoint):
            g._wsflask_takes_socket = True
            # simple-websocket accepts compression whenever it is offered, at 90 KB a connection.
            request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)


def _park(sock: Any, mode: str, make: Callable[[Link], Owner]) -> None:
    raw = _socket.socket(fileno=os.dup(sock.fileno()))
    if mode == "gevent":
        sock.close()  # flask-sock's own duplicate
    _set_nodelay(raw)
    link = ParkedLink(raw, _nobody)
    link.owner = make(link)
    # Until this greenlet has ended, the server may still touch the descriptor.
    gevent.getcurrent().rawlink(lambda _: link.park())  # type: ignore[attr-defined] # a Greenlet here


def _set_nodelay(sock: Any) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        pass  # A Unix socket behind a proxy has no such option.


class _Nobody:
    def bytes_arrived(self, data: bytes) -> None: ...
    def may_write(self) -> None: ...
    def peer_gone(self) -> None: ...


_nobody = _Nobody()


def _let_go_of_pywsgi(response: Response) -> Response:
    """Keep pywsgi from reading another request out of the socket that is ours now.

    After a response it reads on (and, at the end, throws away what has arrived), which would swallow the client's
    first frames and parse frames as HTTP.
    """

    class _Taken(Response):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            handler = start_response.__self__
            handler.close_connection = True
            handler.socket = None
            handler.rfile.close()  # It would keep the descriptor open until the garbage is collected.
            return []

    return _Taken()
