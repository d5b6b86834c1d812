"""A client's text to a checked request: strict JSON, bounded, in an envelope."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgspec

from ..errors import Refusal
from .messages import is_channel_name

__all__ = ["Limits", "Request", "parse"]

_ID_BYTES = 64
_INT64 = 1 << 63
_FIELDS: Final = frozenset(("channel", "payload", "id"))


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checked message of a client."""

    channel: str
    payload: Any
    id: str | None = None


_decode = msgspec.json.Decoder(Request).decode


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
    request = _ordinary(text, limits)
    return request if request is not None else _checked(_strict_json(text, limits))


def _checked(value: Any) -> Request:
    if not isinstance(value, dict):
        raise Refusal("bad_envelope")
    identity = value.get("id")
    if identity is not None and not _is_id(identity):
        raise Refusal("bad_envelope")
    channel = value.get("channel")
    if isinstance(channel, str) and _is_named(channel) and "payload" in value and value.keys() <= _FIELDS:
        return Request(channel, value["payload"], identity)
    refusal = Refusal("bad_envelope")
    refusal.request_id = identity
    raise refusal


#: There are few names, and the same again and again.
_is_named = functools.lru_cache(maxsize=1024)(is_channel_name)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _ID_BYTES and len(value.encode()) <= _ID_BYTES


def _ordinary(text: str, limits: Limits) -> Request | None:
    """Return the request in a text in which nothing is unusual, 5 times as fast as the strict way; else None.

    The decoder takes what `_strict_json` takes, but keeps the last of duplicate keys and knows no limits. Without a
    backslash each colon of the text is one behind a key, or one in a string: if the request has as many of both,
    no key was lost.
    """
    if "\\" in text or len(text) * 4 > limits.string:
        return None
    colons = text.count(":")
    if colons > limits.keys:
        return None
    try:
        request = _decode(text)
        identity = request.id
        found = (2 if identity is None else 3) + _keys(request.payload, limits.depth - 1)
        if found != colons and found + _colons(identity) + _colons(request.payload) != colons:
            return None
    except (msgspec.DecodeError, OverflowError, RecursionError):
        return None
    return request if _is_named(request.channel) and (identity is None or _is_id(identity)) else None


def _keys(value: Any, depth: int) -> int:
    """Return how many keys the value has.

    Raises:
        OverflowError: it has an integer beyond 64 bits, or is nested deeper than `depth`.
    """
    kind = type(value)
    if kind is dict:
        found = len(value)
        items = value.values()
    elif kind is list:
        found = 0
        items = value
    elif kind is int and not -_INT64 <= value < _INT64:
        raise OverflowError
    else:
        return 0
    if depth <= 0:
        raise OverflowError
    for item in items:
        if type(item) is not str:
            found += _keys(item, depth - 1)
    return found


def _colons(value: Any) -> int:
    """Return how many colons the value's strings and keys have."""
    kind = type(value)
    if kind is str:
        return int(value.count(":"))
    if kind is dict:
        return sum(map(_colons, value)) + sum(map(_colons, value.values()))
    return sum(map(_colons, value)) if kind is list else 0


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
