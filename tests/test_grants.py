"""Grants: which documents a list of them allows to read."""

from __future__ import annotations

import logging
from typing import Any

import mongoengine as me
import pytest
from bson import ObjectId

from tests import harness
from wsflask.access import ALL, NOTHING, Access, Condition, Scope, check_grants, parse_grants
from wsflask.access.fields import filter_field
from wsflask.errors import ConfigError


class Ticket(me.Document):
    carrier = me.StringField(db_field="c")
    number = me.IntField()
    is_open = me.BooleanField()
    meta = {"collection": "grants_ticket"}


def field(name: str, path: str) -> Any:
    return filter_field(name, path, Ticket._fields["id" if name == "_id" else name])


KEY_SETS = {
    "key": (field("_id", "_id"),),
    "airline": (field("carrier", "c"),),
    "flight": (field("carrier", "c"), field("number", "number")),
    "state": (field("is_open", "is_open"),),
}


def access(*objects: str, act: str = "read") -> Access:
    return parse_grants([{"obj": obj, "act": act} for obj in objects], "Ticket", KEY_SETS)


@pytest.mark.parametrize("obj", ["*", "Ticket/*", "Ticket/key/*", "Ticket/flight/*/*"])
def test_a_star_allows_every_document(obj: str) -> None:
    assert access(obj).allows_everything


@pytest.mark.parametrize("objects", [(), ("Other/*",), ("Other/key/1",), ("ticket/*",)])
def test_what_is_not_granted_is_denied(objects: tuple[str, ...]) -> None:
    assert access(*objects).is_empty
    assert not access(*objects).matches({"_id": 1})


@pytest.mark.parametrize(
    ("act", "allows"),
    [
        ("read", True), ("write,read", True), ("write, read ", True), ("*", True), ("re*", True), ("read*", True),
        ("write", False), ("", False), ("read.GROUP", False), ("reads", False), ("wr*", False), ("READ", False),
    ],
)  # fmt: skip
def test_only_the_act_read_allows_reading(act: str, allows: bool) -> None:
    assert access("Ticket/*", act=act).allows_everything is allows


def test_a_key_is_compared_by_the_type_of_its_field() -> None:
    known = ObjectId()

    assert access(f"Ticket/key/{known}").matches({"_id": known})
    assert not access(f"Ticket/key/{known}").matches({"_id": str(known)})
    assert access("Ticket/flight/UA/1545").matches({"c": "UA", "number": 1545})
    assert not access("Ticket/flight/UA/1545").matches({"c": "UA", "number": "1545"})
    assert access("Ticket/state/true").matches({"is_open": True})


def test_a_star_stands_for_one_whole_value() -> None:
    granted = access("Ticket/flight/*/1545")

    assert granted.matches({"c": "DL", "number": 1545})
    assert not granted.matches({"c": "DL", "number": 1546})
    assert not access("Ticket/airline/U*").matches({"c": "UA"})


def test_values_are_url_quoted_so_that_a_slash_cannot_end_them() -> None:
    """The older system joined values by "/" without quoting."""
    assert access("Ticket/airline/a%2Fb").matches({"c": "a/b"})
    assert access("Ticket/airline/%2A").matches({"c": "*"})
    assert not access("Ticket/airline/%2A").matches({"c": "UA"})


@pytest.mark.parametrize(
    "grant",
    [
        {"obj": "Ticket", "act": "read"},
        {"obj": "Ticket/", "act": "read"},
        {"obj": "Ticket/key", "act": "read"},
        {"obj": "Ticket/key/x", "act": "read"},
        {"obj": "Ticket/key/a/b", "act": "read"},
        {"obj": "Ticket/unknown/x", "act": "read"},
        {"obj": "Ticket/flight/UA/x", "act": "read"},
        {"obj": "Ticket/state/yes", "act": "read"},
        {"obj": 5, "act": "read"},
        {"obj": "*"},
        "read",
        None,
    ],
)
def test_a_grant_that_cannot_be_understood_allows_nothing_and_is_logged(
    grant: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        granted = parse_grants([grant, {"obj": "Ticket/airline/UA", "act": "read"}], "Ticket", KEY_SETS)

    assert granted == access("Ticket/airline/UA")
    assert "allows nothing" in caplog.text
    with pytest.raises(ConfigError, match="Ticket holds a grant"):
        check_grants([grant], "Ticket", KEY_SETS)


def test_equal_rights_are_equal_however_they_were_written() -> None:
    one = access("Ticket/airline/UA", "Ticket/airline/DL", "Ticket/flight/B6/1", "Other/*")
    other = access("Ticket/flight/B6/1", "Ticket/airline/DL", "Ticket/airline/UA", "Ticket/airline/UA")

    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key
    assert access("Ticket/airline/UA", "*") == ALL
    assert access("Other/*") == NOTHING


def test_many_keys_of_one_set_are_one_condition() -> None:
    granted = access(*(f"Ticket/airline/{number}" for number in range(1000)))

    assert len(granted.alternatives) == 1
    assert granted.matches({"c": "999"})
    assert not granted.matches({"c": "1000"})


def test_rights_find_in_mongodb_what_they_match(database: harness.Database) -> None:
    tickets = [
        Ticket(carrier=carrier, number=number, is_open=bool(number % 2)).save()
        for carrier in ("UA", "DL", "B6")
        for number in range(4)
    ]
    raws = list(database["grants_ticket"].find())
    rights = [
        NOTHING,
        ALL,
        access("Ticket/airline/UA", "Ticket/airline/DL"),
        access("Ticket/flight/UA/1", "Ticket/flight/*/2", "Ticket/state/true"),
        access(f"Ticket/key/{tickets[0].pk}", f"Ticket/key/{tickets[1].pk}"),
        Access([Scope([Condition("c", "in", [])])]),
    ]

    for right in rights:
        found = {raw["_id"] for raw in database["grants_ticket"].find(right.to_query())}
        assert {raw["_id"] for raw in raws if right.matches(raw)} == found
