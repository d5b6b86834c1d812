"""What the server's messages say, as far as a load wants to know."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from ..encoding import dumps
from .client import NOT_WSFLASK, Failed

__all__ = ["PING", "PONG", "channel_and_payload", "error_code", "messages_per_second"]

#: What a client sends: a question, and the answer to the server's.
PING: Final = dumps({"channel": "ping", "payload": {}})
PONG: Final = dumps({"channel": "pong", "payload": {}})


class _Envelope(msgspec.Struct, gc=False):
    channel: str
    #: Left as it is: ten thousand clients may get the same large message.
    payload: msgspec.Raw


class _Limits(msgspec.Struct):
    messages_per_second: Annotated[float, msgspec.Meta(gt=0)]


class _Welcome(msgspec.Struct):
    limits: _Limits


class _Error(msgspec.Struct):
    code: str


_decode = msgspec.json.Decoder(_Envelope).decode


def channel_and_payload(text: bytes) -> tuple[str, msgspec.Raw]:
    """Return the channel of a message, and its payload as JSON."""
    try:
        envelope = _decode(text)
    except msgspec.DecodeError:
        raise Failed(NOT_WSFLASK, "A message has no channel and payload.") from None
    return envelope.channel, envelope.payload


def messages_per_second(welcome: bytes) -> float:
    """Return the limit that the first message tells."""
    try:
        return msgspec.json.decode(channel_and_payload(welcome)[1], type=_Welcome).limits.messages_per_second
    except msgspec.DecodeError:
        raise Failed(NOT_WSFLASK, "It does not begin with a welcome.") from None


def error_code(payload: msgspec.Raw) -> str:
    """Return the code of an `error`."""
    try:
        return msgspec.json.decode(payload, type=_Error).code
    except msgspec.DecodeError:
        raise Failed(NOT_WSFLASK, "An error has no code.") from None
