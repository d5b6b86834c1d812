"""Primary keys as keys of a dict: equal exactly when MongoDB calls them the same document."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from bson import CodecOptions, ObjectId, encode
from bson.binary import UuidRepresentation

from ..access.compare import normal

__all__ = ["row_key"]

_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


def row_key(identity: Any) -> Hashable:
    """Return what stands for this `_id` in a dict; mostly the value itself."""
    kind = type(identity)
    if kind is ObjectId or kind is str or kind is int:
        return identity  # type: ignore[no-any-return]
    if isinstance(identity, dict):
        return encode({"_id": identity}, codec_options=_OPTIONS)
    kind_name, value = normal(identity)
    return value if kind_name == "number" else (kind_name, value)
