"""What the oracle knows of the classes, without asking wsflask: names on the wire and in the database, and kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CLASSES", "EMBEDDED", "Field", "Shape", "classes_of", "to_stored"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field."""

    path: str
    #: string, number, decimal, date, bool, uuid, any, dict; or reference, embedded.
    kind: str
    #: The class it refers to, or the embedded one.
    target: str = ""
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """One class."""

    collection: str
    #: By name on the wire.
    fields: Mapping[str, Field]
    #: The kind of its primary key.
    key: str = "id"
    #: What `_cls` may be; empty: there is none.
    types: tuple[str, ...] = ()


EMBEDDED: dict[str, Mapping[str, Field]] = {
    "Place": {"city": Field("city", "string"), "zip": Field("z", "string"), "floor": Field("floor", "number")},
    "Step": {
        "what": Field("what", "string"),
        "minutes": Field("m", "number"),
        "place": Field("place", "embedded", "Place"),
    },
}

_ANIMAL = {
    "name": Field("name", "string"),
    "age": Field("age", "number"),
    "owner": Field("owner", "string"),
    "lives": Field("lives", "number"),
    "trick": Field("tr", "string"),
    "chip": Field("chip", "string"),
}

CLASSES: dict[str, Shape] = {
    "Order": Shape(
        "walk_order",
        {
            "number": Field("number", "number"),
            "region": Field("region", "string"),
            "status": Field("status", "string"),
            "total": Field("total", "number"),
            "weight": Field("weight", "decimal"),
            "placed": Field("placed", "date"),
            "paid": Field("paid", "bool"),
            "tags": Field("tags", "string", is_list=True),
            "serial": Field("serial", "number"),
            "code": Field("code", "uuid"),
            "product": Field("product", "reference", "Product"),
            "products": Field("products", "reference", "Product", is_list=True),
            "remark": Field("remark", "string"),
            "contact": Field("contact", "string"),
            "margin": Field("margin", "number"),
            "secret": Field("secret", "string"),
            "internal": Field("internal", "string"),
        },
    ),
    "Product": Shape(
        "walk_product",
        {
            "title": Field("t", "string"),
            "kind": Field("k", "string"),
            "price": Field("p", "number"),
            "stock": Field("n", "number"),
            "supplier": Field("s", "string"),
        },
        key="string",
    ),
    "Animal": Shape("walk_animal", _ANIMAL, types=("Animal", "Animal.Cat", "Animal.Dog")),
    "Cat": Shape("walk_animal", _ANIMAL, types=("Animal.Cat",)),
    "Ticket": Shape(
        "walk_ticket",
        {
            "title": Field("title", "string"),
            "owner": Field("owner", "string"),
            "level": Field("level", "number"),
            "watchers": Field("watchers", "string", is_list=True),
            "place": Field("pl", "embedded", "Place"),
            "steps": Field("steps", "embedded", "Step", is_list=True),
            "secret": Field("secret", "string"),
        },
    ),
    "Note": Shape(
        "walk_note",
        {
            "topic": Field("topic", "string"),
            "color": Field("color", "any"),
            "score": Field("score", "any"),
            "data": Field("data", "dict"),
            "draft": Field("draft", "string"),
        },
    ),
    "Shipment": Shape(
        "walk_shipment",
        {
            "state": Field("state", "string"),
            "memo": Field("memo", "string"),
            "order": Field("order", "reference", "Order"),
            "via": Field("via", "reference", "Product", is_list=True),
            "cost": Field("cost", "string"),
        },
        key="number",
    ),
    "Fence": Shape("walk_fence", {"number": Field("number", "number")}, key="string"),
}


def classes_of(collection: str) -> tuple[str, ...]:
    """Return the classes whose documents are in a collection."""
    return tuple(name for name, shape in CLASSES.items() if shape.collection == collection)


def to_stored(values: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return values by name on the wire as they are stored: by name in the database, in embedded documents too."""
    return {fields[name].path: _stored(value, fields[name]) for name, value in values.items()}


def _stored(value: Any, field: Field) -> Any:
    if field.kind == "embedded" and isinstance(value, list):
        return [_stored(item, field) for item in value]
    if field.kind == "embedded" and isinstance(value, Mapping):
        return to_stored(value, EMBEDDED[field.target])
    return value
