"""The option `read`: grants, a function of the user, or one of the user and a document."""

from __future__ import annotations

import functools
import logging
from types import SimpleNamespace
from typing import Any

import mongoengine as me
import pytest

from tests.harness import Database
from tests.harness.stage import Stage
from wsflask import Broadcaster
from wsflask.access import ALL, NOTHING, Access, Condition, Exposure, Scope
from wsflask.access.options import Complaints
from wsflask.errors import ConfigError


class Address(me.EmbeddedDocument):
    city = me.StringField(db_field="c")


class Order(me.Document):
    owner = me.StringField(db_field="o")
    total = me.IntField(default=0)
    note = me.StringField()
    tags = me.ListField(me.StringField())
    address = me.EmbeddedDocumentField(Address)
    meta = {"collection": "readers_order", "allow_inheritance": True}


class Rush(Order):
    hours = me.IntField(default=1)


class Clerk(me.Document):
    name = me.StringField(primary_key=True)
    limit = me.IntField(default=0)
    is_authenticated = True
    meta = {"collection": "readers_clerk"}

    def get_id(self) -> str:
        return str(self.name)


ANN = SimpleNamespace(get_id=lambda: "ann", is_authenticated=True)


def order(**options: Any) -> Exposure:
    return Exposure(Order, **{"fields": ("total",), **options})


class Rule:
    """Everything that can be called."""

    def of_user(self, user: Any) -> bool:
        return True

    def of_both(self, user: Any, document: Any) -> bool:
        return True

    def __call__(self, user: Any, document: Any) -> bool:
        return True


@functools.wraps(Rule.of_both)
def wrapped(*args: Any, **kwargs: Any) -> bool:
    return True


def with_default(user: Any, is_strict: bool = False) -> bool:
    return True


def of_three(user: Any, document: Any, more: Any) -> bool:
    return True


def of_keyword(user: Any, *, document: Any) -> bool:
    return True


async def later(user: Any) -> bool:
    return True


def noting(asked: list[Any]) -> Any:
    """Return a predicate that allows everything and notes what it was asked."""

    def allow(user: Any, document: Any) -> bool:
        asked.append((user, document))
        return True

    return allow


# --- which form it is


@pytest.mark.parametrize(
    "function", [lambda user: True, Rule().of_user, with_default, functools.partial(of_three, 1, 2)]
)
def test_one_required_parameter_is_a_function_of_the_user(function: Any) -> None:
    assert order(read=function).access_for(ANN) == ALL


