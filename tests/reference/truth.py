"""Random documents and scopes for which `find` and `Scope.matches` have to tell the same rows."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mongoengine as me
from bson import Binary, DBRef
from pymongo.collection import Collection

from tests.bson_values import IDS, MOMENTS, NUMBERS, OTHERS, TEXTS, TOKENS
from wsflask.access import OPERATORS, Exposure, Scope
from wsflask.errors import Refusal

__all__ = ["EXPOSED", "PATHS", "WRITTEN", "Tally", "compare", "random_document", "random_scope"]


class Kind(enum.Enum):
    FIRST = "a"
    SECOND = 5


class Port(me.Document):
    code = me.StringField(primary_key=True)
    meta = {"collection": "truth_port"}


class Part(me.EmbeddedDocument):
    text = me.StringField(db_field="t")
    number = me.IntField(db_field="n")
    moment = me.DateTimeField(db_field="when")
    part = me.EmbeddedDocumentField("self", db_field="p")
    parts = me.ListField(me.EmbeddedDocumentField("self"), db_field="ps")
    extra = me.DictField(db_field="x")
    meta = {"allow_inheritance": True}


class SpecialPart(Part):
    special = me.FloatField(db_field="s")


class LoosePart(me.DynamicEmbeddedDocument):
    text = me.StringField(db_field="t")


class Thing(me.Document):
    """A field of each kind that a path can begin with."""

    key = me.DynamicField(primary_key=True)
    text = me.StringField(db_field="t")
    number = me.IntField(db_field="n")
    ratio = me.FloatField()
    flag = me.BooleanField()
    moment = me.DateTimeField(db_field="when")
    price = me.Decimal128Field()
    rounded = me.DecimalField(precision=1)
    owner = me.ObjectIdField()
    token = me.UUIDField()
    kind = me.EnumField(Kind)
    port = me.ReferenceField(Port)
    port_ref = me.ReferenceField(Port, dbref=True)
    raw = me.BinaryField()
    tags = me.ListField(me.StringField())
    numbers = me.SortedListField(me.IntField())
    matrix = me.ListField(me.ListField(me.IntField()))
    part = me.EmbeddedDocumentField(Part, db_field="p")
    parts = me.EmbeddedDocumentListField(Part, db_field="ps")
    loose = me.EmbeddedDocumentField(LoosePart)
    generic = me.GenericEmbeddedDocumentField()
    counts = me.MapField(me.IntField(), db_field="c")
    by_key = me.MapField(me.EmbeddedDocumentField(Part), db_field="b")
    lists = me.MapField(me.ListField(me.StringField()))
    dicts = me.ListField(me.DictField())
    extra = me.DictField(db_field="x")
    anything = me.DynamicField(db_field="y")
    meta = {"collection": "truth_thing"}


_NAMES = tuple(name for name in Thing._fields if name != "key")
EXPOSED = Exposure(Thing, fields=_NAMES)

#: Paths on the wire, of which most lead somewhere.
PATHS = (
    "_id", *_NAMES,
    "part.text", "part.number", "part.moment", "part.special", "part.part.text", "part.part.number",
    "part.parts.number", "part.parts.parts.text", "part.extra", "part.extra.t", "part.extra.0", "part._cls",
    "parts.text", "parts.number", "parts.moment", "parts.special", "parts.part.number", "parts.parts.text",
    "parts.parts.number", "parts.parts.parts.number", "parts.extra.n", "parts.extra.n.0", "parts.extra.0.n",
    "loose.text", "loose.t", "loose.n", "loose.n.t", "generic.t", "generic._cls", "generic.p.t", "generic.ps.0",
    "counts.t", "counts.0", "counts.é", "by_key.t.text", "by_key.0.number", "by_key.n.parts.number", "lists.t",
    "lists.1", "dicts.t", "dicts.0", "dicts.0.t", "dicts.n.0", "extra.t", "extra.n", "extra.0", "extra.1", "extra.t.n",
    "extra.t.0", "extra.0.0", "extra.0.1.n", "extra.n.0.t", "extra.t.n.0.0", "extra.00", "extra.x y", "extra.é",
    "anything.t", "anything.0", "anything.0.0", "anything.n.t", "anything.0.n", "anything.1.n.0",
)  # fmt: skip
_KEYS = ("t", "n", "p", "ps", "x", "0", "1", "when", "00", "é", "x y")

_WHOLE = (0, 1, -1, 5, 5.0, 5.5, 0.1, -0.0, 1e19, 1e300, 5e-324, 2**53 - 1, -(2**63), 2**63 - 1)
_TIMES = ("2013-02-08T12:00:00Z", "2013-02-08T13:00:00.001+01:00", "1901-01-01")
#: Values on the wire that a client may compare with.
WRITTEN: tuple[Any, ...] = (
    None, True, False, *_WHOLE, "9007199254740993", "5.00", "0.1", "0.1000000000000000055511151231257827", "1E+300",
    *_TIMES, *map(str, IDS), *map(str, TOKENS), *TEXTS, "UA", "Part",
)  # fmt: skip
_ODD: tuple[Any, ...] = ({}, [], [5], {"$gt": ""}, "\ud800")
#: Last part of a path to the values that are mostly written there.
_BY_END: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...] = (
    (("text", "t", "tags", "lists", "1"), tuple(TEXTS)),
    (("number", "n", "ratio", "special", "numbers", "counts", "0", "rounded", "kind"), _WHOLE),
    (("price",), (*_WHOLE, "9007199254740993", "5.00", "0.1000000000000000055511151231257827", "1E+300")),
    (("moment",), _TIMES),
    (("owner",), tuple(map(str, IDS))),
    (("token",), tuple(map(str, TOKENS))),
    (("port", "port_ref"), ("UA", "a")),
    (("flag",), (True, False)),
)

_ANY = (*NUMBERS, *TEXTS, *OTHERS)
_POOLS: dict[str, tuple[Any, ...]] = {
    "t": tuple(TEXTS), "tags": tuple(TEXTS), "lists": tuple(TEXTS), "kind": ("a", 5), "n": tuple(NUMBERS),
    "ratio": tuple(NUMBERS), "s": tuple(NUMBERS), "price": tuple(NUMBERS), "rounded": tuple(NUMBERS),
    "numbers": tuple(NUMBERS), "matrix": tuple(NUMBERS), "c": tuple(NUMBERS), "flag": (True, False),
    "when": tuple(MOMENTS), "owner": tuple(IDS), "token": (*TOKENS, Binary(TOKENS[0].bytes, 3)), "port": ("UA", "a"),
    "port_ref": (DBRef("truth_port", "UA"), DBRef("truth_port", "a"), DBRef("other", "UA"), "UA"),
}  # fmt: skip
_TOP = tuple(str(field.db_field) for name, field in Thing._fields.items() if name != "key")


def random_document(chance: random.Random) -> dict[str, Any]:
    """Return a raw document without `_id`: mostly of the declared shape, sometimes of any."""
    return {name: _value(chance, name, 3) for name in _TOP if chance.random() < 0.8}


def _value(chance: random.Random, name: str, depth: int) -> Any:
    roll = chance.random()
    if depth and roll < 0.18:
        return [_value(chance, name, depth - 1) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    is_object = name in ("p", "ps", "b", "c", "x", "y", "loose", "generic", "lists", "dicts", "0", "1")
    if depth and roll < (0.8 if is_object else 0.28):
        names = chance.sample(_KEYS, chance.choice((0, 2, 4, 6, 8)))
        return {inner: _value(chance, inner, depth - 1) for inner in names}
    pool = _POOLS.get(name, _ANY) if roll < 0.88 else _ANY
    return chance.choice(pool[:5] if roll < 0.6 else pool)


def random_scope(chance: random.Random) -> Scope | None:
    """Return a scope as a client would write it, in either form; None where it is refused."""
    conditions = [_condition(chance) for _ in range(chance.choice((1, 1, 1, 2)))]
    data: Any = [{"fn": path, "op": op, "val": value} for path, op, value in conditions]
    if chance.random() < 0.5:
        data = {}
        for path, op, value in conditions:
            data.setdefault(path, {})[op] = value
    try:
        return EXPOSED.parse_scope(data, _NAMES)
    except Refusal:
        return None


def _condition(chance: random.Random) -> tuple[str, str, Any]:
    path, op = chance.choice(PATHS), chance.choice(OPERATORS)
    if op == "in":
        return path, op, [_written(chance, path) for _ in range(chance.randrange(5))]
    return path, op, chance.choice(_ODD) if chance.random() < 0.02 else _written(chance, path)


def _written(chance: random.Random, path: str) -> Any:
    """Return a value that often can be compared with what stands at the path."""
    if chance.random() < 0.1:
        return None
    last = path.rsplit(".", maxsplit=1)[-1]
    pool = next((pool for ends, pool in _BY_END if last in ends), WRITTEN)
    return chance.choice(pool if chance.random() < 0.8 else WRITTEN)


@dataclass(slots=True)
class Tally:
    """What a comparison has counted."""

    pairs: int = 0
    scopes: int = 0
    refused: int = 0
    #: Pairs in which the document is a row.
    rows: int = 0
    #: Scope and document of each pair about which the two disagree.
    differences: list[tuple[Scope, dict[str, Any]]] | None = None

    def note(self, scope: Scope, document: dict[str, Any]) -> None:
        """Add a difference."""
        self.differences = [*(self.differences or []), (scope, document)]


def compare(
    collection: Collection[dict[str, Any]],
    chance: random.Random,
    pairs: int,
    progress: Callable[[Tally], None] = lambda tally: None,
    *,
    documents: int = 100,
    scopes: int = 20,
) -> Tally:
    """Ask MongoDB and `Scope.matches` which documents are rows, for at least so many pairs. May switch.

    Args:
        documents: how many each batch inserts.
        scopes: how many each batch asks.
    """
    tally = Tally()
    while tally.pairs < pairs:
        collection.delete_many({})
        collection.insert_many({"_id": number, **random_document(chance)} for number in range(documents))
        stored = list(collection.find())
        asked = 0
        while asked < scopes:
            scope = random_scope(chance)
            if scope is None:
                tally.refused += 1
                continue
            found = {document["_id"] for document in collection.find(scope.to_query(), {"_id": 1})}
            for document in stored:
                is_row = document["_id"] in found
                if scope.matches(document) is not is_row:
                    tally.note(scope, document)
                tally.rows += is_row
            asked += 1
        tally.scopes += asked
        tally.pairs += asked * documents
        progress(tally)
    return tally
