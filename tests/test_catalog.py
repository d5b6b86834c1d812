"""Catalogs: which fields a row has, and how references and embedded documents are shown."""

from __future__ import annotations

import datetime
from functools import partial
from typing import Any

import mongoengine as me
import pytest
from bson import DBRef, Decimal128, ObjectId

from tests import harness
from wsflask.access import ALL, NOTHING, Access, Condition, Exposure, Exposures, Scope
from wsflask.errors import Refusal
from wsflask.live.catalog import MAX_EXPANSIONS, Right, parse_catalog
from wsflask.live.references import Missing, References


class Country(me.Document):
    name = me.StringField()
    meta = {"collection": "catalog_country"}


class Maker(me.Document):
    code = me.StringField(primary_key=True)
    name = me.StringField(db_field="n")
    secret = me.StringField()
    country = me.ReferenceField(Country)
    meta = {"collection": "catalog_maker"}


class Address(me.EmbeddedDocument):
    street = me.StringField(db_field="s")
    city = me.StringField()
    maker = me.ReferenceField(Maker)


class Part(me.EmbeddedDocument):
    name = me.StringField(db_field="n")
    parts = me.EmbeddedDocumentListField("self")


class Plane(me.Document):
    tail = me.StringField(db_field="t")
    seats = me.IntField()
    maker = me.ReferenceField(Maker, db_field="m")
    owners = me.ListField(me.ReferenceField(Maker, dbref=True))
    base = me.EmbeddedDocumentField(Address)
    stops = me.EmbeddedDocumentListField(Address)
    parts = me.EmbeddedDocumentListField(Part)
    notes = me.DictField()
    price = me.Decimal128Field()
    built = me.DateTimeField()
    hidden = me.StringField()
    unlisted = me.StringField()
    sister = me.ReferenceField("self")
    lost = me.ReferenceField("NeverDefined")
    meta = {"collection": "catalog_plane"}


FIELDS = (
    "tail", "seats", "maker", "owners", "base", "stops", "parts", "notes", "price", "built", "sister", "lost",
)  # fmt: skip
EXPOSURES = Exposures()
PLANE = EXPOSURES.expose(Plane, fields=FIELDS, hidden=("hidden",))
MAKER = EXPOSURES.expose(Maker, fields=("name", "country"), hidden=("secret",))
COUNTRY = EXPOSURES.expose(Country, fields=("name",))
READABLE: dict[Exposure, Access] = {PLANE: ALL, MAKER: ALL, COUNTRY: ALL}


def rights(document_class: Any, access: dict[Exposure, Access] = READABLE) -> Right | None:
    exposure = EXPOSURES.for_class(document_class)
    if exposure is None or access[exposure].is_empty:
        return None
    return Right(exposure, access[exposure], exposure.visible(show_hidden=False))


def row(catalog: Any, document: dict[str, Any], references: References | None = None) -> dict[str, Any]:
    right = rights(Plane)
    assert right is not None
    return parse_catalog(catalog, right, rights).row(document, references or References())


class Loaded(References):
    """References with documents that nobody had to query."""

    def __init__(self, **documents: list[dict[str, Any]]) -> None:
        super().__init__()
        for exposure in EXPOSURES:
            self._found[exposure] = {doc["_id"]: doc for doc in documents.get(exposure.name, [])}


def test_without_a_catalog_every_field_one_sees_is_shown() -> None:
    catalogs: tuple[Any, ...] = (None, {})
    for catalog in catalogs:
        shown = row(catalog, {"_id": 1, "t": "N1", "hidden": "x", "unlisted": "y", "undeclared": "z"})
        assert shown == {"_id": 1, "tail": "N1", **dict.fromkeys(FIELDS[1:])}


def test_the_keys_of_a_catalog_select_the_fields_and_the_id_always_comes_along() -> None:
    assert row({"seats": None, "tail": True}, {"_id": 1, "t": "N1", "seats": 9, "m": "B"}) == {
        "_id": 1, "tail": "N1", "seats": 9,
    }  # fmt: skip


