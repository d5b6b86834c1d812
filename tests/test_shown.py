"""The option `fields`: names, a function of the user, or names by role."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import mongoengine as me
import pytest

from wsflask.access import Exposure, Exposures
from wsflask.config import Settings
from wsflask.errors import ConfigError, Refusal
from wsflask.live.asking import parse_subscribe, query_for
from wsflask.live.references import References


class Maker(me.Document):
    name = me.StringField()
    margin = me.IntField()
    meta = {"collection": "shown_maker"}


class Product(me.Document):
    sku = me.StringField(primary_key=True)
    title = me.StringField(db_field="t")
    price = me.IntField()
    cost = me.IntField()
    audit = me.StringField()
    maker = me.ReferenceField(Maker)
    meta = {"collection": "shown_product"}


class Loose(me.DynamicDocument):
    title = me.StringField()
    meta = {"collection": "shown_loose"}


BY_ROLE = {"*": ("title", "maker"), "buyers": ("price", "cost"), "sellers": ("price",)}


def user(*groups: str, **more: Any) -> Any:
    return SimpleNamespace(groups=groups, is_authenticated=True, get_id=lambda: "ann", **more)


def product(fields: Any, **options: Any) -> Exposure:
    return Exposure(Product, fields=fields, groups=lambda user: user.groups, **options)


def exposures(**options: Any) -> Exposures:
    made = Exposures(lambda user: user.groups)
    made.expose(Product, **{"fields": BY_ROLE, "read": lambda user: True, **options})
    made.expose(Maker, fields={"*": ("name",), "buyers": ("margin",)}, read=lambda user: True)
    return made


def row(who: Any, **data: Any) -> dict[str, Any]:
    """Return the row that the user gets of a product."""
    query, _ = query_for(parse_subscribe({"class_name": "Product", **data}), who, exposures(), Settings())
    stored = {"_id": "1", "t": "Lamp", "price": 9, "cost": 5, "audit": "x", "maker": 7}
    return query.projection.row(stored, References())


# --- by role


@pytest.mark.parametrize(
    ("groups", "seen"),
    [
        ((), {"title", "maker"}),
        (("nobody",), {"title", "maker"}),
        (("sellers",), {"title", "maker", "price"}),
        (("buyers", "sellers"), {"title", "maker", "price", "cost"}),
    ],
)
def test_a_user_sees_what_everybody_and_his_roles_see(groups: tuple[str, ...], seen: set[str]) -> None:
    assert product(BY_ROLE).fields_for(user(*groups)) == seen


def test_without_a_star_who_has_no_role_sees_the_key_alone() -> None:
    assert product({"buyers": ("cost",)}).fields_for(user()) == frozenset()


def test_groups_that_fail_are_none_and_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    exposure = Exposure(Product, fields=BY_ROLE, groups=lambda user: 1 / 0)  # type: ignore[arg-type, return-value]

    with caplog.at_level(logging.ERROR):
        assert exposure.fields_for(user("buyers")) == {"title", "maker"}
    assert "the groups of a user of Product failed" in caplog.text


# --- by a function


def test_a_function_says_what_a_user_sees() -> None:
    exposure = product(lambda user: ["title", "cost"] if user.is_buyer else ["title"])

    assert exposure.fields_for(user(is_buyer=True)) == {"title", "cost"}
    assert exposure.fields_for(user(is_buyer=False)) == {"title"}


@pytest.mark.parametrize("given", [None, (), "title", {"title": True}, 5, [["title"]]])
def test_what_is_no_list_of_names_shows_nothing(given: Any) -> None:
    assert product(lambda user: given).fields_for(user()) == frozenset()


def test_a_function_that_raises_shows_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert product(lambda user: user.no_such_attribute).fields_for(user()) == frozenset()
    assert "fields of Product failed and shows nothing" in caplog.text


def test_names_that_the_class_does_not_declare_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    exposure = product(lambda user: ["title", "colour", "t", 5, "_id", "__class__"])

    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert exposure.fields_for(user()) == {"title"}
    assert caplog.text.count("returns names that the class does not declare") == 1


def test_a_function_may_name_what_a_dynamic_document_does_not_declare() -> None:
    exposure = Exposure(Loose, fields=lambda user: ["zeal", "title", "a.b", "_cls"])

    assert exposure.fields_for(user()) == {"zeal", "title"}
    assert exposure.in_order(exposure.fields_for(user())) == ["title", "zeal"]


# --- hidden ones come on top


def test_hidden_fields_are_on_top_for_those_who_may() -> None:
    options: dict[str, Any] = {"hidden": ("audit",), "show_hidden": lambda user: "auditors" in user.groups}

    for fields in (BY_ROLE, lambda user: ["title", "maker", "audit"]):
        exposure = product(fields, **options)
        assert exposure.fields_for(user("auditors"), show_hidden=True) == {"title", "maker", "audit"}
        assert exposure.fields_for(user("auditors")) == {"title", "maker"}
        assert exposure.fields_for(user(), show_hidden=True) == {"title", "maker"}


def test_what_no_user_is_asked_about_is_what_everybody_sees() -> None:
    assert product(BY_ROLE, hidden=("audit",)).visible(show_hidden=False) == {"title", "maker"}
    assert product(lambda user: ["title"]).visible(show_hidden=False) == frozenset()
    assert product(BY_ROLE).fields_for(None) == frozenset()


# --- what a client asks


def test_a_row_has_what_this_user_sees_in_the_order_of_the_exposure() -> None:
    assert list(row(user("buyers"))) == ["_id", "title", "maker", "price", "cost"]
    assert list(row(user())) == ["_id", "title", "maker"]


def test_a_catalog_cannot_ask_for_what_this_user_does_not_see() -> None:
    catalog = {"title": None, "cost": None, "nothing": None}

    assert row(user("buyers"), catalog=catalog) == {"_id": "1", "title": "Lamp", "cost": 5}
    assert row(user(), catalog=catalog) == {"_id": "1", "title": "Lamp"}


def test_a_scope_over_what_this_user_does_not_see_is_refused_as_if_it_were_not_there() -> None:
    asked = [[{"fn": name, "op": "==", "val": 5}] for name in ("cost", "nothing")]
    query, _ = query_for(
        parse_subscribe({"class_name": "Product", "data_scope": asked[0]}), user("buyers"), exposures(), Settings()
    )
    refusals = []
    for scope in asked:
        with pytest.raises(Refusal) as caught:
            query_for(
                parse_subscribe({"class_name": "Product", "data_scope": scope}), user(), exposures(), Settings()
            )
        refusals.append((caught.value.code, str(caught.value)))

    assert query.scope.matches({"cost": 5})
    assert len(set(refusals)) == 1
    assert refusals[0][0] == "forbidden"


@pytest.mark.parametrize(("groups", "seen"), [((), {"_id", "name"}), (("buyers",), {"_id", "name", "margin"})])
def test_an_expanded_reference_shows_what_this_user_sees_of_its_class(groups: tuple[str, ...], seen: set[str]) -> None:
    made = exposures()
    query, _ = query_for(
        parse_subscribe({"class_name": "Product", "catalog": {"maker": False}}), user(*groups), made, Settings()
    )
    maker = made.for_class(Maker)
    assert maker is not None
    references = References()
    references._found[maker] = {7: {"_id": 7, "name": "Acme", "margin": 3}}

    assert query.projection.row({"_id": "1", "maker": 7}, references)["maker"].keys() == seen


def test_users_who_see_the_same_share_a_view_and_others_do_not() -> None:
    asked = parse_subscribe({"class_name": "Product"})
    keys = {query_for(asked, who, exposures(), Settings())[0].key for who in (user(), user("x"), user("buyers"))}

    assert len(keys) == 2


def test_a_label_is_shown_to_those_who_see_its_field() -> None:
    exposure = product({"buyers": ("title",)}, label="title")
    document = Product(sku="7", title="Lamp")

    assert exposure.label_of(document, exposure.fields_for(user("buyers"))) == "Lamp"
    assert exposure.label_of(document, exposure.fields_for(user())) == "Product 7"
    assert exposure.label_of(document) == "Product 7"


# --- misuse


@pytest.mark.parametrize(
    ("fields", "options", "sentence"),
    [
        ({"*": "title"}, {}, "fields\\['\\*'\\] is a string"),
        ({"*": ("colour",)}, {}, "names 'colour'"),
        ({5: ("title",)}, {}, "has the role 5"),
        ({}, {}, "lists no field"),
        ({"buyers": ()}, {}, "lists no field"),
        ({"buyers": ("audit",)}, {"hidden": ("audit",)}, "in fields and in hidden"),
        (lambda user, document: (), {}, "fields wants 2 arguments; give it the parameters \\(user\\)"),
        (lambda *args: (), {}, "takes any number"),
        ({"*": ("title",)}, {"label": "price"}, "label is"),
    ],
)
def test_a_wrong_option_is_refused_with_a_sentence(fields: Any, options: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        product(fields, **options)
