"""A MongoEngine QuerySet as what a client asks for when it subscribes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mongoengine import Document, QuerySet
from mongoengine import fields as me
from mongoengine.queryset.base import BaseQuerySet

from ..access.compare import normal
from ..access.exposure import Exposure
from ..access.names import KEY, FieldNames
from ..access.scope import Condition
from ..config import Settings
from ..encoding import to_json_value
from ..errors import ConfigError, Refusal

__all__ = ["Wanted", "class_of", "name_of", "wanted_by"]

_OPERATORS: Final = {
    "$eq": "==", "$ne": "!=", "$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">=", "$in": "in",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a class is wanted, as a client writes it."""

    data_scope: list[dict[str, Any]]
    order_by: list[str] | None
    limit: int | None
    #: Whether it is known that there are no rows, and never will be.
    is_nothing: bool = False


def class_of(given: Any) -> Any:
    """Return the document class of a QuerySet, or the class that is given itself.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(given, BaseQuerySet):
        return given._document
    if isinstance(given, type) and issubclass(given, Document):
        return given
    raise ConfigError(f"live() shows a document class or a QuerySet of it, not {type(given).__name__}")


def wanted_by(given: Any, exposure: Exposure, settings: Settings) -> Wanted:
    """Return what the QuerySet of the exposed class asks for; of the class itself, everything.

    Raises:
        ConfigError: it asks for something that a subscription cannot; the sentence says for what.
    """
    if not isinstance(given, BaseQuerySet):
        given = QuerySet(given, given._get_collection())  # a manager called `objects` may leave some out
    try:
        return _Reader(exposure, settings).read(given)
    except _Unsayable as error:
        name = exposure.document_class.__name__
        raise ConfigError(f"live() cannot keep this QuerySet of {name} up to date: {error}") from None


class _Unsayable(Exception):
    """The rest of a sentence on what a subscription cannot ask for."""


class _Reader:
    def __init__(self, exposure: Exposure, settings: Settings) -> None:
        self._exposure = exposure
        self._settings = settings
        #: All that anybody may see; whether this user may is judged with his rights.
        self._seen = {*exposure.fields, *exposure.hidden}

    def read(self, queryset: Any) -> Wanted:
        self._check_options(queryset)
        scope = [item for path, op, value in _conditions(queryset._query) for item in self._said(path, op, value)]
        if len(scope) > self._settings.scope_max_conditions:
            raise _Unsayable(f"it has more than {self._settings.scope_max_conditions} conditions")
        is_nothing = queryset._none or queryset._empty
        return Wanted(scope, self._order(queryset) or None, queryset._limit or None, is_nothing)

    def _check_options(self, queryset: Any) -> None:
        if queryset._skip:
            raise _Unsayable("skip() has no equal; rows that come would push others to the next page")
        if queryset._where_clause or queryset._search_text:
            raise _Unsayable("where() and search_text() are judged by the database alone")
        if queryset._collation is not None:
            raise _Unsayable("it has a collation; scopes compare strings by their bytes")
        if queryset._loaded_fields:
            raise _Unsayable("write fields=(…) in place of only() and exclude()")
        if queryset._collection != self._exposure.document_class._get_collection():
            raise _Unsayable("it reads another collection than its class is followed in")

    def _said(self, path: str, op: str, value: Any) -> Iterator[dict[str, Any]]:
        """Yield the condition, unless it is the one that the class itself brings."""
        document_class = self._exposure.document_class
        values = list(value) if op == "in" else [value]
        if path == "_cls" and op in ("==", "in") and set(values) == set(document_class._subclasses):
            return
        name = name_of(self._exposure.names, path)
        asked = {"fn": name, "op": op, "val": to_json_value(values if op == "in" else value)}
        try:
            scope = self._exposure.parse_scope([asked], self._seen, max_values=self._settings.scope_max_values)
        except Refusal as refusal:
            raise _Unsayable(self._reason(name, op, refusal)) from None
        if {normal(item) for item in values} != {normal(item) for item in _values(scope.conditions[0])}:
            raise _Unsayable(f"the value that {name!r} is compared with has no form in JSON")
        yield asked

    def _reason(self, name: str, op: str, refusal: Refusal) -> str:
        if refusal.code == "forbidden":
            return f"{name!r} is not exposed; list it in expose({self._exposure.name}, fields=…)"
        if refusal.code == "too_big":
            return f"{name!r} is compared with more than {self._settings.scope_max_values} values"
        return f"{name!r} cannot be compared with that value by {op}"

    def _order(self, queryset: Any) -> list[str]:
        ordering = queryset._ordering
        if ordering is None and queryset._document._meta.get("ordering"):
            ordering = queryset._get_order_by(queryset._document._meta["ordering"])
        found = []
        for path, direction in ordering or ():
            name = name_of(self._exposure.names, path)
            if direction not in (1, -1) or name.partition(".")[0] not in {*self._seen, KEY}:
                raise _Unsayable(f"it is ordered by {name!r}, which is not exposed")
            found.append(name if direction == 1 else f"-{name}")
        return found


def _conditions(query: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield path, operator and value of all that has to hold."""
    for path, wanted in query.items():
        if path == "$and":
            for part in wanted:
                yield from _conditions(part)
        elif path.startswith("$"):
            raise _Unsayable(f"{path} has no equal in a scope, whose conditions all hold")
        elif isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted):
            for operator, value in wanted.items():
                if operator not in _OPERATORS:
                    raise _Unsayable(f"{operator} has no equal in a scope; it knows {' '.join(_OPERATORS)}")
                yield path, _OPERATORS[operator], value
        else:
            yield path, "==", wanted


def _values(condition: Condition) -> Iterable[Any]:
    return condition.value if condition.op == "in" else (condition.value,)


def name_of(names: FieldNames, path: str) -> str:
    """Return the name on the wire of a path in the database; a path that no class declares is its own."""
    head, _, rest = path.partition(".")
    if head == KEY:
        return path
    name = next((name for name in names if names.path(name) == head), head)
    if not rest:
        return name
    field = names.field(name)
    while isinstance(field, me.ListField):
        field = field.field
    if isinstance(field, me.EmbeddedDocumentField):
        rest = name_of(FieldNames(field.document_type), rest)
    return f"{name}.{rest}"
