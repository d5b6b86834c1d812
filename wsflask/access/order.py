"""An order: fields to sort documents by, in memory exactly as MongoDB's `sort` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import Refusal
from .fields import FilterField, Lookup
from .paths import as_object
from .ranks import DOWN, EMPTY, UP

__all__ = ["BY_KEY", "MAX_TERMS", "Order", "SortKey", "Term", "parse_order"]

#: Fields in one order.
MAX_TERMS: Final = 4

#: Compares by `<` with another one of the same order; no two documents of a collection have equal ones.
SortKey = tuple[Any, ...]

_KEY = "_id"


@dataclass(frozen=True, slots=True)
class Term:
    """One field to sort by."""

    #: The path in the database.
    path: str
    #: The path on the wire.
    name: str
    #: Whether the greatest value comes first.
    is_down: bool = False


class Order:
    """Fields to sort by, each up or down; documents that are equal in all of them are sorted by `_id`, up.

    Going up, null comes first, which a missing field is too; then numbers, strings and so on, type by type. A list
    sorts by its least item when it goes up, by its greatest when it goes down, and an empty one before null.
    """

    __slots__ = ("_plan", "key", "paths", "terms")

    def __init__(self, terms: Iterable[Term] = ()) -> None:
        found = list(terms)
        at = next((index for index, term in enumerate(found) if term.path == _KEY), None)
        #: What decides; nothing behind the primary key can.
        self.terms: tuple[Term, ...] = tuple(found[: at + 1] if at is not None else [*found, Term(_KEY, _KEY)])
        #: A text that is equal for equal orders, in every process.
        self.key = " ".join(f"{'-' if term.is_down else '+'}{json.dumps(term.path)}" for term in self.terms)
        #: The top-level fields in the database that a sort key is made of.
        self.paths = tuple(dict.fromkeys(term.path.partition(".")[0] for term in self.terms))
        self._plan = tuple((tuple(term.path.split(".")), DOWN if term.is_down else UP) for term in self.terms)

    def __repr__(self) -> str:
        return f"Order({list(self.terms)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def to_sort(self) -> list[tuple[str, int]]:
        """Return the order as `find().sort(…)` takes it."""
        return [(term.path, -1 if term.is_down else 1) for term in self.terms]

    def to_wire(self) -> list[str]:
        """Return the order as a client writes it: without the primary key at the end that every order has."""
        last = self.terms[-1]
        terms = self.terms[:-1] if len(self.terms) > 1 and not last.is_down else self.terms
        return [f"{'-' if term.is_down else ''}{term.name}" for term in terms]

    def sort_key(self, document: Mapping[str, Any]) -> SortKey:
        """Return what the raw document sorts by; the fields in `paths` are all that it has to hold."""
        key: list[Any] = []
        for segments, rank in self._plan:
            value = document.get(segments[0]) if len(segments) == 1 else _down(document, segments)[0]
            if isinstance(value, list):
                return self._least_key(document)
            key += rank(value)
        return tuple(key)

    def _least_key(self, document: Mapping[str, Any]) -> SortKey:
        """Return the sort key of a document with lists or paths: of several, the first in this order."""
        found: list[list[Any]] = []
        _collect(document, [segments for segments, _ in self._plan], [None] * len(self._plan), found)
        return min(self._ranked(values) for values in found)

    def _ranked(self, values: list[Any]) -> SortKey:
        key: list[Any] = []
        for value, (_, rank) in zip(values, self._plan, strict=True):
            key += rank(value)
        return tuple(key)


#: The order of those who ask for none.
BY_KEY: Final = Order()


def _collect(node: Mapping[str, Any], rests: list[tuple[str, ...]], values: list[Any], found: list[list[Any]]) -> None:
    """Add to `found` the values that stand at the paths, once for each item of a list that the paths go through.

    Args:
        rests: what is left of each path below the node; empty where the value is known.
        values: the value of each path, where it is known.
    """
    rests, values = list(rests), list(values)
    opened: list[Any] | None = None
    inside: list[int] = []
    for index, rest in enumerate(rests):
        if not rest:
            continue
        values[index], rests[index] = _down(node, rest)
        if isinstance(values[index], list) and opened is None:
            opened = values[index]
        if values[index] is opened and opened is not None:
            inside.append(index)
        else:  # MongoDB refuses to sort by two lists
            rests[index] = ()
    if opened is None:
        found.append(values)
        return
    for item in opened or (EMPTY,):
        for index in inside:
            values[index] = None if rests[index] else item
        _collect(as_object(item) or {}, rests, values, found)


def _down(node: Mapping[str, Any], rest: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """Return the value at the path's end, or the first list on the way with what is left of the path."""
    for depth, segment in enumerate(rest, start=1):
        value = node.get(segment)
        if isinstance(value, list):
            return value, rest[depth:]
        if depth == len(rest):
            return value, ()
        inner = as_object(value)
        if inner is None:
            break
        node = inner
    return None, ()


def parse_order(data: Any, fields: Lookup) -> Order:
    """Return the order that a client wrote: "field", "-field" for down, or a list of these; None is by `_id`.

    Nothing of `data` becomes a field path: the fields are looked up.

    Args:
        fields: tells a field by its path on the wire; by no other may be sorted.

    Raises:
        Refusal: bad_data (shape, a field without an order, one twice, two lists), forbidden (a field that is not
            found), too_big (more than MAX_TERMS), too_deep.
    """
    if data is None:
        return BY_KEY
    asked = [data] if isinstance(data, str) else data
    if not isinstance(asked, list | tuple) or not asked or not all(isinstance(item, str) for item in asked):
        raise Refusal("bad_data", "an order is a field or a list of fields")
    if len(asked) > MAX_TERMS:
        raise Refusal("too_big", "fields of an order")
    found = [(fields.get(item.removeprefix("-")), item.startswith("-")) for item in asked]
    known = [(field, is_down) for field, is_down in found if field is not None]
    if len(known) < len(found):
        raise Refusal("forbidden", "a field of an order")
    _check([field for field, _ in known])
    return Order(Term(field.path, field.name, is_down) for field, is_down in known)


def _check(fields: list[FilterField]) -> None:
    if any(not field.is_ordered or field.may_index for field in fields):
        raise Refusal("bad_data", "a field without an order")
    if sum(field.has_list for field in fields) > 1:
        raise Refusal("bad_data", "an order by two lists")
    paths = [f"{field.path}." for field in fields]
    for index, path in enumerate(paths):
        if any(index != other and path.startswith(paths[other]) for other in range(len(paths))):
            raise Refusal("bad_data", "an order by a field and what is in it")
