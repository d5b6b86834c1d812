"""Where the WebSocket of a deployment is, found from the URL that an operator knows."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gevent import ssl

from ..errors import ConfigError

__all__ = ["Target", "find_target"]

_PORTS = {"ws": 80, "wss": 443}
_PAGES = {"ws": "http", "wss": "https"}
#: Where the blueprint puts the WebSocket, below the UI.
_PATH = "/wsflask/ws"


@dataclass(frozen=True, slots=True)
class Target:
    """A WebSocket, its server's address looked up once for all connections."""

    #: ws:// or wss://
    url: str
    #: Host and port as the Host header has them, and the path with its query.
    netloc: str
    path: str
    #: The host without a port: the name in the server's certificate.
    host: str
    #: The page that the handshake says it comes from.
    origin: str
    family: int
    address: tuple[Any, ...]
    tls: ssl.SSLContext | None

    @property
    def base_url(self) -> str:
        """The UI's root: http:// or https://, without a path."""
        return f"{'https' if self.tls else 'http'}://{self.netloc}"


def find_target(url: str, *, origin: str | None = None, is_insecure: bool = False) -> Target:
    """Return the WebSocket of a UI, http(s)://host[:port], or the one at ws(s)://host[:port]/path. May block.

    Args:
        url: of one or the other.
        origin: the page to come from; None: the UI's own.
        is_insecure: whether any certificate will do.

    Raises:
        ConfigError: this is no URL, the host is not known, or nobody listens there.
    """
    try:
        parts = urlsplit(url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        port = parts.port or _PORTS[scheme]
    except (ValueError, KeyError):
        raise _no_url(url) from None
    if not parts.hostname or "@" in parts.netloc or not (url.isascii() and url.isprintable()) or " " in url:
        raise _no_url(url)
    if origin is not None and not (origin.isascii() and origin.isprintable()):
        raise ConfigError(f"{origin!r} is no origin; write one such as https://ui.example.com")
    path = parts.path if parts.scheme == scheme else parts.path.rstrip("/") + _PATH
    query = f"?{parts.query}" if parts.query else ""
    family, address = _look_up(parts.hostname, port)
    return Target(
        url=f"{scheme}://{parts.netloc}{path or '/'}{query}",
        netloc=parts.netloc,
        path=(path or "/") + query,
        host=parts.hostname,
        origin=origin or f"{_PAGES[scheme]}://{parts.netloc}",
        family=family,
        address=address,
        tls=_tls(is_insecure=is_insecure) if scheme == "wss" else None,
    )


def _no_url(url: str) -> ConfigError:
    return ConfigError(f"{url!r} is no URL; write the UI's, https://host, or the WebSocket's, wss://host/wsflask/ws")


def _look_up(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """Return family and address of the first server that listens."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=10) as found:
            return found.family, found.getpeername()
    except ConnectionRefusedError:
        raise ConfigError(f"nobody listens on {shown}: is the server up, and is that its port?") from None
    except socket.gaierror:
        raise ConfigError(f"the host {host} is not known") from None
    except OSError as error:
        raise ConfigError(f"{shown} cannot be reached: {error.strerror or error}") from None


def _tls(*, is_insecure: bool) -> ssl.SSLContext:
    # gevent's own create_default_context gives the standard library's class, which blocks.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
