"""Primary keys as keys of a dict: equal exactly when MongoDB calls them the same document."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Hashable
from typing import Any

from bson import Binary, CodecOptions, Decimal128, ObjectId, decode, encode
from bson.binary import UuidRepresentation

from ..access.compare import normal

__all__ = ["identity_of", "row_key"]

_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def row_key(identity: Any) -> Hashable:
    """Return what stands for this `_id` in a dict; mostly the value itself."""
    kind = type(identity)
    if kind is ObjectId or kind is str or kind is int:
        return identity  # type: ignore[no-any-return]
    if isinstance(identity, dict):
        return encode({"_id": identity}, codec_options=_OPTIONS)
    kind_name, value = normal(identity)
    return value if kind_name == "number" else (kind_name, value)


def identity_of(key: Hashable) -> Any:
    """Return the `_id` that stands behind a key."""
    if isinstance(key, bytes):
        return decode(key, codec_options=_OPTIONS)["_id"]
    if isinstance(key, decimal.Decimal):
        return Decimal128(key)
    if not isinstance(key, tuple):
        return key
    kind, value = key
    if kind == "date":
        return _EPOCH + datetime.timedelta(milliseconds=value)
    if kind == "binary" and not isinstance(value, uuid.UUID):
        subtype, data = value
        return Binary(data, subtype)
    return value
