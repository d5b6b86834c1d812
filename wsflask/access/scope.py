"""A scope: conditions on fields that all hold, with the same truth in memory as in MongoDB's `find`."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from bson import Binary

from ..encoding import to_json_value
from ..errors import Refusal
from .compare import BSON_TYPES, Normal, has_order, key_text, normal
from .fields import FilterField, Lookup
from .matching import ORDERINGS, Matches, matcher

__all__ = ["EVERYTHING", "OPERATORS", "Condition", "Scope", "parse_scope"]

_MONGO = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}

_PLAIN_PATH = re.compile(r"[\w.]+\Z")

#: The operators a condition may have.
OPERATORS: Final = ("==", "!=", "<", "<=", ">", ">=", "in")


class Condition:
    """One field, one operator, one value.

    Two values compare only within one kind: a number is never less than a string, true is never 1, and null is
    less than nothing. A missing field is null. A list matches when one of its items does (for `!=`: when none is
    equal, and one is of the value's kind), a list on the way to the field too.

    Args:
        field: the field's name in the database, or the dotted path to it.
        op: one of OPERATORS.
        value: a BSON scalar; for `in` a sequence of them.
        name: the field's name or path on the wire.
    """

    __slots__ = ("_targets", "field", "key", "matches", "name", "op", "value")

    def __init__(self, field: str, op: str, value: Any, *, name: str | None = None) -> None:
        self.field = field
        self.name = name if name is not None else field
        if op == "in":
            by_key = {key_text(normal(item)): item for item in value}
            value = tuple(by_key[key] for key in sorted(by_key))
            if len(value) == 1:
                op, value = "==", value[0]
        self.op = op
        self.value = value
        #: The values in their normal form, as an index over equality wants them.
        self._targets = frozenset(normal(item) for item in (value if op == "in" else (value,)))
        path = field if _PLAIN_PATH.match(field) else json.dumps(field)
        #: A text that is equal for equal conditions, in every process.
        self.key = f"{path} {op} {' '.join(sorted(map(key_text, self._targets)))}"
        #: Returns whether the raw document meets the condition.
        self.matches: Matches = matcher(field, op, self._targets)

    def __repr__(self) -> str:
        return f"Condition({self.field!r}, {self.op!r}, {self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def equals(self) -> frozenset[Normal] | None:
        """The normal forms one of which the field must have, or None where the operator asks something else."""
        return self._targets if self.op in ("==", "in") else None

    def to_query(self) -> dict[str, Any]:
        """Return the MongoDB query with the same truth; every operator in it is written here."""
        if self.op in ORDERINGS:
            return {self.field: {_MONGO[self.op]: self.value}}
        values = _as_stored(self.value if self.op == "in" else (self.value,))
        if self.op != "!=":
            return {self.field: {"$eq": values[0]} if len(values) == 1 else {"$in": values}}
        if self.value is None:
            return {self.field: {"$ne": None}}
        ((kind, _),) = self._targets
        return {self.field: {"$nin": values, "$type": BSON_TYPES[kind]}}

    def to_wire(self) -> dict[str, Any]:
        """Return the condition as a client writes it."""
        value = list(self.value) if self.op == "in" else self.value
        return {"fn": self.name, "op": self.op, "val": to_json_value(value)}


def _as_stored(values: Iterable[Any]) -> list[Any]:
    """Return the values with each UUID in both of its binary forms, whichever the database was written with."""
    stored: list[Any] = []
    for value in values:
        if isinstance(value, uuid.UUID):
            stored += [Binary(value.bytes, subtype) for subtype in (4, 3)]
        else:
            stored.append(value)
    return stored


class Scope:
    """Conditions that all hold; without any, everything. Sorted and without repetition, so equal scopes are equal."""

    __slots__ = ("conditions", "key", "matches")

    def __init__(self, conditions: Iterable[Condition] = ()) -> None:
        by_key = {condition.key: condition for condition in conditions}
        self.conditions = tuple(by_key[key] for key in sorted(by_key))
        #: A text that is equal for equal scopes, in every process.
        self.key = " & ".join(sorted(by_key))
        #: Returns whether the raw document, as MongoDB stores it, meets every condition.
        self.matches: Matches = _all([condition.matches for condition in self.conditions])

    def __repr__(self) -> str:
        return f"Scope({list(self.conditions)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __and__(self, other: Scope) -> Scope:
        if not self.conditions or not other.conditions:
            return self if self.conditions else other
        return Scope(self.conditions + other.conditions)

    def to_query(self) -> dict[str, Any]:
        """Return the MongoDB query with the same truth."""
        if not self.conditions:
            return {}
        return {"$and": [condition.to_query() for condition in self.conditions]}

    def to_wire(self) -> list[dict[str, Any]]:
        """Return the scope as a client writes it."""
        return [condition.to_wire() for condition in self.conditions]


def _all(tests: list[Matches]) -> Matches:
    if len(tests) == 1:
        return tests[0]

    def matches(document: Mapping[str, Any]) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs as much as the tests
            if not test(document):
                return False
        return True

    return matches


#: The scope without conditions.
EVERYTHING: Final = Scope()


def parse_scope(
    data: Any,
    fields: Lookup,
    *,
    max_conditions: int = 20,
    max_values: int = 1000,
) -> Scope:
    """Return the scope that a client wrote, in one of two forms that mean the same.

    `[{"fn": field, "op": operator, "val": value}, …]`, or `{field: value, field: {operator: value, …}, …}` in which a
    value alone is one for `==`. None and what is empty are the scope without conditions. Nothing of `data` becomes a
    field path or an operator: both are looked up.

    Args:
        fields: tells a field by its path on the wire; no other may be asked for.
        max_conditions: conditions in all.
        max_values: values in the list of an `in`.

    Raises:
        Refusal: bad_data (shape, operator, a value the field cannot be compared with), forbidden (a field that is
            not found), too_big (more than the limits), too_deep.
    """
    if data is None:
        return EVERYTHING
    asked = [_checked(condition, max_values) for condition in _listed(data, max_conditions)]
    found = [(fields.get(name), op, value) for name, op, value in asked]
    known = [(field, op, value) for field, op, value in found if field is not None]
    if len(known) < len(found):
        raise Refusal("forbidden", "a field of a scope")
    return Scope(_condition(field, op, value) for field, op, value in known)


def _listed(data: Any, max_conditions: int) -> list[tuple[Any, Any, Any]]:
    """Return name, operator and value of each condition, in whichever form they were written."""
    found: list[tuple[Any, Any, Any]] = []
    if isinstance(data, Mapping):
        for condition in _mapped(data):
            if len(found) == max_conditions:
                raise Refusal("too_big", "conditions of a scope")
            found.append(condition)
        return found
    if not isinstance(data, list | tuple):
        raise Refusal("bad_data", "a scope is a list or an object")
    if len(data) > max_conditions:
        raise Refusal("too_big", "conditions of a scope")
    for item in data:
        if not isinstance(item, Mapping) or item.keys() != {"fn", "op", "val"}:
            raise Refusal("bad_data", "a condition has fn, op and val")
        found.append((item["fn"], item["op"], item["val"]))
    return found


def _mapped(data: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    for name, asked in data.items():
        if not isinstance(asked, Mapping):
            yield name, "==", asked
        elif not asked:
            raise Refusal("bad_data", "a field without a condition")
        else:
            for op, value in asked.items():
                yield name, op, value


def _checked(condition: tuple[Any, Any, Any], max_values: int) -> tuple[str, str, Any]:
    name, op, value = condition
    if not isinstance(name, str) or not isinstance(op, str) or op not in OPERATORS:
        raise Refusal("bad_data", "field or operator of a condition")
    if op == "in":
        if not isinstance(value, list | tuple):
            raise Refusal("bad_data", "in wants a list")
        if len(value) > max_values:
            raise Refusal("too_big", "values of in")
    return name, op, value


def _condition(field: FilterField, op: str, value: Any) -> Condition:
    if op == "in":
        return Condition(field.path, op, [_value(field, item) for item in value], name=field.name)
    converted = _value(field, value)
    if op in ORDERINGS and not (field.is_ordered and has_order(normal(converted)[0])):
        raise Refusal("bad_data", "a value without an order")
    return Condition(field.path, op, converted, name=field.name)


def _value(field: FilterField, value: Any) -> Any:
    if value is None:
        return None
    try:
        return field.convert(value)
    except (ValueError, TypeError, ArithmeticError):
        raise Refusal("bad_data", "a value that the field cannot be compared with") from None
