"""Scopes: what a client may write, and the same truth in memory as in MongoDB."""

from __future__ import annotations

import datetime
import math
import random
import uuid
from typing import Any

import mongoengine as me
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tests import harness
from wsflask.access.fields import FilterField, filter_field
from wsflask.access.scope import OPERATORS, Condition, Scope, parse_scope
from wsflask.errors import Refusal

UTC = datetime.UTC
NOON = datetime.datetime(2013, 2, 8, 12, 0, tzinfo=UTC)


class Airline(me.Document):
    code = me.StringField(primary_key=True)
    meta = {"collection": "scope_airline"}


class Every(me.Document):
    """A field of each kind that can be asked for."""

    text = me.StringField(db_field="t")
    count = me.IntField()
    ratio = me.FloatField()
    flag = me.BooleanField()
    moment = me.DateTimeField()
    precise = me.ComplexDateTimeField()
    price = me.Decimal128Field()
    rounded = me.DecimalField(precision=2)
    written = me.DecimalField(precision=2, force_string=True)
    owner = me.ObjectIdField()
    token = me.UUIDField()
    airline = me.ReferenceField(Airline)
    airline_ref = me.ReferenceField(Airline, dbref=True)
    tags = me.ListField(me.StringField())
    extra = me.DictField()
    anything = me.DynamicField()
    meta = {"collection": "scope_every"}


FIELDS: dict[str, FilterField] = {
    name: filter_field(name, field.db_field, field) for name, field in Every._fields.items()
}


def parse(*conditions: tuple[str, str, Any]) -> Scope:
    return parse_scope([{"fn": fn, "op": op, "val": value} for fn, op, value in conditions], FIELDS)


def refusal_of(data: Any, **limits: int) -> str:
    with pytest.raises(Refusal) as caught:
        parse_scope(data, FIELDS, **limits)
    return caught.value.code


# --- what a client may write


@pytest.mark.parametrize("data", [None, []])
def test_no_conditions_are_everything(data: Any) -> None:
    scope = parse_scope(data, FIELDS)

    assert scope.matches({"anything": 1})
    assert scope.to_query() == {}


@pytest.mark.parametrize(
    "data",
    [
        "status",
        {"status": "open"},
        [1],
        [{}],
        [{"fn": "text", "op": "=="}],
        [{"fn": "text", "op": "==", "val": 1, "more": 2}],
        [{"fn": 5, "op": "==", "val": 1}],
        [{"fn": "text", "op": "=", "val": 1}],
        [{"fn": "text", "op": "$gt", "val": ""}],
        [{"fn": "text", "op": ["=="], "val": ""}],
        [{"fn": "text", "op": "==", "val": {"$gt": ""}}],
        [{"fn": "text", "op": "==", "val": ["a"]}],
        [{"fn": "text", "op": "in", "val": "abc"}],
        [{"fn": "text", "op": "in", "val": None}],
        [{"fn": "text", "op": "in", "val": [{"$ne": 1}]}],
        [{"fn": "text", "op": "<", "val": None}],
        [{"fn": "count", "op": "==", "val": 2**63}],
        [{"fn": "ratio", "op": "==", "val": math.nan}],
        [{"fn": "moment", "op": ">", "val": "yesterday"}],
        [{"fn": "moment", "op": ">", "val": 5}],
        [{"fn": "owner", "op": "==", "val": "585a"}],
        [{"fn": "owner", "op": "==", "val": 5}],
        [{"fn": "price", "op": "==", "val": "much"}],
        [{"fn": "price", "op": "==", "val": "Infinity"}],
        [{"fn": "price", "op": "==", "val": True}],
        [{"fn": "token", "op": "==", "val": "x"}],
        [{"fn": "token", "op": "<", "val": str(uuid.UUID(int=1))}],
        [{"fn": "written", "op": "<", "val": 5}],
        [{"fn": "extra", "op": "==", "val": "x"}],
        [{"fn": "text", "op": "==", "val": "\ud800"}],
    ],
)
def test_what_is_no_scope_is_refused_as_bad_data(data: Any) -> None:
    assert refusal_of(data) == "bad_data"


@pytest.mark.parametrize("name", ["secret", "t", "_id.x", "extra.key", "$where", "__class__", ""])
def test_a_field_that_is_not_among_the_allowed_ones_is_forbidden(name: str) -> None:
    assert refusal_of([{"fn": name, "op": "==", "val": 1}]) == "forbidden"


