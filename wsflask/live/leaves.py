"""Values that their field's declared type shows otherwise than as they are stored."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from mongoengine.base import get_document
from mongoengine.errors import NotRegistered

from ..encoding import iso, to_json_value
from .projection import Node
from .references import References

__all__ = ["AnyEmbedded", "Day", "PreciseTime"]


class Day(Node):
    """A date without a time; MongoDB stores midnight, which west of UTC is a time of the day before."""

    key = "day"

    def value(self, stored: Any, references: References) -> Any:
        return iso(stored)[:10] if isinstance(stored, datetime.datetime) else to_json_value(stored)


class PreciseTime(Node):
    """A time to the microsecond, stored as text with a separator of the field's own."""

    def __init__(self, field: Any) -> None:
        self._read = field._convert_from_string
        self.key = f"time{field.separator}"

    def value(self, stored: Any, references: References) -> Any:
        try:
            moment: datetime.datetime = self._read(stored)
        except (AttributeError, TypeError, ValueError):
            return to_json_value(stored)  # not written by MongoEngine
        return moment.isoformat(timespec="microseconds") + "Z"


class AnyEmbedded(Node):
    """An embedded document of whatever class its `_cls` names.

    Args:
        key: a text that tells how the classes are shown.
        node_of: embedded document class to the node that shows it.
    """

    def __init__(self, key: str, node_of: Callable[[Any], Node]) -> None:
        self._node_of = node_of
        self._known: dict[str, Node | None] = {}
        self.key = f"any {key}"

    def value(self, stored: Any, references: References) -> Any:
        name = stored.get("_cls") if isinstance(stored, Mapping) else None
        node = self._node(name) if isinstance(name, str) else None
        return to_json_value(stored) if node is None else {"_cls": name, **node.value(stored, references)}

    def _node(self, name: str) -> Node | None:
        if name not in self._known:
            try:
                self._known[name] = self._node_of(get_document(name))
            except NotRegistered:
                return None
        return self._known[name]