def test_keys_that_do_not_exist_and_keys_one_may_not_see_are_ignored_alike() -> None:
    document = {"_id": 1, "t": "N1", "hidden": "x", "unlisted": "y"}

    assert row({"tail": None, "nothing": None, "hidden": None, "unlisted": True, "_id": False}, document) == {
        "_id": 1, "tail": "N1",
    }  # fmt: skip
    assert row({"hidden": None}, document) == {"_id": 1}


@pytest.mark.parametrize("catalog", [[], "tail", 5, {"tail": 1}, {"tail": "yes"}, {"tail": []}, {"x": {"y": 1}}])
def test_what_is_no_catalog_is_refused(catalog: Any) -> None:
    with pytest.raises(Refusal) as caught:
        row(catalog, {})

    assert caught.value.code == "bad_data"


def test_the_order_of_a_catalog_does_not_matter() -> None:
    right = rights(Plane)
    assert right is not None
    one = parse_catalog({"tail": None, "base": {"city": None, "street": None}, "x": None}, right, rights)
    other = parse_catalog({"base": {"street": True, "city": None}, "tail": False}, right, rights)

    assert one.key == other.key
    assert one.paths == other.paths == ("_id", "t", "base")


def test_values_are_shown_as_json_knows_them() -> None:
    built = datetime.datetime(2013, 2, 8, 12, 0, tzinfo=datetime.UTC)
    shown = row(
        {"price": None, "built": None, "notes": None},
        {"_id": ObjectId("585a88b208b199f61004d968"), "price": Decimal128("9.90"), "built": built, "notes": {"a": [1]}},
    )

    assert shown == {
        "_id": "585a88b208b199f61004d968", "price": "9.90", "built": "2013-02-08T12:00:00Z", "notes": {"a": [1]},
    }  # fmt: skip


# --- embedded documents


def test_an_embedded_document_is_shown_under_its_attributes_names() -> None:
    document = {"_id": 1, "base": {"s": "Main", "maker": DBRef("x", "B"), "undeclared": 1}, "stops": [{"s": "Side"}]}

    assert row({"base": None, "stops": None}, document) == {
        "_id": 1, "base": {"street": "Main", "maker": "B"}, "stops": [{"street": "Side"}],
    }  # fmt: skip


def test_a_sub_catalog_selects_in_an_embedded_document_in_lists_and_in_dicts() -> None:
    document = {
        "_id": 1,
        "base": {"s": "Main"},
        "stops": [{"s": "Side", "city": "A"}],
        "notes": {"a": 1, "b": {"c": 2}},
    }

    assert row({"base": {"city": None}, "stops": {"city": None}, "notes": {"b": {"c": None}, "d": None}}, document) == {
        "_id": 1, "base": {"city": None}, "stops": [{"city": "A"}], "notes": {"b": {"c": 2}, "d": None},
    }  # fmt: skip


def test_recursive_embedded_documents_are_shown() -> None:
    assert row({"parts": None}, {"_id": 1, "parts": [{"n": "wing", "parts": [{"n": "flap"}]}]}) == {
        "_id": 1, "parts": [{"name": "wing", "parts": [{"name": "flap"}]}],
    }  # fmt: skip


# --- references


@pytest.mark.parametrize("wanted", [None, True])
def test_a_reference_is_left_as_its_id(wanted: Any) -> None:
    assert row({"maker": wanted, "owners": wanted}, {"_id": 1, "m": "B", "owners": [DBRef("catalog_maker", "B")]}) == {
        "_id": 1, "maker": "B", "owners": ["B"],
    }  # fmt: skip


def test_false_expands_a_reference_with_what_the_user_sees_of_it() -> None:
    loaded = Loaded(Maker=[{"_id": "B", "n": "Boeing", "secret": "x", "country": 7}])

    assert row({"maker": False}, {"_id": 1, "m": "B"}, loaded) == {
        "_id": 1, "maker": {"_id": "B", "name": "Boeing", "country": 7},
    }  # fmt: skip