@pytest.mark.parametrize(
    "function", [lambda user, document: True, Rule().of_both, Rule(), functools.partial(of_three, more=1), with_default]
)
def test_two_required_parameters_are_a_predicate(function: Any) -> None:
    assert order(read=function).access_for(ANN).needs_document is (function is not with_default)


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (lambda: True, "wants 0 arguments; give it the parameters \\(user\\) or \\(user, document\\)"),
        (of_three, "wants 3 arguments"),
        (wrapped, "wants 3 arguments"),
        (lambda *args: True, "takes any number of arguments"),
        (of_keyword, "needs a keyword argument"),
        (later, "is a coroutine function"),
        (max, "does not say what it is called with; wrap it in a lambda"),
        (True, "read is a list of grants, a function"),
        ("*", "read is a list of grants, a function"),
        ({"owner": "ann"}, "read is a list of grants, a function"),
        ([{"owner": "ann"}], "holds a grant that is wrong"),
    ],
)
def test_what_cannot_be_told_is_refused_at_once(read: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        order(read=read)


def test_acl_is_the_older_name_and_both_are_one_too_many() -> None:
    assert order(acl=lambda user: True).access_for(ANN) == ALL
    with pytest.raises(ConfigError, match="both read and acl"):
        order(acl=lambda user: True, read=lambda user: True)


# --- what a function returns


@pytest.mark.parametrize(
    "given",
    [
        [{"fn": "owner", "op": "==", "val": "ann"}],
        {"owner": "ann"},
        [{"owner": "ann"}],
        {"owner": {"==": "ann"}},
        [Scope([Condition("o", "==", "ann")])],
        {"content": [{"obj": "Order/owner/ann", "act": "read"}]},
        [{"obj": "Order/owner/ann", "act": "read"}, "nonsense"],
    ],
)
def test_the_forms_of_a_right_are_one_right(given: Any) -> None:
    exposure = order(read=lambda user: given, key_sets={"owner": ("owner",)})

    assert exposure.access_for(ANN) == Access([Scope([Condition("o", "==", "ann")])])


def test_alternative_scopes_may_be_written_in_either_form() -> None:
    given = [{"owner": "ann", "total": {">=": 5, "<": 9}}, [{"fn": "note", "op": "==", "val": "x"}]]
    access = order(read=lambda user: given).access_for(ANN)

    found = [access.matches(raw) for raw in ({"o": "ann", "total": 5}, {"note": "x"}, {"o": "ann", "total": 9}, {})]

    assert found == [True, True, False, False]


def test_a_right_may_look_into_what_is_embedded() -> None:
    access = order(read=lambda user: {"address.city": "Rome"}).access_for(ANN)

    assert access.matches({"address": {"c": "Rome"}})
    assert not access.matches({"address": {"c": "Oslo"}})
    assert not access.matches({"address": "Rome"})


@pytest.mark.parametrize(
    "given",
    [{}, [{}], {"unknown": 1}, [{"unknown": 1}], [True], lambda document: True, {"content": []}, {"content": "x"},
     [{"fn": "owner", "op": "==", "val": "ann"}, {"owner": "ann"}]],
)  # fmt: skip
def test_what_is_no_right_denies(given: Any) -> None:
    assert order(read=lambda user: given).access_for(ANN) == NOTHING


def test_a_function_that_fails_again_and_again_is_told_of_seldom(caplog: pytest.LogCaptureFixture) -> None:
    exposure = order(read=lambda user: 1 / 0)
    with caplog.at_level(logging.ERROR):
        for _ in range(20):
            assert exposure.access_for(ANN).is_empty

    assert caplog.text.count("read of Order failed and denies") == 1


def test_after_a_while_it_is_told_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("wsflask.access.options.time.monotonic", lambda: now[0])
    complaints = Complaints()
    for passed in (0.0, 9.0, 2.0):
        now[0] += passed
        complaints.warning("it failed")

    assert caplog.text.count("it failed") == 2


# --- predicates


def test_a_predicate_gets_the_user_and_a_document_of_its_own_class() -> None:
    asked: list[Any] = []
    access = order(read=noting(asked)).access_for(ANN)

    access.matches({"_id": 1, "_cls": "Order", "o": "ann", "total": 5, "tags": ["a"]})
    access.matches({"_id": 2, "_cls": "Order.Rush", "hours": 3})

    (user, plain), (_, rush) = asked
    assert user is ANN
    assert (plain.pk, plain.owner, plain.total, plain.tags) == (1, "ann", 5, ["a"])
    assert (type(plain), type(rush), rush.hours, rush.total) == (Order, Rush, 3, 0)


@pytest.mark.parametrize("answer", [None, False, 1, "yes", [1]])
def test_only_true_allows(answer: Any) -> None:
    assert not order(read=lambda user, document: answer).access_for(ANN).matches({"_id": 1})


def test_a_predicate_that_raises_denies_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    access = order(read=lambda user, document: document.no_such_field).access_for(ANN)
    with caplog.at_level(logging.ERROR):
        assert not any(access.matches({"_id": number}) for number in range(20))

    assert caplog.text.count("read of Order failed for a document and denies") == 1


@pytest.mark.parametrize("raw", [{"_cls": "Clerk"}, {"_cls": "NoSuchClass"}, {"_cls": 5}])
def test_a_document_of_another_class_is_not_even_shown_to_the_predicate(raw: dict[str, Any]) -> None:
    asked: list[Any] = []
    access = order(read=noting(asked)).access_for(ANN)

    assert not access.matches({"_id": 1, **raw})
    assert not asked


def test_a_predicate_cannot_change_the_document_that_is_sent() -> None:
    def spoil(user: Any, document: Any) -> bool:
        document.total = 99
        return True

    raw = {"_id": 1, "total": 5}

    assert order(read=spoil).access_for(ANN).matches(raw)
    assert raw == {"_id": 1, "total": 5}


def test_a_right_with_a_predicate_is_no_right_to_everything() -> None:
    access = order(read=lambda user, document: False).access_for(ANN)

    assert access.needs_document
    assert not access.allows_everything
    assert not access.is_empty
    assert access != ALL
    assert access.to_query() == {}


def test_scopes_are_asked_before_the_predicate() -> None:
    asked: list[Any] = []
    predicate = order(read=noting(asked)).access_for(ANN).predicate
    access = Access([Scope([Condition("o", "==", "ann")])], predicate)

    assert not access.matches({"_id": 1, "o": "ben"})
    assert access.matches({"_id": 2, "o": "ann"})
    assert [document.pk for _, document in asked] == [2]
    assert access.to_query() == {"$and": [{"o": {"$eq": "ann"}}]}
    assert Access([], predicate) == NOTHING


def test_a_predicates_right_is_one_users_alone_and_only_while_he_stays_as_he_is() -> None:
    exposure = order(read=lambda user, document: True)
    keys = {
        exposure.access_for(user).key
        for user in [Clerk(name="ann", limit=limit) for limit in (5, 5, 6)] + [Clerk(name="ben", limit=5)]
    }

    assert len(keys) == 3
    assert exposure.access_for(ANN).key == exposure.access_for(ANN).key
    assert exposure.access_for(ANN).key != exposure.access_for(SimpleNamespace(get_id=lambda: "ann")).key


def test_what_a_user_loader_adds_to_a_user_makes_him_another() -> None:
    exposure = order(read=lambda user, document: document.owner in user.teams)
    users = [Clerk(name="ann"), Clerk(name="ann")]
    for user in users:
        user.teams = ["a"]

    assert exposure.access_for(users[0]).key == exposure.access_for(users[0]).key
    assert exposure.access_for(users[0]).key != exposure.access_for(users[1]).key


def test_another_function_is_another_right() -> None:
    """The server's own code may give a predicate in place of the exposure's."""
    exposure = order(read=lambda user, document: True)
    user = Clerk(name="ann")

    other = exposure.access_by(lambda user, document: False, user)

    assert other.needs_document
    assert other != exposure.access_for(user)
    assert exposure.access_by(lambda *any: True, user) == NOTHING


def test_who_has_no_id_is_denied() -> None:
    assert order(read=lambda user, document: True).access_for(SimpleNamespace(is_authenticated=True)).is_empty


# --- live


def test_a_predicate_decides_on_the_rows_and_on_every_change(database: Database) -> None:
    stage = Stage(Broadcaster)
    stage.server.expose(Order, fields=("total",), read=lambda user, document: document.total <= user.limit)
    poor, rich = Clerk(name="poor", limit=10).save(), Clerk(name="rich", limit=1000).save()
    cheap, dear = Order(total=5, note="x").save(), Order(total=500).save()

    with stage:
        actors = [stage.connect(poor), stage.connect(rich)]
        for actor in actors:
            actor.ask("documents", {"action": "subscribe", "data": {"class_name": "Order"}})
        cheap.update(total=50)
        dear.update(total=7)
        seen = [
            [(each["op"], each["message"].get("total")) for each in actor.wait("documents", count)[1:]]
            for actor, count in zip(actors, (4, 5), strict=True)
        ]

    assert seen[0] == [("L", 5), ("R", None), ("I", 7)]
    assert sorted(seen[1][:2]) == [("L", 5), ("L", 500)]
    assert seen[1][2:] == [("U", 50), ("U", 7)]
