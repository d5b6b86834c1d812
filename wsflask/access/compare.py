"""BSON values as MongoDB's `find` compares them: by kind first, then within the kind."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from collections.abc import Callable
from typing import Any, Final

from bson import Binary, DBRef, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

__all__ = ["BSON_TYPES", "NULL", "Normal", "has_order", "key_text", "normal"]

#: (kind, value): equal exactly when MongoDB calls the values equal; ordered by the second within one kind.
Normal = tuple[str, Any]

#: What a missing field, null and undefined are.
NULL: Final[Normal] = ("null", None)

#: Kind to what MongoDB's `$type` calls it, for every kind that a condition may hold.
BSON_TYPES: Final[dict[str, list[str]]] = {
    "number": ["number"],
    "string": ["string", "symbol"],
    "bool": ["bool"],
    "date": ["date"],
    "objectId": ["objectId"],
    "binary": ["binData"],
    "object": ["object"],
}

_ORDERED = frozenset({"number", "string", "bool", "date", "objectId"})
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
#: Holds every digit of a double.
_EXACT = decimal.Context(prec=800, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


class _NotANumber:
    """NaN: equal to itself only, and neither less nor more than anything."""

    def __lt__(self, other: object) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__


_NAN: Final[Normal] = ("number", _NotANumber())


def normal(value: Any) -> Normal:
    """Return the value in the form that compares as MongoDB compares it.

    A value of a kind that no condition can hold comes back under a kind of its own, equal to nothing.
    """
    convert = _BY_TYPE.get(type(value))
    return convert(value) if convert is not None else _uncommon(value)


def has_order(kind: str) -> bool:
    """Return whether values of this kind may be compared with `<` and the like."""
    return kind in _ORDERED


def key_text(value: Normal) -> str:
    """Return a text that is the same in every process, and for equal values only."""
    kind, inner = value
    if isinstance(inner, float | decimal.Decimal):
        exact = decimal.Decimal(inner or 0).normalize(_EXACT)  # -0 is 0
        is_short = exact.is_finite() and abs(exact.adjusted()) < 34
        return f"{kind}:{exact:f}" if is_short else f"{kind}:{exact}"
    if isinstance(inner, str | int | None):
        return f"{kind}:{json.dumps(inner)}"
    if kind == "object" and isinstance(inner, tuple):
        collection, database, identity = inner
        return f"{kind}:{json.dumps([collection, database])}{key_text(identity)}"
    return f"{kind}:{inner}"


def _float(value: float) -> Normal:
    return _NAN if math.isnan(value) else ("number", value)


def _decimal128(value: Decimal128) -> Normal:
    number = value.to_decimal()
    return _NAN if number.is_nan() else ("number", number)


def _date(value: datetime.datetime) -> Normal:
    since = value - (_NAIVE_EPOCH if value.tzinfo is None else _EPOCH)
    return ("date", since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000)


def _binary(value: Binary | bytes) -> Normal:
    subtype = value.subtype if isinstance(value, Binary) else 0
    if subtype in (3, 4) and len(value) == 16:
        return ("binary", uuid.UUID(bytes=bytes(value)))
    return ("binary", (subtype, bytes(value)))


def _reference(value: DBRef) -> Normal:
    # One with more in it than a reference holds is equal to none.
    is_plain = len(value.as_doc()) == 2 + (value.database is not None)
    return ("object", (value.collection, value.database, normal(value.id)) if is_plain else object())


def _uncommon(value: Any) -> Normal:
    if isinstance(value, dict):
        return ("object", object())
    return (f"other {type(value).__name__}", object())


_BY_TYPE: dict[type, Callable[[Any], Normal]] = {
    type(None): lambda _: NULL,
    bool: lambda value: ("bool", value),
    int: lambda value: ("number", value),
    Int64: lambda value: ("number", int(value)),
    float: _float,
    Decimal128: _decimal128,
    str: lambda value: ("string", value),
    datetime.datetime: _date,
    DatetimeMS: lambda value: ("date", int(value)),
    ObjectId: lambda value: ("objectId", value),
    uuid.UUID: lambda value: ("binary", value),
    Binary: _binary,
    bytes: _binary,
    DBRef: _reference,
}