def test_a_sub_catalog_expands_a_reference_and_selects_in_it() -> None:
    loaded = Loaded(Maker=[{"_id": "B", "n": "Boeing", "country": 7}], Country=[{"_id": 7, "name": "US"}])

    assert row({"owners": {"country": {"name": None}, "secret": None}}, {"_id": 1, "owners": ["B", "C"]}, loaded) == {
        "_id": 1, "owners": [{"_id": "B", "country": {"_id": 7, "name": "US"}}, "C"],
    }  # fmt: skip
    assert row({"base": {"maker": {"name": None}}}, {"_id": 1, "base": {"maker": "B"}}, loaded)["base"] == {
        "maker": {"_id": "B", "name": "Boeing"}
    }


def test_a_reference_to_what_may_not_be_read_stays_an_id() -> None:
    right = rights(Plane)
    assert right is not None
    only_airbus = Access([Scope([Condition("_id", "==", "A")])])
    loaded = Loaded(Maker=[{"_id": "B", "n": "Boeing"}, {"_id": "A", "n": "Airbus"}])
    for access, shown in ((NOTHING, "A"), (only_airbus, {"_id": "A", "name": "Airbus"})):
        readable = partial(rights, access={**READABLE, MAKER: access})
        projection = parse_catalog({"maker": {"name": None}}, right, readable)
        assert projection.row({"_id": 1, "m": "B"}, loaded) == {"_id": 1, "maker": "B"}
        assert projection.row({"_id": 1, "m": "A"}, loaded) == {"_id": 1, "maker": shown}


def test_a_reference_to_a_class_that_was_never_defined_stays_an_id() -> None:
    assert row({"lost": False}, {"_id": 1, "lost": 5}) == {"_id": 1, "lost": 5}


def test_expansions_in_one_another_are_bounded() -> None:
    catalog: Any = {"tail": None}
    for _ in range(MAX_EXPANSIONS):
        catalog = {"sister": catalog}
    row(catalog, {"_id": 1})

    with pytest.raises(Refusal) as caught:
        row({"sister": catalog}, {"_id": 1})
    assert caught.value.code == "too_deep"


def test_rights_to_what_is_expanded_tell_projections_apart() -> None:
    right = rights(Plane)
    assert right is not None
    limited = {**READABLE, MAKER: Access([Scope([Condition("n", "==", "A")])])}

    one = parse_catalog({"maker": False}, right, rights)
    other = parse_catalog({"maker": False}, right, lambda cls: rights(cls, limited))
    assert one.key != other.key


def test_references_are_loaded_by_one_query_a_class_however_many_rows(database: harness.Database) -> None:
    countries = [Country(name=f"C{number}").save() for number in range(2)]
    makers = [Maker(code=f"M{number}", name=f"N{number}", country=countries[number % 2]).save() for number in range(5)]
    for number in range(50):
        Plane(tail=f"T{number}", maker=makers[number % 5], owners=[makers[0]]).save()
    right = rights(Plane)
    assert right is not None
    projection = parse_catalog({"maker": {"country": False}, "owners": False}, right, rights)
    documents = list(database["catalog_plane"].find())
    rounds: list[list[Missing]] = []

    def missing(found: References) -> list[Missing]:
        rounds.append([projection.missing(document, found) for document in documents])
        return rounds[-1]

    references = References()
    database.client[database.name].command("profile", 2)
    references.load(missing, 5.0)
    database.client[database.name].command("profile", 0)

    rows = [projection.row(document, references) for document in documents]
    assert rows[3]["maker"] == {"_id": "M3", "country": {"_id": str(countries[1].pk), "name": "C1"}}
    assert rows[3]["owners"] == [{"_id": "M0", "name": "N0", "country": str(countries[0].pk)}]
    queried = [entry["ns"] for entry in database["system.profile"].find({"op": "query"})]
    assert queried == [f"{database.name}.catalog_maker", f"{database.name}.catalog_country"]