def test_more_conditions_or_values_than_the_limits_are_too_big() -> None:
    one = {"fn": "text", "op": "==", "val": "a"}

    assert refusal_of([one] * 3, max_conditions=2) == "too_big"
    assert refusal_of([{"fn": "text", "op": "in", "val": ["a", "b"]}], max_values=1) == "too_big"


def test_equal_scopes_are_equal_however_they_were_written() -> None:
    one = parse(("count", ">", 5), ("text", "in", ["b", "a", "b"]), ("flag", "in", [True]))
    other = parse(("flag", "==", True), ("text", "in", ["a", "b"]), ("count", ">", 5.0), ("count", ">", 5))

    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key
    assert one != parse(("count", ">", 5))


@given(st.text(max_size=5), st.text(max_size=5))
def test_different_values_never_share_a_key(one: str, other: str) -> None:
    assert (Condition("a", "==", one).key == Condition("a", "==", other).key) == (one == other)


def test_a_scope_can_be_written_back() -> None:
    scope = parse(("moment", ">=", "2013-02-08T07:00:00-05:00"), ("text", "in", ["b", "a"]), ("count", "!=", None))

    assert scope.to_wire() == [
        {"fn": "count", "op": "!=", "val": None},
        {"fn": "moment", "op": ">=", "val": "2013-02-08T12:00:00Z"},
        {"fn": "text", "op": "in", "val": ["a", "b"]},
    ]


# --- values by the field's type


