"""The rows that a subscription must show: scope, right, catalog and order, once more, over plain documents."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bson import Decimal128, ObjectId

from wsflask.encoding import to_json_value

from .rights import Raw, Rights
from .shapes import CLASSES, EMBEDDED, Field

__all__ = ["Expected", "Oracle", "Request", "differs"]

#: What is asked for, as it is sent.
Request = Mapping[str, Any]

_MISSING = object()


@dataclass(slots=True)
class Expected:
    """What a client must have: rows by id and, in an ordered view, their order; or the code of a refusal."""

    rows: dict[Any, Any] = field(default_factory=dict)
    order: list[Any] | None = None
    code: str = ""


class Oracle:
    """Judges by the documents of one moment.

    Args:
        documents: collection to id to document.
        sort: the database's own order: collection, ids, keys and directions to ids in order.
    """

    def __init__(
        self,
        documents: Mapping[str, Mapping[Any, Raw]],
        sort: Callable[[str, list[Any], list[tuple[str, int]]], list[Any]],
    ) -> None:
        self._documents = documents
        self._sort = sort

    def expected(self, request: Request, rights: Rights) -> Expected:
        """Return what a client with these rights must have."""
        name = request["class_name"]
        shape = CLASSES[name]
        if not rights.has_any(name):
            return Expected(code="not_found")
        asks_hidden = bool(request.get("show_hidden"))
        sees = rights.sees(name, hidden=True)
        conditions = _conditions_of(request.get("data_scope"))
        order_by = _order_of(request)
        asked = [path.partition(".")[0] for path, _, _ in conditions] + [path.partition(".")[0] for path, _ in order_by]
        if any(one not in sees and one != "_id" for one in asked):
            return Expected(code="forbidden")
        found = {
            identity: document
            for identity, document in self._documents.get(shape.collection, {}).items()
            if rights.may_read(name, document) and all(_holds(document, name, each) for each in conditions)
        }
        order = None
        if order_by or request.get("limit") is not None:
            keys = [(_path(name, path), direction) for path, direction in order_by]
            if "_id" not in [key for key, _ in keys]:
                keys.append(("_id", 1))
            order = self._sort(shape.collection, list(found), keys)[: request.get("limit") or 1000]
            found = {identity: found[identity] for identity in order}
        show = _Shower(rights, asks_hidden, self._document).row
        rows = {to_json_value(key): show(name, document, request.get("catalog")) for key, document in found.items()}
        return Expected(rows, None if order is None else [to_json_value(key) for key in order])

    def _document(self, name: str, identity: Any) -> Raw | None:
        return self._documents.get(CLASSES[name].collection, {}).get(identity)


@dataclass(frozen=True, slots=True)
class _Shower:
    rights: Rights
    asks_hidden: bool
    #: Class and id to the document; None: there is none.
    document: Callable[[str, Any], Raw | None]

    def row(self, name: str, document: Raw, catalog: Any) -> dict[str, Any]:
        """Return the row of a document."""
        shown: dict[str, Any] = {"_id": to_json_value(document["_id"])}
        for wire, each, wanted in self._selected(name, catalog):
            value = document.get(each.path, _MISSING)
            shown[wire] = None if value is _MISSING else self._value(each, value, wanted)
        return shown

    def _selected(self, name: str, catalog: Any) -> list[tuple[str, Field, Any]]:
        sees = self.rights.sees(name, hidden=self.asks_hidden)
        fields = CLASSES[name].fields
        names = sorted(sees & catalog.keys()) if catalog else sorted(sees)
        return [(wire, fields[wire], catalog.get(wire) if catalog else None) for wire in names]

    def _value(self, each: Field, stored: Any, wanted: Any) -> Any:
        if isinstance(stored, list) and (each.is_list or each.kind in ("reference", "embedded")):
            return [self._value(each, item, wanted) for item in stored]
        if each.kind == "reference" and stored is not None and wanted is not None and wanted is not True:
            document = self.document(each.target, stored)
            if document is not None and self._readable(each.target, document):
                return self.row(each.target, document, wanted)
        elif each.kind == "embedded" and isinstance(stored, Mapping):
            return self._embedded(EMBEDDED[each.target], stored, wanted)
        elif each.kind in ("dict", "any") and isinstance(stored, Mapping) and wanted and isinstance(wanted, Mapping):
            return {name: to_json_value(stored.get(name)) for name in wanted}
        return to_json_value(stored)

    def _embedded(self, fields: Mapping[str, Field], stored: Raw, wanted: Any) -> dict[str, Any]:
        chosen = wanted if isinstance(wanted, Mapping) and wanted else None
        shown = {}
        for name, each in fields.items():
            if chosen is None and each.path in stored:
                shown[name] = self._value(each, stored[each.path], None)
            elif chosen is not None and name in chosen:
                value = stored.get(each.path, _MISSING)
                shown[name] = None if value is _MISSING else self._value(each, value, chosen[name])
        return shown

    def _readable(self, name: str, document: Raw) -> bool:
        return self.rights.has_any(name) and self.rights.may_read(name, document)


def differs(expected: Any, shown: Any) -> bool:
    """Return whether two JSON values differ; true is not 1, and 1 is not 1.0."""
    if type(expected) is not type(shown):
        return True
    if isinstance(expected, dict):
        return expected.keys() != shown.keys() or any(differs(expected[key], shown[key]) for key in expected)
    if isinstance(expected, list):
        return len(expected) != len(shown) or any(map(differs, expected, shown))
    return bool(expected != shown)


# --- scopes


def _conditions_of(scope: Any) -> list[tuple[str, str, Any]]:
    """Return the conditions of a scope in either form: path, operator, value."""
    if isinstance(scope, Mapping):
        return [
            (path, op, value)
            for path, asked in scope.items()
            for op, value in (asked.items() if isinstance(asked, Mapping) else [("==", asked)])
        ]
    return [(each["fn"], each["op"], each["val"]) for each in scope or ()]


def _order_of(request: Request) -> list[tuple[str, int]]:
    asked = request.get("order_by") or []
    names = [asked] if isinstance(asked, str) else asked
    return [(name.removeprefix("-"), -1 if name.startswith("-") else 1) for name in names]


def _field(name: str, path: str) -> tuple[str, str]:
    """Return a path as it is in the database, and the kind at its end."""
    if path == "_id":
        return "_id", CLASSES[name].key
    fields, stored = CLASSES[name].fields, []
    *above, last = path.split(".")
    for part in above:
        stored.append(fields[part].path)
        fields = EMBEDDED[fields[part].target]
    end = fields[last]
    return ".".join((*stored, end.path)), CLASSES[end.target].key if end.kind == "reference" else end.kind


def _path(name: str, path: str) -> str:
    return _field(name, path)[0]


def _holds(document: Raw, name: str, condition: tuple[str, str, Any]) -> bool:
    path, op, asked = condition
    stored, kind = _field(name, path)
    found = [_comparable(value) for value in _values(document, stored.split("."))]
    if op == "in":
        return any(_comparable(_read(kind, value)) == each for value in asked for each in found)
    wanted = _comparable(_read(kind, asked))
    if op == "==":
        return wanted in found
    same = [value for of_kind, value in found if of_kind == wanted[0]]
    if op == "!=":
        return wanted not in found and (asked is None or bool(same))
    compare: Callable[[Any], bool] = {
        "<": lambda value: value < wanted[1],
        "<=": lambda value: value <= wanted[1],
        ">": lambda value: value > wanted[1],
        ">=": lambda value: value >= wanted[1],
    }[op]
    return any(map(compare, same))


def _values(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    """Yield what is at a path, as MongoDB looks for it: into every item of the lists on the way."""
    if not parts:
        if isinstance(value, list):
            yield from value
        else:
            yield value
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, Mapping):
                yield from _values(item, parts)
    elif isinstance(value, Mapping):
        yield from _values(value.get(parts[0]), parts[1:])
    else:
        yield None


def _comparable(value: Any) -> tuple[str, Any]:
    """Return a value with its kind: only values of one kind compare."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int | float | Decimal):
        return "number", value
    if isinstance(value, Decimal128):
        return "number", value.to_decimal()
    if isinstance(value, str | ObjectId | uuid.UUID):
        return type(value).__name__, value
    return ("date", value) if isinstance(value, datetime.datetime) else ("other", object())


def _read(kind: str, value: Any) -> Any:
    """Return what a client's JSON value means for a field of that kind."""
    if value is None:
        return None
    if kind == "id":
        return ObjectId(value)
    if kind == "number" and isinstance(value, str):
        return int(value)  # beyond 2**53, where JavaScript's numbers end
    if kind == "date":
        return datetime.datetime.fromisoformat(value)
    if kind == "uuid":
        return uuid.UUID(value)
    return Decimal(str(value)) if kind == "decimal" else value
