"""What a field of a MongoEngine document can be compared with, by the field's declared type."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bson import DBRef, Decimal128, ObjectId
from bson.decimal128 import create_decimal128_context
from mongoengine import fields as me
from mongoengine.base import ObjectIdField

from ..encoding import to_json_value

__all__ = ["FilterField", "Lookup", "filter_field"]

_Convert = Callable[[Any], Any]

_INT64 = 2**63
#: The largest integer that the wire carries as a number; larger ones are strings there.
_SAFE = 2**53 - 1
#: Characters in the text of a date or a decimal.
_MAX_TEXT = 64
_HEX_ID = re.compile(r"[0-9a-fA-F]{24}\Z")
_DIGITS = re.compile(r"-?[1-9][0-9]{15,18}\Z")
_DECIMALS = create_decimal128_context()


@dataclass(frozen=True, slots=True)
class FilterField:
    """One field as scopes and grants may ask for it."""

    #: The field on the wire.
    name: str
    #: The field in the database.
    path: str
    #: JSON value to stored value; raises ValueError or TypeError for what the field cannot be compared with.
    convert: _Convert
    #: The same for a value written as text, as in the path of a grant.
    from_text: _Convert
    #: Whether `<` and the like mean something.
    is_ordered: bool = True
    #: Whether a list is declared on the path, or at its end.
    has_list: bool = False
    #: Whether a part of the path that is a number may be a place in a list as well as a key.
    may_index: bool = False


class Lookup(Protocol):
    """Tells a field by its path on the wire, or that there is none; a dict does."""

    def get(self, path: str, /) -> FilterField | None: ...


def filter_field(name: str, path: str, field: Any) -> FilterField:
    """Return how the MongoEngine field is compared; None stands for a field without a declared type.

    A list is compared by its items. Embedded documents, dicts and places can be compared with null only. What
    `to_json_value` makes of the stored value is always understood (docs/fields.md).
    """
    if isinstance(field, me.ListField):
        field = field.field
    for kinds, build in _BUILDERS:
        if isinstance(field, kinds):
            return build(name, path, field)
    if field is None or type(field) is me.DynamicField:
        return FilterField(name, path, _scalar, _scalar)
    return FilterField(name, path, _incomparable, _incomparable, is_ordered=False)


def _scalar(value: Any) -> Any:
    """Return a value that BSON stores as one scalar, as it is: its kind is compared, not changed."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        value.encode()
        return value
    if isinstance(value, bool | ObjectId | uuid.UUID):
        return value
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return value
    elif isinstance(value, float):
        if math.isfinite(value):
            return value
    elif isinstance(value, decimal.Decimal | Decimal128):
        return _decimal128(value)
    elif isinstance(value, datetime.date):
        return _moment(value)
    raise ValueError("not a scalar")


def _incomparable(value: Any) -> Any:
    raise TypeError("this field can be compared with null only")


def _integer(value: Any) -> Any:
    if isinstance(value, str) and _DIGITS.match(value) and abs(int(value)) > _SAFE:
        value = int(value)
    return _scalar(value)


def _number_text(text: str) -> Any:
    try:
        return _scalar(int(text))
    except ValueError:
        return _scalar(float(text))


def _boolean_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _moment(value: Any) -> datetime.datetime:
    """Return the time in UTC, to the millisecond, of an ISO 8601 text; one without a zone is UTC."""
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        value = datetime.datetime.fromisoformat(value)
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    if not isinstance(value, datetime.datetime):
        raise TypeError("not a time")
    moment = value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, bool) or not isinstance(value, str | int | float | decimal.Decimal):
        raise TypeError("not a number")
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise ValueError("too long")
    try:
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
    except decimal.InvalidOperation as error:
        raise ValueError("not a number") from error
    if not number.is_finite():
        raise ValueError("not finite")
    return number


def _decimal128(value: Any) -> Decimal128:
    number = _DECIMALS.create_decimal(_decimal(value))
    if not number.is_finite():
        raise ValueError("beyond a Decimal128")
    return Decimal128(number)


