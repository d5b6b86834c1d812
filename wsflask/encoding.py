"""Values as MongoDB keeps them to values and bytes that a browser reads."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from bson import Binary, DBRef, Decimal128, MaxKey, MinKey, Regex, Timestamp

__all__ = ["dumps", "iso", "quote", "to_json_value"]

#: The largest integer that a JavaScript number holds exactly: Number.MAX_SAFE_INTEGER, 2**53 - 1.
_SAFE = 2**53 - 1
#: Subtypes of binary that are UUIDs.
_UUID_SUBTYPES = (3, 4)
#: Types whose values JSON has too, all of them.
_AS_IT_IS = frozenset((str, bool, type(None)))
_encode = msgspec.json.Encoder().encode


def iso(moment: datetime.datetime) -> str:
    """Return "2016-12-21T14:50:42Z", with milliseconds only where there are some; a naive time is UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    milliseconds = moment.microsecond // 1000
    text = moment.replace(microsecond=0).isoformat()
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def to_json_value(value: Any) -> Any:
    """Return the value as JSON knows it.

    Ids, decimals, UUIDs and integers beyond 2**53 become strings, times ISO 8601 in UTC, binary base64, NaN and
    the infinities null (docs/fields.md). A type that is not known becomes its `str()`.
    """
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is int:
        return value if -_SAFE <= value <= _SAFE else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict or isinstance(value, Mapping):
        return {
            key if type(key) is str else _key(key): item if type(item) in _AS_IT_IS else to_json_value(item)
            for key, item in value.items()
        }
    if kind is list or isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(item) for item in value]
    return _special(value)


def _key(key: Any) -> str:
    return str(key.value if isinstance(key, enum.Enum) else key)


def _special(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return iso(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return to_json_value(value.value)
    if isinstance(value, DBRef):
        return to_json_value(value.id)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, decimal.Decimal | Decimal128):
        number = value.to_decimal() if isinstance(value, Decimal128) else value
        return str(value) if number.is_finite() else None
    if isinstance(value, bytes | bytearray | memoryview):
        return _binary(value)
    if isinstance(value, bool | int):
        return to_json_value(int(value))
    if isinstance(value, float):
        return to_json_value(float(value))
    if isinstance(value, Timestamp):
        return iso(value.as_datetime())
    if isinstance(value, Regex | re.Pattern):
        return str(value.pattern)
    return None if isinstance(value, MinKey | MaxKey) else str(value)


def _binary(value: bytes | bytearray | memoryview) -> str:
    if isinstance(value, Binary) and value.subtype in _UUID_SUBTYPES and len(value) == 16:
        return str(uuid.UUID(bytes=bytes(value)))
    return base64.b64encode(bytes(value)).decode()


def quote(text: str) -> bytes:
    """Return a JSON string in UTF-8."""
    return _encode(text)


def dumps(value: Any) -> bytes:
    """Return compact strict JSON in UTF-8 of `to_json_value(value)`."""
    return _encode(value if _is_json(value) else to_json_value(value))


def _is_json(value: Any) -> bool:
    """Return whether `to_json_value` would only copy the value, which takes twice as long as to find out."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) in _AS_IT_IS or _is_json(item)):
                return False
        return True
    if kind is list:
        return all(map(_is_json, value))
    if kind is int:
        return bool(-_SAFE <= value <= _SAFE)
    if kind is float:
        return math.isfinite(value)
    return kind in _AS_IT_IS
