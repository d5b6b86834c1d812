"""A catalog: which fields a client asks for, made a projection of what it may see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mongoengine import DynamicEmbeddedDocument, EmbeddedDocument
from mongoengine import fields as me
from mongoengine.errors import MongoEngineException

from ..access.exposure import Exposure
from ..access.grants import Access
from ..access.names import KEY, FieldNames
from ..errors import Refusal
from .leaves import AnyEmbedded, Day, PreciseTime
from .projection import (
    LEAF,
    Embedded,
    Expanded,
    Identity,
    Items,
    Node,
    OpenEmbedded,
    Picked,
    Projection,
    Selected,
)

__all__ = ["MAX_EXPANSIONS", "Right", "Rights", "parse_catalog"]

#: How deep expanded references may nest: each level costs a query for each class.
MAX_EXPANSIONS = 4
#: How deep embedded documents are shown by their declared fields when nobody selects in them; they may be recursive.
_MAX_EMBEDDED = 8

_REFERENCES = (me.ReferenceField, me.LazyReferenceField, me.CachedReferenceField)
_EMBEDDED = (me.EmbeddedDocumentField,)


@dataclass(frozen=True, slots=True)
class Right:
    """What one user may see of an exposed class."""

    exposure: Exposure
    access: Access
    #: Names on the wire of the fields.
    visible: frozenset[str]


#: Document class to what the user may see of it; None: nothing.
Rights = Callable[[Any], Right | None]


def parse_catalog(data: Any, right: Right, rights: Rights) -> Projection:
    """Return the projection for the catalog `{field: null | true | false | {sub-catalog}}`.

    None and `{}` select every field the user sees. Keys that do not exist, or that the user does not see, are
    ignored alike. `false` and a sub-catalog expand a reference whose class the user may read; else it stays an id.

    Raises:
        Refusal: bad_data (not of that shape), too_deep (more than MAX_EXPANSIONS expansions in one another).
    """
    _check_shape(data)
    return _Reader(rights).projection(data, right, 0)


def _check_shape(data: Any) -> None:
    if data is None:
        return
    if not isinstance(data, dict):
        raise Refusal("bad_data", "a catalog is an object")
    for name, wanted in data.items():
        if not isinstance(name, str):
            raise Refusal("bad_data", "a catalog's keys are names")
        if isinstance(wanted, dict):
            _check_shape(wanted)
        elif wanted is not None and not isinstance(wanted, bool):
            raise Refusal("bad_data", "a catalog's values are null, true, false or catalogs")


class _Reader:
    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def projection(self, data: Any, right: Right, depth: int) -> Projection:
        names = right.exposure.in_order(right.visible)
        return Projection(self._selected(data, right.exposure.names, names, depth, fills=True))

    def _selected(
        self, data: Any, fields: FieldNames, names: Iterable[str], depth: int, *, fills: bool, embedded: int = 0
    ) -> Selected:
        wanted: dict[str, Any] = data or {}
        return Selected(
            [
                (name, fields.path(name), self._node(fields.field(name), wanted.get(name), depth, embedded))
                for name in names
                if name != KEY and (not wanted or name in wanted)
            ],
            fills=fills,
        )

    def _node(self, field: Any, wanted: Any, depth: int, embedded: int) -> Node:
        is_picked = isinstance(wanted, dict) and bool(wanted)
        if isinstance(field, me.ListField | me.MapField) or (isinstance(field, me.DictField) and not is_picked):
            inner = self._node(field.field, wanted, depth, embedded)
            return inner if inner is LEAF else Items(inner)
        if isinstance(field, _REFERENCES):
            return self._reference(field, wanted, depth)
        if isinstance(field, _EMBEDDED) and embedded < _MAX_EMBEDDED:
            return self._embedded(field.document_type, wanted, depth, embedded)
        if isinstance(field, me.GenericEmbeddedDocumentField) and embedded < _MAX_EMBEDDED:
            return self._any_embedded(wanted, embedded)
        if is_picked and _has_keys(field):
            inner_field = getattr(field, "field", None)
            return Picked({name: self._node(inner_field, inner, depth, embedded) for name, inner in wanted.items()})
        if isinstance(field, me.DateField):
            return Day()
        return PreciseTime(field) if isinstance(field, me.ComplexDateTimeField) else LEAF

    def _embedded(self, document_type: Any, wanted: Any, depth: int, embedded: int) -> Node:
        if not issubclass(document_type, EmbeddedDocument):
            return LEAF
        chosen = wanted if isinstance(wanted, dict) and wanted else None
        names = FieldNames(document_type)
        known = list(names)
        known += sorted(name for name in chosen or () if name in names and name not in known)
        selected = self._selected(chosen, names, known, depth, fills=chosen is not None, embedded=embedded + 1)
        if chosen is None and issubclass(document_type, DynamicEmbeddedDocument):
            return OpenEmbedded(selected)
        return Embedded(selected)

    def _any_embedded(self, wanted: Any, embedded: int) -> Node:
        """Return how an embedded document of any class is shown; a reference in it is not expanded."""
        reader = _Reader(lambda _: None)
        chosen = wanted if isinstance(wanted, dict) else None
        return AnyEmbedded(
            json.dumps(chosen, sort_keys=True), lambda found: reader._embedded(found, chosen, 0, embedded)
        )

    def _reference(self, field: Any, wanted: Any, depth: int) -> Node:
        if wanted is None or wanted is True:
            return Identity()
        if depth >= MAX_EXPANSIONS:
            raise Refusal("too_deep", "expansions in one another")
        try:
            right = self._rights(field.document_type)
        except MongoEngineException:
            right = None  # the class it refers to was never defined
        if right is None:
            return Identity()
        projection = self.projection(wanted or None, right, depth + 1)
        return Expanded(right.exposure, right.access, projection)


def _has_keys(field: Any) -> bool:
    return field is None or isinstance(field, me.DictField | me.DynamicField)
