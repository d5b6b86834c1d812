"""Scopes: what a client may write, and what it means; tests/test_matcher.py compares that with MongoDB."""

from __future__ import annotations

import datetime
import math
import uuid
from typing import Any

import mongoengine as me
import pytest
from bson import DBRef, Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from tests import harness
from wsflask.access import Exposure
from wsflask.access.fields import FilterField, filter_field
from wsflask.access.scope import OPERATORS, Condition, Scope, parse_scope
from wsflask.errors import Refusal

UTC = datetime.UTC
NOON = datetime.datetime(2013, 2, 8, 12, 0, tzinfo=UTC)
OWNER = ObjectId("585a88b208b199f61004d968")
TOKEN = uuid.UUID(int=7)


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


@pytest.mark.parametrize("data", [None, [], {}])
def test_no_conditions_are_everything(data: Any) -> None:
    scope = parse_scope(data, FIELDS)

    assert scope.matches({"anything": 1})
    assert scope.to_query() == {}


@pytest.mark.parametrize(
    "data",
    [
        "status",
        5,
        {"text": ["a"]},
        {"text": {}},
        {"text": {"$gt": ""}},
        {"text": {"==": "a", "more": 1}},
        {"text": {"==": {"==": "a"}}},
        {"text": {"in": "a"}},
        {"text": {"<": None}},
        {5: "a"},
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
        [{"fn": "token", "op": "==", "val": 5}],
        [{"fn": "token", "op": "==", "val": ["x"]}],
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
    assert refusal_of({"text": "a", name: {"in": []}}) == "forbidden"


def test_more_conditions_or_values_than_the_limits_are_too_big() -> None:
    one = {"fn": "text", "op": "==", "val": "a"}

    assert refusal_of([one] * 3, max_conditions=2) == "too_big"
    assert refusal_of({"text": {"==": "a", "!=": "b"}, "count": 5}, max_conditions=2) == "too_big"
    assert refusal_of([{"fn": "text", "op": "in", "val": ["a", "b"]}], max_values=1) == "too_big"
    assert refusal_of({"text": {"in": ["a", "b"]}}, max_values=1) == "too_big"


def test_the_shorter_form_means_the_same() -> None:
    short = {"text": "a", "count": {">=": 100, "<": 500}, "owner": None, "tags": {"in": ["b", "a"]}}
    bounds = ("count", ">=", 100), ("count", "<", 500)
    long = parse(("text", "==", "a"), *bounds, ("owner", "==", None), ("tags", "in", ["a", "b"]))

    assert parse_scope(short, FIELDS).key == long.key
    assert parse_scope(short, FIELDS).to_wire() == long.to_wire()


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


# --- paths


class Place(me.EmbeddedDocument):
    city = me.StringField(db_field="c")
    since = me.DateTimeField(db_field="s")
    inside = me.EmbeddedDocumentField("self", db_field="i")


class LoosePlace(me.DynamicEmbeddedDocument):
    city = me.StringField(db_field="c")


class Shop(me.DynamicDocument):
    name = me.StringField(primary_key=True)
    place = me.EmbeddedDocumentField(Place, db_field="p")
    places = me.EmbeddedDocumentListField(Place, db_field="ps")
    listed = me.ListField(me.EmbeddedDocumentField(Place), db_field="ls")
    sorted = me.SortedListField(me.EmbeddedDocumentField(Place))
    nested = me.ListField(me.ListField(me.EmbeddedDocumentField(Place)))
    loose = me.EmbeddedDocumentField(LoosePlace)
    generic = me.GenericEmbeddedDocumentField(db_field="g")
    undefined = me.MapField(me.EmbeddedDocumentField("NobodyDefinedThis"))
    counts = me.MapField(me.IntField(), db_field="cs")
    by_key = me.MapField(me.EmbeddedDocumentField(Place), db_field="b")
    extra = me.DictField(db_field="x")
    untyped = me.ListField()
    airline = me.ReferenceField(Airline)
    tags = me.ListField(me.StringField())
    spot = me.PointField()
    secret = me.EmbeddedDocumentField(Place)
    meta = {"collection": "scope_shop"}


SHOWN = (*(name for name in Shop._fields if name not in ("name", "secret")), "undeclared")
SHOP = Exposure(Shop, fields=SHOWN, hidden=("secret",))


def shop(data: Any) -> Scope:
    return SHOP.parse_scope(data, SHOWN)


def shop_refusal_of(data: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        shop(data)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("path", "written", "stored_at", "stored"),
    [
        ("place.city", "Rome", "p.c", "Rome"),
        ("place.since", "2013-02-08T12:00:00Z", "p.s", NOON),
        ("place.inside.inside.city", "Rome", "p.i.i.c", "Rome"),
        ("places.inside.city", "Rome", "ps.i.c", "Rome"),
        ("listed.city", "Rome", "ls.c", "Rome"),
        ("sorted.city", "Rome", "sorted.c", "Rome"),
        ("loose.city", "Rome", "loose.c", "Rome"),
        ("loose.street", 5, "loose.street", 5),
        ("loose.street.c", 5, "loose.street.c", 5),
        ("generic.c", "Rome", "g.c", "Rome"),
        ("counts.2024", 5, "cs.2024", 5),
        ("by_key.any key.city", "Rome", "b.any key.c", "Rome"),
        ("extra.a.0.b", True, "x.a.0.b", True),
        ("untyped.a.b", 5, "untyped.a.b", 5),
        ("undeclared.a.b", 5, "undeclared.a.b", 5),
    ],
)
def test_a_path_goes_by_the_names_of_attributes_and_keys_and_ends_in_a_type(
    path: str, written: Any, stored_at: str, stored: Any
) -> None:
    (condition,) = shop({path: written}).conditions

    assert condition.to_query() == {stored_at: {"$eq": stored}}
    assert condition.to_wire()["fn"] == path


@pytest.mark.parametrize(
    "path",
    [
        "secret.city", "no_such.city", "p.c", "place.c", "place.no_such", "place.city.x", "place.", "place..city",
        ".place", "place._id", "place.__class__", "places.0.city", "nested.city", "tags.0", "airline.code",
        "airline._id", "airline.$id", "spot.coordinates", "undefined.a.city", "_id.x", "name.x", "extra.$gt",
        "extra.a$", "extra.", "extra..a", "extra.a.", "extra.a\0b", "counts.a.b", "loose.$gt", "loose._hidden",
        "undeclared.$gt", "undeclared2.a",
    ],
)  # fmt: skip
def test_a_path_that_is_not_declared_or_not_seen_gets_one_answer(path: str) -> None:
    refusals = {shop_refusal_of({path: "x"}), shop_refusal_of([{"fn": path, "op": "in", "val": []}])}

    assert refusals == {("forbidden", "forbidden: a field of a scope")}


def test_a_value_at_a_path_has_to_fit_the_type_at_its_end() -> None:
    for data in ({"place.since": "Rome"}, {"counts.a": [5]}, {"places.inside": "x"}, {"by_key.a": {"<": 5}}):
        assert shop_refusal_of(data)[0] == "bad_data"
    assert shop({"places.inside": None, "by_key.a": {"!=": None}})


def test_a_path_that_is_too_long_is_refused_whatever_there_is() -> None:
    for first in ("extra", "secret", "no_such"):
        assert shop_refusal_of({first + ".a" * 8: 5})[0] == "too_deep"
        assert shop_refusal_of({first + ".a" * 300: 5})[0] == "too_big"
    assert shop({"extra" + ".a" * 7: 5})


def test_a_key_cannot_make_one_scope_pass_for_another() -> None:
    two = shop({"extra.a": 1, "extra.b": 2})
    forged = shop({"extra.a == number:1 & x.b": 2})

    assert two.key == "x.a == number:1 & x.b == number:2"
    assert forged.key != two.key
    assert shop({'extra."': 1}).key != shop({"extra.'": 1}).key


def test_a_list_on_the_way_matches_by_any_of_its_items() -> None:
    rome = shop({"places.city": "Rome"})

    assert rome.matches({"ps": [{"c": "Bonn"}, {"c": "Rome"}]})
    assert not rome.matches({"ps": [{"c": "Bonn"}, "Rome", [{"c": "Rome"}]]})
    assert not shop({"places.city": {"!=": "Bonn"}}).matches({"ps": [{"c": "Bonn"}, {"c": "Rome"}]})


# --- what MongoEngine saves


def test_a_parsed_scope_finds_what_mongoengine_saved(database: harness.Database) -> None:
    airline = Airline(code="UA").save()
    saved = Every(
        text="late", count=2**60, ratio=0.1, flag=True, moment=NOON, precise=NOON.replace(second=1),
        price="9.90", rounded="9.99", written="9.9", owner=OWNER, token=TOKEN, airline=airline,
        airline_ref=airline, tags=["a", "late"], anything=5,
    ).save()  # fmt: skip
    raw = database["scope_every"].find_one()
    wire = {
        "text": "late", "count": str(2**60), "ratio": 0.1, "flag": True, "moment": "2013-02-08T12:00:00Z",
        "precise": "2013-02-08T12:00:01Z", "price": "9.9", "rounded": "9.99", "written": "9.90",
        "owner": str(OWNER), "token": str(TOKEN), "airline": "UA", "airline_ref": "UA", "tags": "late",
        "anything": 5.0,
    }  # fmt: skip

    for name, value in wire.items():
        for op, expected in (("==", True), ("in", True), ("!=", False)):
            scope = parse((name, op, [value] if op == "in" else value))
            assert scope.matches(raw) is expected, (name, op)
            assert (database["scope_every"].find_one(scope.to_query()) is not None) is expected, (name, op)
    assert saved.pk == raw["_id"]
