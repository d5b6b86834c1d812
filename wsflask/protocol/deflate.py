"""permessage-deflate (RFC 7692) without a context for each client: one compression serves all of them."""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["TooBig", "deflate", "inflate", "negotiate"]

_NAME: Final = "permessage-deflate"
#: What is agreed on: neither side refers back to earlier messages.
_AGREED: Final = f"{_NAME}; server_no_context_takeover; client_no_context_takeover"
_FLAGS: Final = ("server_no_context_takeover", "client_no_context_takeover")
#: The end of every flushed block, which does not travel (section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
_WINDOW_BITS: Final = 15


class TooBig(Exception):
    """The message is larger than its limit once inflated."""


def negotiate(offered: str) -> str | None:
    """Return the `Sec-WebSocket-Extensions` to answer an offer with; None: none of it can be accepted.

    Args:
        offered: the client's header, perhaps with several offers, the preferred one first.
    """
    for offer in offered.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name == _NAME and _is_acceptable(parameters):
            return _AGREED
    return None


def _is_acceptable(parameters: list[str]) -> bool:
    names = [parameter.partition("=")[0].strip() for parameter in parameters]
    return len(set(names)) == len(names) and all(map(_is_known, parameters))


def _is_known(parameter: str) -> bool:
    name, equals, value = (part.strip() for part in parameter.partition("="))
    if name in _FLAGS:
        return not equals
    bits = value.strip('"')
    if name == "client_max_window_bits":
        return not equals or bits in _WINDOWS
    return name == "server_max_window_bits" and bits == str(_WINDOW_BITS)


_WINDOWS: Final = tuple(str(bits) for bits in range(8, 16))


def deflate(data: bytes) -> bytes:
    """Return the payload of one compressed message."""
    compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -_WINDOW_BITS)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


def inflate(data: bytes | bytearray, limit: int) -> bytes:
    """Return the message in one compressed payload.

    Args:
        limit: bytes it may have; not more than that is ever held.

    Raises:
        TooBig: it has more.
        zlib.error: it is not deflated data.
    """
    inflater = zlib.decompressobj(-_WINDOW_BITS)
    message = inflater.decompress(data + _TAIL, limit + 1)
    if len(message) > limit:
        raise TooBig
    return message
