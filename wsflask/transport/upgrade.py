"""Take a socket over from its server: the answer that accepts a handshake, and the word that the request is over."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from flask import Response

from ..tasks import is_patched
from .crew import Crew
from .link import Link, Owner
from .parked import ParkedLink

__all__ = ["PywsgiResponse", "accept_key", "is_gone", "set_nodelay", "socket_to_park", "take_over"]

#: RFC 6455 section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept that belongs to a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.strip().encode() + _GUID, usedforsecurity=False).digest()).decode()


def socket_to_park(environ: Mapping[str, Any]) -> Any:
    """Return the socket of a request if it can leave its server: gunicorn's gevent worker or pywsgi, without TLS."""
    if not is_patched():
        return None
    sock = environ.get("gunicorn.socket")
    if sock is None and environ.get("SERVER_SOFTWARE", "").startswith("gevent"):
        body = environ["wsgi.input"]
        sock = getattr(getattr(getattr(body, "rfile", body), "raw", None), "_sock", None)
    return None if isinstance(sock, ssl.SSLSocket) else sock


def is_gone(environ: Mapping[str, Any]) -> bool:
    """Return whether the peer of a request has closed its connection, as far as one can look without waiting."""
    sock = getattr(socket_to_park(environ), "_sock", None)
    if sock is None:
        return False
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError as error:
        return not isinstance(error, BlockingIOError)


def take_over(
    environ: Mapping[str, Any],
    sock: Any,
    crew: Crew,
    make: Callable[[Link], Owner],
    *,
    subprotocol: str | None,
    extensions: str | None,
) -> Response:
    """Accept the handshake on a duplicate of the request's socket; return what ends the request for its server.

    Args:
        sock: from `socket_to_park`.
        make: returns the connection of a link; what that writes comes behind the handshake's answer.
        subprotocol: the one that is agreed on.
        extensions: the value of Sec-WebSocket-Extensions, if any are agreed on.
    """
    descriptor = os.dup(sock.fileno())
    set_nodelay(sock)
    link = ParkedLink(descriptor, _nobody, crew)
    try:
        try:
            link.write(_answer(environ["HTTP_SEC_WEBSOCKET_KEY"], subprotocol, extensions))
        except OSError:
            pass  # The peer is gone, as the first read will tell.
        link.owner = make(link)
    except BaseException:
        link.close()
        raise
    # Until this greenlet has ended, the server may still touch the descriptor.
    gevent.getcurrent().rawlink(lambda _: link.park())  # type: ignore[attr-defined] # a Greenlet here
    return _GunicornResponse() if "gunicorn.socket" in environ else PywsgiResponse()


def _answer(key: str, subprotocol: str | None, extensions: str | None) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join([*lines, "", ""]).encode()


def set_nodelay(sock: Any) -> None:
    """Have small messages leave at once."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        pass  # A Unix socket behind a proxy has no such option.


class _Nobody:
    def bytes_arrived(self, data: bytes) -> None: ...
    def may_write(self) -> None: ...
    def peer_gone(self) -> None: ...


_nobody = _Nobody()


class _GunicornResponse(Response):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        raise StopIteration  # Its word for "the socket is taken".


class PywsgiResponse(Response):
    """Keep pywsgi from reading another request out of the socket that is ours now.

    After a response it reads on (and, at the end, throws away what has arrived), which would swallow the client's
    first frames and parse frames as HTTP.
    """

    def __call__(self, environ: Any, start_response: Any) -> Any:
        handler = start_response.__self__
        handler.close_connection = True
        sock, handler.socket = handler.socket, None
        handler.rfile.close()  # It would keep the descriptor open until the garbage is collected.
        sock.close()
        return []
