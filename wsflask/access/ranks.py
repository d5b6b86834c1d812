"""BSON values as MongoDB's `sort` compares them: by rank of their type first, then within it, up or down."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from .compare import normal

__all__ = ["DOWN", "EMPTY", "UP", "Ranked", "Ranker"]

#: (rank, value): sorts by `<` among what one Ranker gave. Values of one rank compare with one another.
Ranked = tuple[int, Any]

#: Bytes such that what was less is more; 255 stays free for the end of a string, which UTF-8 never holds.
_INVERTED = bytes(max(254 - byte, 0) for byte in range(256))
_ALL_INVERTED = bytes(255 - byte for byte in range(256))
_FLAGS = ((2, "i"), (4, "l"), (8, "m"), (16, "s"), (32, "u"), (64, "x"))


class _Empty:
    """An empty list, which sorts before null."""


EMPTY: Final = _Empty()


class _Extreme:
    """Less, or more, than every number: the place of NaN."""

    __slots__ = ("_is_least",)

    def __init__(self, *, is_least: bool) -> None:
        self._is_least = is_least

    def __lt__(self, other: object) -> bool:
        return self._is_least and other is not self

    def __gt__(self, other: object) -> bool:
        return not self._is_least and other is not self


class Ranker:
    """Makes of values what sorts as MongoDB sorts them.

    Args:
        sign: 1 for up, -1 for down.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._nan = _Extreme(is_least=sign > 0)
        null, yes, no = (5 * sign, 0), (40 * sign, sign), (40 * sign, 0)
        self._by_type: dict[type, Callable[[Any], Ranked]] = {
            type(None): lambda _: null,
            bool: lambda value: yes if value else no,
            int: lambda value: (10 * sign, value * sign),
            Int64: lambda value: (10 * sign, int(value) * sign),
            float: self._float,
            Decimal128: self._decimal,
            str: lambda value: (15 * sign, self._text(value)),
            dict: lambda value: (20 * sign, self._items(value.items())),
            DBRef: lambda value: (20 * sign, self._items(value.as_doc().items())),
            list: lambda value: (25 * sign, self._items(("", item) for item in value)),
            ObjectId: self._id,
            uuid.UUID: lambda value: self._bytes(4, value.bytes),
            Binary: lambda value: self._bytes(value.subtype, value),
            bytes: lambda value: self._bytes(0, value),
            datetime: lambda value: (45 * sign, normal(value)[1] * sign),
            DatetimeMS: lambda value: (45 * sign, int(value) * sign),
            Timestamp: lambda value: (47 * sign, ((value.time << 32) + value.inc) * sign),
            Regex: lambda value: (50 * sign, (self._text(value.pattern), self._text(_flags(value.flags)))),
            Code: self._code,
            MinKey: lambda _: (-1 * sign, 0),
            MaxKey: lambda _: (127 * sign, 0),
            _Empty: lambda _: (0, 0),
        }

    def __call__(self, value: Any) -> Ranked:
        """Return what the value sorts by."""
        convert = self._by_type.get(type(value))
        return convert(value) if convert is not None else self._uncommon(value)

    def _float(self, value: float) -> Ranked:
        return 10 * self._sign, self._nan if math.isnan(value) else value * self._sign

    def _decimal(self, value: Decimal128) -> Ranked:
        number: Decimal = value.to_decimal()
        if number.is_nan():
            return 10 * self._sign, self._nan
        return 10 * self._sign, number if self._sign > 0 else number.copy_negate()

    def _text(self, value: str) -> str | bytes:
        # A string compares by its code points, which is the order of its bytes in UTF-8.
        return value if self._sign > 0 else value.encode("utf-8", "surrogatepass").translate(_INVERTED) + b"\xff"

    def _id(self, value: ObjectId) -> Ranked:
        return 35 * self._sign, value.binary if self._sign > 0 else value.binary.translate(_ALL_INVERTED)

    def _bytes(self, subtype: int, value: bytes) -> Ranked:
        data = len(value).to_bytes(4, "little") + value if subtype == 2 else bytes(value)
        content = data if self._sign > 0 else data.translate(_ALL_INVERTED)
        return 30 * self._sign, (len(data) * self._sign, subtype * self._sign, content)

    def _code(self, value: Code) -> Ranked:
        if value.scope is None:
            return 60 * self._sign, self._text(str(value))
        return 65 * self._sign, (self._text(str(value)), self._items(value.scope.items()))

    def _items(self, items: Any) -> tuple[Any, ...]:
        """Return what the inside of an object or of a list sorts by: type, name and value of each in turn."""
        found = []
        for name, value in items:
            rank, inner = self(value)
            found.append((rank, self._text(name), inner))
        return tuple(found) if self._sign > 0 else (*found, (1000,))

    def _uncommon(self, value: Any) -> Ranked:
        for kinds, plain in _SUBCLASSES:
            if isinstance(value, kinds):
                return self._by_type[plain](value)
        return 126 * self._sign, self._text(str(value))


#: What a document holds that comes from MongoEngine instead of the database.
_SUBCLASSES: tuple[tuple[Any, type], ...] = ((Mapping, dict), (str, str), (Sequence, list), (int, int), (float, float))


def _flags(flags: int) -> str:
    return "".join(letter for bit, letter in _FLAGS if flags & bit)


UP: Final = Ranker(1)
DOWN: Final = Ranker(-1)