@pytest.mark.parametrize(
    ("field", "written", "stored"),
    [
        ("moment", "2013-02-08T12:00:00Z", NOON),
        ("moment", "2013-02-08T12:00:00", NOON),
        ("moment", "2013-02-08T13:00:00.000999+01:00", NOON),
        ("moment", NOON.date(), NOON.replace(hour=0)),
        ("precise", "2013-02-08T12:00:00.000007Z", "2013,02,08,12,00,00,000007"),
        ("owner", "585a88b208b199f61004d968", ObjectId("585a88b208b199f61004d968")),
        ("price", "9.90", Decimal128("9.90")),
        ("price", 0.1, Decimal128("0.1")),
        ("rounded", "9.999", 10.0),
        ("written", 9.9, "9.90"),
        ("airline", "UA", "UA"),
        ("airline", Airline(code="UA"), "UA"),
        ("airline_ref", "UA", DBRef("scope_airline", "UA")),
        ("count", "9007199254740993", 9007199254740993),
        ("token", str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        ("tags", "late", "late"),
    ],
)
def test_a_value_becomes_what_the_field_stores(field: str, written: Any, stored: Any) -> None:
    (condition,) = parse((field, "==", written)).conditions

    assert condition.value == stored
    assert type(condition.value) is type(stored)


def test_a_field_is_asked_for_by_its_name_in_the_database() -> None:
    assert parse(("text", "==", "a")).to_query() == {"$and": [{"t": {"$eq": "a"}}]}


# --- strict types


@pytest.mark.parametrize("op", [op for op in OPERATORS if op != "in"])
@pytest.mark.parametrize(
    ("stored", "value"),
    [(None, 5), ("5", 5), (True, 1), (1, True), (5, "5"), (NOON, 5), ({"a": 1}, 5), ([], 5), (b"5", "5")],
)
def test_a_wrong_type_never_matches(op: str, stored: Any, value: Any) -> None:
    """The older system let None pass `>= 5`, and a string pass `== 5`."""
    assert not Condition("f", op, value).matches({"f": stored})


def test_a_missing_field_never_matches_a_value() -> None:
    for op in OPERATORS:
        assert not Condition("f", op, [5] if op == "in" else 5).matches({})


def test_in_meets_null_without_an_error() -> None:
    """The older system raised for `in` when the field was None."""
    assert not Condition("f", "in", ["a", "b"]).matches({"f": None})
    assert Condition("f", "in", ["a", None]).matches({"f": None})
    assert not Condition("f", "in", ["abc"]).matches({"f": "a"})


def test_numbers_compare_as_numbers_whatever_they_are_stored_as() -> None:
    for five in (5, 5.0, Int64(5), Decimal128("5.00")):
        assert Condition("f", "==", 5).matches({"f": five})
        assert Condition("f", "<=", 5.5).matches({"f": five})
        assert not Condition("f", "!=", 5).matches({"f": five})


def test_a_list_matches_by_any_of_its_items() -> None:
    assert Condition("f", ">", 5).matches({"f": [1, 9]})
    assert not Condition("f", "!=", 9).matches({"f": [1, 9]})
    assert Condition("f", "!=", 7).matches({"f": [1, 9]})


# --- the same truth as MongoDB's find

MOMENTS = [NOON, NOON + datetime.timedelta(milliseconds=1), datetime.datetime(1901, 1, 1, tzinfo=UTC)]
IDS = [ObjectId(b"\0" * 12), ObjectId("585a88b208b199f61004d968")]
TOKENS = [uuid.UUID(int=1), uuid.UUID(int=2)]
NUMBERS: list[Any] = [
    0, 1, -1, 5, Int64(5), 5.0, 5.5, 0.1, -0.0, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 1e19, 1e300, 5e-324,
    Decimal128("5"), Decimal128("0.1"), Decimal128("5.50"), Decimal128("9007199254740993"), Decimal128("1E+300"),
]  # fmt: skip
NOT_NUMBERS: list[Any] = ["", "a", "5", "é", "z\0", "\U0001f600", "\uffff", True, False, *MOMENTS, *IDS]
ONLY_STORED: list[Any] = [
    math.nan, math.inf, -math.inf, Decimal128("NaN"), Decimal128("Infinity"), {}, {"a": 5}, [], [[5]], b"5",
    Binary(b"5", 128), Regex("a"), Timestamp(5, 1), Code("a"), DBRef("scope_airline", "UA"),
    Decimal128("0.1000000000000000055511151231257827"), *TOKENS, Binary(TOKENS[0].bytes, 3),
]  # fmt: skip


def random_document(chance: random.Random) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field in ("a", "b"):
        roll = chance.random()
        if roll < 0.05:
            continue
        pool = [*NUMBERS, *NOT_NUMBERS, *ONLY_STORED, None]
        items = [chance.choice(pool) for _ in range(chance.choice([0, 1, 2, 3]))]
        document[field] = items if roll < 0.3 else chance.choice(pool)
    return document


def random_scope(chance: random.Random) -> Scope:
    conditions = []
    for _ in range(chance.choice([1, 1, 1, 2])):
        op = chance.choice(OPERATORS)
        pool = [*NUMBERS, *NOT_NUMBERS]
        if op in ("==", "!=", "in"):
            pool += [None, None, *TOKENS, DBRef("scope_airline", "UA")]
        value = [chance.choice(pool) for _ in range(chance.randrange(4))] if op == "in" else chance.choice(pool)
        conditions.append(Condition(chance.choice("ab"), op, value))
    return Scope(conditions)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_scope_matches_in_memory_what_mongodb_finds(database: harness.Database, seed: int) -> None:
    """600 random documents of every kind of value against 150 random scopes: 90,000 pairs a seed."""
    chance = random.Random(seed)
    collection = database["truth"]
    collection.insert_many({"_id": number, **random_document(chance)} for number in range(600))
    stored = list(collection.find())

    for _ in range(150):
        scope = random_scope(chance)
        found = {document["_id"] for document in collection.find(scope.to_query(), {"_id": 1})}
        matched = {document["_id"] for document in stored if scope.matches(document)}
        assert matched == found, (scope, [stored[number] for number in matched ^ found])


def test_a_parsed_scope_finds_what_mongoengine_saved(database: harness.Database) -> None:
    airline = Airline(code="UA").save()
    saved = Every(
        text="late", count=2**60, ratio=0.1, flag=True, moment=NOON, precise=NOON.replace(second=1),
        price="9.90", rounded="9.99", written="9.9", owner=IDS[1], token=TOKENS[0], airline=airline,
        airline_ref=airline, tags=["a", "late"], anything=5,
    ).save()  # fmt: skip
    raw = database["scope_every"].find_one()
    wire = {
        "text": "late", "count": str(2**60), "ratio": 0.1, "flag": True, "moment": "2013-02-08T12:00:00Z",
        "precise": "2013-02-08T12:00:01Z", "price": "9.9", "rounded": "9.99", "written": "9.90",
        "owner": str(IDS[1]), "token": str(TOKENS[0]), "airline": "UA", "airline_ref": "UA", "tags": "late",
        "anything": 5.0,
    }  # fmt: skip

    for name, value in wire.items():
        for op, expected in (("==", True), ("in", True), ("!=", False)):
            scope = parse((name, op, [value] if op == "in" else value))
            assert scope.matches(raw) is expected, (name, op)
            assert (database["scope_every"].find_one(scope.to_query()) is not None) is expected, (name, op)
    assert saved.pk == raw["_id"]
