"""Envelopes: a client's text to a checked request, a server's message to bytes that many clients share."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ..encoding import dumps
from ..errors import Refusal
from .codes import ERRORS
from .frames import frame

__all__ = ["PLAIN", "V1", "Limits", "Message", "Request", "error_message", "is_channel_name", "parse"]

#: The form for clients that offer no subprotocol: channel and payload, nothing else.
PLAIN: Final = "plain"
#: The form of the subprotocol `wsflask.v1`: ids and positions too.
V1: Final = "v1"

_CHANNEL = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
_ID_BYTES = 64
_INT64 = 1 << 63


def is_channel_name(name: object) -> bool:
    """Return whether this can be a channel's name: `^[a-z][a-z0-9_.-]{0,63}$`."""
    return isinstance(name, str) and _CHANNEL.match(name) is not None


class Message:
    """One message of the server: encoded once, framed once for each form, shared by all who get it.

    Args:
        channel: the channel's name.
        payload: what is sent; anything `encoding.dumps` takes.
        payload_json: the payload already encoded, instead of `payload`.
        seq: position for those who come back; only in the form v1.
        id: the request this answers; only in the form v1.
    """

    __slots__ = ("_frames", "channel", "id", "payload_json", "seq")

    def __init__(
        self,
        channel: str,
        payload: Any = None,
        *,
        payload_json: bytes | None = None,
        seq: str | None = None,
        id: str | None = None,  # noqa: A002 - the wire's own word
    ) -> None:
        self.channel = channel
        self.payload_json = dumps(payload) if payload_json is None else payload_json
        self.seq = seq
        self.id = id
        self._frames: dict[str, bytes] = {}

    def text(self, form: str) -> bytes:
        """Return the envelope as UTF-8 JSON."""
        parts = [b'{"channel":', dumps(self.channel), b',"payload":', self.payload_json]
        if form == V1:
            if self.id is not None:
                parts += [b',"id":', dumps(self.id)]
            if self.seq is not None:
                parts += [b',"seq":', dumps(self.seq)]
        parts.append(b"}")
        return b"".join(parts)

    def frame(self, form: str) -> bytes:
        """Return the whole frame; the same bytes object for every connection of a form."""
        found = self._frames.get(form)
        if found is None:
            found = self._frames[form] = frame(self.text(form))
        return found


def error_message(code: str, id: str | None = None) -> Message:  # noqa: A002
    """Return the message that refuses a request: the code and its fixed sentence."""
    return Message("error", {"code": code, "message": ERRORS[code]}, id=id)


@dataclass(frozen=True, slots=True)
class Request:
    """A checked message of a client."""

    channel: str
    payload: Any
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How large one message's JSON may be."""

    depth: int
    keys: int
    string: int


def parse(text: str, limits: Limits) -> Request:
    """Return the request in a client's text.

    Strict JSON (RFC 8259): no NaN, no duplicate keys, no lone surrogates, no integers beyond 64 bits.

    Raises:
        Refusal: bad_json, bad_envelope, too_big or too_deep. Its `request_id` is the id, when there was one.
    """
    value = _strict_json(text, limits)
    if not isinstance(value, dict):
        raise Refusal("bad_envelope")
    identity = value.get("id")
    if identity is not None and not (isinstance(identity, str) and 0 < len(identity.encode()) <= _ID_BYTES):
        raise Refusal("bad_envelope")
    channel = value.get("channel")
    is_named = isinstance(channel, str) and is_channel_name(channel)
    if not is_named or "payload" not in value or not value.keys() <= {"channel", "payload", "id"}:
        refusal = Refusal("bad_envelope")
        refusal.request_id = identity
        raise refusal
    return Request(str(channel), value["payload"], identity)


def _strict_json(text: str, limits: Limits) -> Any:
    _check_depth(text, limits.depth)
    keys = 0

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(found)
        if keys > limits.keys:
            raise Refusal("too_big")
        built = dict(found)
        if len(built) != len(found):
            raise Refusal("bad_json")
        return built

    try:
        value = json.loads(
            text, object_pairs_hook=pairs, parse_constant=_refuse, parse_int=_integer, parse_float=_float
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refusal("bad_json") from None
    if len(text) * 4 > limits.string:  # A character takes up to four bytes.
        _check_strings(value, limits.string)
    return value


def _check_depth(text: str, depth: int) -> None:
    if text.count("{") + text.count("[") <= depth:
        return
    level, inside, escaped = 0, False, False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "{[":
            level += 1
            if level > depth:
                raise Refusal("too_deep")
        elif character in "}]":
            level -= 1


def _check_strings(value: Any, limit: int) -> None:
    if isinstance(value, str):
        if len(value.encode()) > limit:
            raise Refusal("too_big")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key, limit)
            _check_strings(item, limit)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item, limit)


def _refuse(_: str) -> NoReturn:
    raise Refusal("bad_json")


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -_INT64 <= (number := int(digits)) < _INT64:
        raise Refusal("bad_json")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Refusal("bad_json")
    return number
