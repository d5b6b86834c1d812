"""Exposure: what is not listed does not exist, and who is not allowed reads nothing."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import mongoengine as me
import pytest

from wsflask.access import ALL, NOTHING, Access, Condition, Exposure, Exposures, Scope
from wsflask.errors import ConfigError, Refusal


class Flight(me.Document):
    number = me.StringField(primary_key=True, db_field="nr")
    carrier = me.StringField(db_field="c")
    gate = me.StringField()
    crew_remark = me.StringField(db_field="cr")
    meta = {"collection": "exposure_flight"}


class Animal(me.Document):
    name = me.StringField()
    meta = {"collection": "exposure_animal", "allow_inheritance": True}


class Dog(Animal):
    tricks = me.ListField(me.StringField())


class Loose(me.DynamicDocument):
    name = me.StringField()
    meta = {"collection": "exposure_loose"}


class Ghost(me.Document):
    name = me.StringField()
    meta = {"abstract": True}


ANNA = SimpleNamespace(name="anna", airline="UA", is_authenticated=True)
NOBODY = SimpleNamespace(name="", airline="", is_authenticated=False)


def flight(**options: Any) -> Exposure:
    return Exposure(Flight, **{"fields": ("carrier", "gate"), "hidden": ("crew_remark",), **options})


def ua_only() -> Access:
    return Access([Scope([Condition("c", "==", "UA")])])


# --- deny by default


def test_without_read_nobody_reads_anything() -> None:
    assert flight().access_for(ANNA).is_empty


@pytest.mark.parametrize("user", [None, NOBODY])
def test_who_is_not_logged_in_reads_nothing(user: Any) -> None:
    assert flight(read=lambda user: True).access_for(user).is_empty
    assert flight(read=[{"obj": "*", "act": "read"}]).access_for(user).is_empty


@pytest.mark.parametrize("given", [None, False, [], (), {}, 1, "yes", [1], [[]], [{}], {"content": []}, object()])
def test_what_read_gives_that_is_no_right_denies(given: Any) -> None:
    assert flight(read=lambda user: given).access_for(ANNA).is_empty


def test_a_function_that_raises_denies_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        access = flight(read=lambda user: user.no_such_attribute).access_for(ANNA)

    assert access == NOTHING
    assert "read of Flight failed and denies" in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        [{"obj": "Flight/airline/UA", "act": "read"}],
        {"content": [{"obj": "Flight/airline/UA", "act": "read"}]},
        [{"fn": "carrier", "op": "==", "val": "UA"}],
        [[{"fn": "carrier", "op": "==", "val": "UA"}]],
        [Scope([Condition("c", "==", "UA")])],
        Scope([Condition("c", "==", "UA")]),
        ua_only(),
    ],
)
def test_a_function_may_say_the_same_in_several_forms(given: Any) -> None:
    exposed = flight(read=lambda user: given, key_sets={"airline": ("carrier",)})

    assert exposed.access_for(ANNA) == ua_only()


def test_a_list_of_grants_counts_for_every_user_and_true_allows_everything() -> None:
    assert flight(read=[{"obj": "Flight/*", "act": "read"}]).access_for(ANNA) == ALL
    assert flight(read=lambda user: True).access_for(ANNA) == ALL


def test_a_right_may_ask_for_fields_that_are_not_exposed() -> None:
    access = flight(read=lambda user: [{"fn": "crew_remark", "op": "!=", "val": None}]).access_for(ANNA)

    assert access.matches({"cr": "x"})
    assert not access.matches({})


# --- fields


def test_hidden_fields_are_shown_to_those_who_ask_and_may() -> None:
    exposed = flight(show_hidden=lambda user: user.name == "anna")
    other = SimpleNamespace(name="ben")

    assert exposed.fields_for(ANNA, show_hidden=True) == {"carrier", "gate", "crew_remark"}
    assert exposed.fields_for(ANNA, show_hidden=False) == {"carrier", "gate"}
    assert exposed.fields_for(other, show_hidden=True) == {"carrier", "gate"}
    assert flight().fields_for(ANNA, show_hidden=True) == {"carrier", "gate"}


@pytest.mark.parametrize("given", [None, 1, "yes"])
def test_only_true_shows_hidden_fields(given: Any) -> None:
    assert not flight(show_hidden=lambda user: given).may_see_hidden(ANNA)


def test_a_show_hidden_that_raises_denies() -> None:
    assert not flight(show_hidden=lambda user: user.no_such_attribute).may_see_hidden(ANNA)


def test_a_scope_over_a_hidden_field_and_one_that_does_not_exist_get_the_same_refusal() -> None:
    exposed = flight()
    visible = exposed.fields_for(ANNA)
    codes = []
    for name in ("crew_remark", "number_of_the_beast", "cr", "__class__"):
        with pytest.raises(Refusal) as caught:
            exposed.parse_scope([{"fn": name, "op": "==", "val": "x"}], visible)
        codes.append((caught.value.code, str(caught.value)))

    assert set(codes) == {("forbidden", "forbidden: a field of a scope")}


def test_names_on_the_wire_become_names_in_the_database() -> None:
    exposed = flight()
    scope = exposed.parse_scope(
        [{"fn": "carrier", "op": "==", "val": "UA"}, {"fn": "_id", "op": "in", "val": ["1", "2"]}],
        exposed.fields_for(ANNA),
    )

    assert scope.to_query() == {"$and": [{"_id": {"$in": ["1", "2"]}}, {"c": {"$eq": "UA"}}]}
    assert exposed.parse_scope([{"fn": "number", "op": "==", "val": "1"}], ()).to_wire()[0]["fn"] == "_id"


# --- classes


def test_a_subclass_is_told_from_its_base_in_the_same_collection() -> None:
    base = Exposure(Animal, fields=("name", "tricks", "_cls"))
    dog = Exposure(Dog, fields=("name", "tricks"))

    assert base.collection == dog.collection
    assert base.type_scope.matches({"_cls": "Animal.Dog"})
    assert dog.type_scope.matches({"_cls": "Animal.Dog"})
    assert not dog.type_scope.matches({"_cls": "Animal"})
    assert not dog.may_read(ALL, {"_cls": "Animal"})
    assert dog.readable_query(ALL) == {"$and": [{"$and": [{"_cls": {"$eq": "Animal.Dog"}}]}]}


def test_a_dynamic_document_may_expose_undeclared_fields() -> None:
    exposed = Exposure(Loose, fields=("name", "colour"), read=lambda user: [{"fn": "colour", "op": "==", "val": "red"}])

    assert exposed.access_for(ANNA).matches({"colour": "red"})


def test_a_document_is_called_by_its_label() -> None:
    document = Flight(number="1545", gate="B22")

    assert flight().label_of(document) == "Flight 1545"
    assert flight(label="gate").label_of(document) == "B22"
    assert flight(label=lambda doc: f"UA {doc.number}").label_of(document) == "UA 1545"


# --- misuse fails early


@pytest.mark.parametrize(
    ("document_class", "options", "sentence"),
    [
        (dict, {"fields": ("a",)}, "not a MongoEngine document class"),
        (me.EmbeddedDocument, {"fields": ("a",)}, "not a MongoEngine document class"),
        (Ghost, {"fields": ("name",)}, "is abstract"),
        (Flight, {"fields": ()}, "lists no field"),
        (Flight, {"fields": "gate"}, "is a string"),
        (Flight, {"fields": ("gate", "colour")}, "names 'colour'"),
        (Flight, {"fields": ("gate",), "hidden": ("gate",)}, "in fields and in hidden"),
        (Flight, {"fields": ("gate",), "hidden": ("cr",)}, "names 'cr'"),
        (Flight, {"fields": ("gate",), "read": True}, "read is a list of grants, a function"),
        (Flight, {"fields": ("gate",), "read": [{"obj": "Flight/none/1", "act": "read"}]}, "a grant that is wrong"),
        (Flight, {"fields": ("gate",), "show_hidden": True}, "show_hidden is a function"),
        (Flight, {"fields": ("gate",), "hidden": ("crew_remark",), "label": "crew_remark"}, "label is"),
        (Flight, {"fields": ("gate",), "key_sets": {"key": ("gate",)}}, "cannot be called 'key'"),
        (Flight, {"fields": ("gate",), "key_sets": {"gates": ()}}, "has no fields"),
        (Flight, {"fields": ("gate",), "key_sets": {"gates": ("x",)}}, "names 'x'"),
        (Loose, {"fields": ("name", "_private")}, "names '_private'"),
        (Loose, {"fields": ("name", "a.b")}, "names 'a.b'"),
    ],
)
def test_a_wrong_exposure_is_refused_with_a_sentence(document_class: Any, options: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Exposure(document_class, **options)


def test_a_class_is_found_by_its_name_on_the_wire_only() -> None:
    exposures = Exposures()
    exposed = exposures.expose(Flight, fields=("gate",), name="Departure")

    assert exposures.get("Departure") is exposed
    assert exposures.for_class(Flight) is exposed
    for name in ("Flight", "departure", None, 5, ["Departure"]):
        assert exposures.get(name) is None
    assert exposures.for_class(Animal) is None
    assert list(exposures) == [exposed]
    assert len(exposures) == 1


def test_a_name_is_given_once() -> None:
    """In the older system classes of the same name collided."""
    exposures = Exposures()
    exposures.expose(Flight, fields=("gate",))

    with pytest.raises(ConfigError, match="exposed already"):
        exposures.expose(Animal, fields=("name",), name="Flight")
