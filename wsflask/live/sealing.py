"""What a page shows, signed: its client hands it back to subscribe, and cannot alter it."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

from itsdangerous import BadData, URLSafeSerializer

from ..errors import Refusal

__all__ = ["opened", "sealed"]

_SALT = "wsflask live page"
#: Changes when the content does: a page from before a deploy is then refused, and not misread.
_VERSION = 1
#: What is sealed, in this order.
_PARTS = ("class_name", "data_scope", "catalog", "order_by", "limit", "template")


class Secret(Protocol):
    """The server, as far as it is needed here."""

    @property
    def secret(self) -> bytes: ...


def sealed(parts: dict[str, Any], server: Secret) -> str:
    """Return the text that a page holds for `class_name data_scope catalog order_by limit template`.

    Signed, not encrypted: whoever has the page can read the scope and the fields' names in it. It is no grant, and is
    bound to no user: the rights of whoever hands it back are judged, and he gets what he could have subscribed to by
    himself, in the template's form. It does not expire, for pages stay open; it ends with the SECRET_KEY.
    """
    return _serializer(server).dumps([_VERSION, *(parts.get(name) for name in _PARTS)])


def opened(text: str, server: Secret) -> dict[str, Any]:
    """Return what was sealed, with `show_hidden`, which a page never asks for. It is still to be judged by rights.

    Raises:
        Refusal: bad_data: it was altered, or was sealed with another key or by another version.
    """
    try:
        version, *values = _serializer(server).loads(text)
    except (BadData, TypeError, ValueError):
        raise Refusal("bad_data", "the sealed text of a page") from None
    if version != _VERSION or len(values) != len(_PARTS):
        raise Refusal("bad_data", "a page of another version")
    return {**dict(zip(_PARTS, values, strict=True)), "show_hidden": False}


def _serializer(server: Secret) -> URLSafeSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(server.secret, salt=_SALT, signer_kwargs=options)
