"""A condition as a function of raw documents, quick for the types that most fields have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any, Final

from bson import ObjectId

from .compare import NULL, Normal, normal
from .paths import leaves

__all__ = ["ORDERINGS", "Matches", "matcher"]

#: Tells whether a raw document, as MongoDB stores it, meets a condition.
Matches = Callable[[Mapping[str, Any]], bool]
_Test = Callable[[Any], bool]

ORDERINGS: Final[dict[str, Callable[[Any, Any], bool]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

#: Types whose values are their own normal form: kind to types.
_PLAIN: Final[dict[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "string": (str,),
    "number": (int, float),
    "bool": (bool,),
    "objectId": (ObjectId,),
}
_PLAIN_TYPES: Final = frozenset(plain for types in _PLAIN.values() for plain in types)


def matcher(field: str, op: str, targets: frozenset[Normal]) -> Matches:
    """Return the function for a condition.

    Args:
        field: path in the database.
        op: one of `scope.OPERATORS`.
        targets: the values in their normal form: one, but for `in`.
    """
    if op in ("==", "in"):
        one, many = _equal(targets)
    elif op == "!=":
        one, many = _unequal(*targets)
    else:
        one, many = _ordered(ORDERINGS[op], *targets)
    if "." not in field:
        return _at_field(field, one, many)
    segments = field.split(".")
    return lambda document: many(leaves(document, segments))


def _at_field(field: str, one: _Test, many: _Test) -> Matches:
    def matches(document: Mapping[str, Any]) -> bool:
        value = document.get(field)
        return many(value) if isinstance(value, list) else one(value)

    return matches


def _equal(targets: frozenset[Normal]) -> tuple[_Test, _Test]:
    by_type: dict[type, frozenset[Any]] = {}
    for name in {kind for kind, _ in targets if kind in _PLAIN}:
        by_type.update(dict.fromkeys(_PLAIN[name], frozenset(value for kind, value in targets if kind == name)))

    def one(value: Any) -> bool:
        kind = type(value)
        known = by_type.get(kind)
        return value in known if known is not None else kind not in _PLAIN_TYPES and normal(value) in targets

    return one, lambda values: any(map(one, values))


def _unequal(target: Normal) -> tuple[_Test, _Test]:
    kind, unwanted = target
    plain = _PLAIN.get(kind, ())

    def one(value: Any) -> bool:
        if type(value) in plain:
            return bool(value != unwanted)
        found = normal(value)
        return found != target and (target == NULL or found[0] == kind)

    def many(values: Any) -> bool:
        found = [normal(value) for value in values]
        return target not in found and (target == NULL or any(other == kind for other, _ in found))

    return one, many


def _ordered(holds: Callable[[Any, Any], bool], target: Normal) -> tuple[_Test, _Test]:
    kind, limit = target
    # A Decimal does not compare with a NaN.
    plain = _PLAIN.get(kind, ()) if type(limit) in _PLAIN.get(kind, ()) else ()

    def one(value: Any) -> bool:
        if type(value) in plain:
            return holds(value, limit)
        other, found = normal(value)
        return other == kind and holds(found, limit)

    return one, lambda values: any(map(one, values))
