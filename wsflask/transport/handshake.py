"""The checks of a WebSocket handshake, before anything is answered: RFC 6455 section 4.2.1 and the Origin."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Response

from ..protocol.codes import SUBPROTOCOL
from ..protocol.messages import PLAIN, V1

__all__ = ["Refused", "answer", "check_handshake", "form_of", "origin_is_allowed"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer instead of an upgrade: a status, one short sentence, headers."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(refused: Refused) -> Response:
    """Return the response that says so."""
    return Response(refused.text, refused.status, dict(refused.headers), mimetype="text/plain")


def check_handshake(environ: Mapping[str, Any]) -> Refused | None:
    """Return why this request cannot become a WebSocket, or None."""
    if environ.get("REQUEST_METHOD") != "GET":
        return Refused(405, "A WebSocket starts with GET.", {"Allow": "GET"})
    if not _has_token(environ, "HTTP_UPGRADE", "websocket") or not _has_token(environ, "HTTP_CONNECTION", "upgrade"):
        return _upgrade_required()
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return Refused(400, "A WebSocket needs HTTP/1.1.")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip() != "13":
        return _upgrade_required()
    if not _is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        return Refused(400, "Sec-WebSocket-Key is not 16 bytes in base64.")
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or environ.get("HTTP_TRANSFER_ENCODING"):
        return Refused(400, "A WebSocket handshake has no body.")
    return None


def _upgrade_required() -> Refused:
    headers = {"Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "Upgrade"}
    return Refused(426, "This address speaks WebSocket, version 13.", headers)


def _has_token(environ: Mapping[str, Any], name: str, token: str) -> bool:
    return token in (part.strip().lower() for part in environ.get(name, "").split(","))


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def form_of(environ: Mapping[str, Any]) -> str:
    """Return the form of the messages that this client asks for."""
    offered = (part.strip() for part in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(","))
    return V1 if SUBPROTOCOL in offered else PLAIN


def origin_is_allowed(origin: str, host: str, scheme: str, allowed: Collection[str] | None) -> bool:
    """Return whether a page of this origin may open a socket; matched exactly, without wildcard or suffix.

    Args:
        origin: the Origin header.
        host: the Host header, used when `allowed` is None: the page has to come from there, port included.
        scheme: of this request; a proxy that ends TLS may make it "http" for a page on "https".
        allowed: origins such as "https://ui.example.com".
    """
    asked = _split(origin)
    if asked is None:
        return False
    if allowed is not None:
        return any(asked == _split(one) for one in allowed)
    asked_scheme, asked_host, asked_port = asked
    own = _split(f"{asked_scheme}://{host}")
    return own == (asked_scheme, asked_host, asked_port) and (asked_scheme == "https" or scheme == "http")


@functools.lru_cache(maxsize=256)  # They are few, and all of a storm's are the same.
def _split(origin: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS[parts.scheme]
        port = default if parts.port is None else parts.port
    except (ValueError, KeyError):
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port