def _object_id(value: Any) -> ObjectId:
    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and _HEX_ID.match(value):
        return ObjectId(value)
    raise ValueError("not an id")


def _simple(convert: _Convert, from_text: _Convert | None = None) -> Callable[[str, str, Any], FilterField]:
    return lambda name, path, field: FilterField(name, path, convert, from_text or convert)


def _unordered(convert: _Convert) -> Callable[[str, str, Any], FilterField]:
    return lambda name, path, field: FilterField(name, path, convert, convert, is_ordered=False)


def _precise_time(name: str, path: str, field: Any) -> FilterField:
    def read(text: str) -> datetime.datetime:
        try:
            return datetime.datetime.fromisoformat(text)
        except ValueError:
            return field._convert_from_string(text)  # type: ignore[no-any-return]  # as it is stored

    def convert(value: Any) -> str:
        if isinstance(value, str):
            value = read(value[:_MAX_TEXT])
        if not isinstance(value, datetime.datetime):
            raise TypeError("not a time")
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return str(field.to_mongo(value))

    return FilterField(name, path, convert, convert)


def _rounded_decimal(name: str, path: str, field: Any) -> FilterField:
    def convert(value: Any) -> Any:
        return field.to_mongo(_decimal(value))

    return FilterField(name, path, convert, convert, is_ordered=not field.force_string)


def _enum(name: str, path: str, field: Any) -> FilterField:
    """Return how an enumeration is compared: by what its members are stored as."""
    stored = [member.value for member in field._enum_cls]
    by_json = {(type(shown), shown): value for value in stored if _is_plain(shown := to_json_value(value))}

    def convert(value: Any) -> Any:
        value = value.value if isinstance(value, enum.Enum) else value
        return by_json[type(value), value] if _is_plain(value) and (type(value), value) in by_json else _scalar(value)

    return FilterField(name, path, convert, convert)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _binary(value: Any) -> bytes:
    """Return the bytes of a text in base64."""
    return base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(memoryview(value))


def _uuid(name: str, path: str, field: Any) -> FilterField:
    def convert(value: Any) -> Any:
        if not isinstance(value, str | uuid.UUID):
            raise TypeError("not a UUID")
        return field.to_mongo(uuid.UUID(value) if isinstance(value, str) else value)

    return FilterField(name, path, convert, convert, is_ordered=False)


def _reference(name: str, path: str, field: Any) -> FilterField:
    def of_id(value: Any, *, is_text: bool) -> Any:
        target = field.document_type
        value = getattr(value, "pk", value)
        key = filter_field(name, path, target._fields[target._meta["id_field"]])
        stored = key.from_text(value) if is_text else key.convert(value)
        return DBRef(target._get_collection_name(), stored) if field.dbref else stored

    return FilterField(
        name,
        path,
        lambda value: of_id(value, is_text=False),
        lambda value: of_id(value, is_text=True),
        is_ordered=not field.dbref,
    )


#: The first that fits counts: a ComplexDateTimeField is a StringField too.
_BUILDERS: tuple[tuple[Any, Callable[[str, str, Any], FilterField]], ...] = (
    (me.ComplexDateTimeField, _precise_time),
    (me.StringField, _simple(_scalar)),
    (me.EnumField, _enum),
    (me.BooleanField, _simple(_scalar, _boolean_text)),
    (me.FloatField, _simple(_scalar, _number_text)),
    ((me.IntField, me.SequenceField), _simple(_integer, _number_text)),
    (me.DecimalField, _rounded_decimal),
    (me.Decimal128Field, _simple(_decimal128)),
    (me.DateTimeField, _simple(_moment)),
    ((ObjectIdField, me.FileField), _simple(_object_id)),
    (me.BinaryField, _unordered(_binary)),
    (me.UUIDField, _uuid),
    ((me.ReferenceField, me.LazyReferenceField), _reference),
)
