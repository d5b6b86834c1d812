"""`wsflask explain`: docs/explain.md shows what it prints, and it tells what the server decides."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent.pool
import mongoengine as me
import pytest
from bson import ObjectId

from tests.harness import ROOT, Database
from wsflask.access import Condition, Exposures, Scope
from wsflask.access.explain import Explanation, explain

PAGE = (ROOT / "docs" / "explain.md").read_text()
APP = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
#: What each case on the page shows: the command, and what it prints.
CASES = re.findall(r"```console\n\$ (wsflask explain [^\n]+)\n(.*?)```", PAGE, re.DOTALL)
_POSITION = re.compile(r"\b[0-9]{20}\b")


class Shop:
    """The application of the page in a folder of its own, with its documents."""

    def __init__(self, folder: Path, database: Database) -> None:
        assert APP
        self.folder = folder
        (folder / "shop.py").write_text(APP[1].replace("mongodb://localhost/shop", database.uri))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WSFLASK_")}
        self.env |= {"PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
        database["user"].insert_one({"_id": "ann", "name": "Ann", "groups": ["sellers"]})
        database["order"].insert_many(
            [
                {"_id": 1001, "owner": "ann", "status": "paid", "total": 20.0, "cost": 12.0, "note": "a friend"},
                {"_id": 1003, "owner": "ben", "status": "open", "total": 9.5, "cost": 4.0},
            ]
        )
        database["parcel"].insert_one({"_id": "P-12", "owner": "ann", "status": "packed", "kilos": 2.5})
        database["ticket"].insert_many(
            [{"_id": "T-5", "people": ["Ben"], "level": 3}, {"_id": "T-6", "people": ["Ben"]}]
        )
        database["plan"].insert_one({"_id": "2026", "text": "grow"})
        database["invoice"].insert_one({"_id": "7"})

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status, and what is printed."""
        ended = subprocess.run(
            [sys.executable, "-m", "wsflask", "explain", *arguments],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def shop(tmp_path: Path, database: Database) -> Shop:
    """The application of the page, with its documents."""
    return Shop(tmp_path, database)


def test_the_page_shows_what_is_printed(shop: Shop) -> None:
    commands = [command for command, _ in CASES]

    ended = gevent.pool.Pool(4).map(lambda command: shop.run(*shlex.split(command)[2:]), commands)

    assert len(commands) == 10
    assert [status for status, _ in ended] == [1] * 9 + [0]
    for (command, shown), (_, printed) in zip(CASES, ended, strict=True):
        assert _POSITION.sub("(position)", shown) == _POSITION.sub("(position)", printed), command


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--class", "Ordre", "--id", "1"), "there is no class 'Ordre'; exposed are: Order, Parcel, Plan, Ticket"),
        (("--class", "Order", "--id", "abc"), "'abc' is no key of Order: its key is of the type IntField"),
        (("--class", "Order"), "Missing option '--id'"),
        (("--class", "Order", "--id", "1", "--scope", "{"), "this is not JSON"),
        (("--class", "Order", "--id", "1", "--app", "nothing:app"), "No module named 'nothing'"),
        (("--class", "Order", "--id", "1", "--app", "./shop.py"), "is no application; write the import name"),
    ],
)
def test_what_cannot_be_told_is_another_exit_status(shop: Shop, arguments: tuple[str, ...], sentence: str) -> None:
    status, printed = shop.run("--app", "shop:app", "--user", "ann", *arguments)

    assert status == 2
    assert sentence in printed


def test_json_is_for_programs(shop: Shop) -> None:
    status, printed = shop.run("--app", "shop:app", "--user", "bob", "--class", "Order", "--id", "1001", "--json")
    found = json.loads(printed)

    assert status == 1
    assert (found["sees"], found["reason"]) == (False, "the user loader knows no such user")
    assert [step["name"] for step in found["steps"]] == ["class", "user", "document", "position"]
    assert _POSITION.fullmatch(found["steps"][-1]["text"])


# --- every reason, judged in this process


class Home(me.EmbeddedDocument):
    city = me.StringField()


class Pet(me.Document):
    name = me.StringField(db_field="n")
    owner = me.StringField()
    chip = me.StringField()
    toys = me.ListField(me.StringField())
    homes = me.EmbeddedDocumentListField(Home)
    meta = {"collection": "explain_pet", "allow_inheritance": True}


class Cat(Pet):
    lives = me.IntField(default=9)


ANN = SimpleNamespace(get_id=lambda: "ann", name="Ann", groups=["vets"], is_authenticated=True, is_active=True)
MAX = {
    "_id": ObjectId(),
    "_cls": "Pet",
    "n": "Max",
    "owner": "ann",
    "chip": "c-1",
    "toys": ["ball", "bone"],
    "homes": [{"city": "Oslo"}, {"city": "Bonn"}],
}


def judged(read: Any, raw: Any = MAX, *, who: Any = ANN, cls: Any = Pet, **more: Any) -> Explanation:
    exposures = Exposures(lambda user: user.groups)
    asked = {name: more.pop(name) for name in ("scope", "field") if name in more}
    exposures.expose(cls, **{"fields": ("name", "toys"), "key_sets": {"owner": ("owner",)}, "read": read, **more})
    return explain(exposures, cls.__name__, who, raw, **asked)


def grants(*objects: str, act: str = "read") -> Any:
    return [{"obj": obj, "act": act} for obj in objects]


def fail(user: Any) -> Any:
    raise KeyError("teams")


def returns(value: Any) -> Any:
    return lambda user: value


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (None, "the class is exposed without read, so nobody reads anything"),
        (fail, "read raised KeyError: 'teams'"),
        (returns(None), "read returned None: nothing may be read"),
        (returns([]), "read returned []: nothing may be read"),
        (returns("all"), "read returned 'all', which is no right: TypeError: read gives True"),
        (returns([{"fn": "wings", "op": "==", "val": 2}]), "which is no right: Refusal: forbidden"),
        (returns(grants("Car/*")), "no grant is for reading Pet"),
        (returns(grants("Pet/*", act="write")), "no grant is for reading Pet"),
        (grants("Pet/owner/ben", "Pet/owner/cid"), "no grant is for it"),
        (returns([{"fn": "owner", "op": "==", "val": "ben"}]), 'read wants owner == "ben", and the document has "ann"'),
        (returns([{"fn": "toys", "op": "==", "val": "rope"}]), 'and the document has ["ball", "bone"]'),
        (returns({"owner": "ann", "name": {"!=": "Max"}}), 'read wants name != "Max", and the document has "Max"'),
        (returns({"homes.city": "Rome"}), 'read wants homes.city == "Rome", and the document has ["Oslo", "Bonn"]'),
        (returns(Scope([Condition("age", ">", 5)])), "read wants age > 5, and the document has null"),
        (returns([[{"fn": "name", "op": "==", "val": "Tom"}, {"fn": "owner", "op": "==", "val": "ann"}],
                  [{"fn": "owner", "op": "==", "val": "ben"}]]), "it meets none of the scopes that read returned"),
        (lambda user, pet: pet.owner == "ben", "the predicate <lambda> returned False"),
        (lambda user, pet: pet.owner, "the predicate <lambda> returned 'ann'"),
        (lambda user, pet: pet.wings, "the predicate <lambda> raised AttributeError"),
    ],
)  # fmt: skip
def test_a_right_that_is_not_there_has_its_reason(read: Any, reason: str) -> None:
    found = judged(read)

    assert not found.sees
    assert reason in found.reason


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (returns(True), "read returned True: every document may be read"),
        (grants("Pet/owner/ben", "Pet/owner/ann"), "a grant is for it: Pet/owner/ann"),
        (returns({"content": grants("*")}), "a grant is for it: *"),
        (returns([{"fn": "toys", "op": "==", "val": "bone"}]), 'it meets toys == "bone"'),
        (lambda user, pet: pet.name == "Max", "the predicate <lambda> returned True"),
    ],
)
def test_a_right_that_is_there_has_its_reason(read: Any, reason: str) -> None:
    found = judged(read)

    assert found.sees
    assert found.reason == reason


def test_each_grant_is_told_of_up_to_a_limit() -> None:
    def broken(user: Any) -> Any:
        return [*grants("Pet/wings/2", "Car/*"), "nonsense", *grants(*(f"Pet/owner/{n}" for n in range(20)))]

    lines = next(step.more for step in judged(broken).steps if step.name == "right")

    assert lines[0].startswith("Pet/wings/2: cannot be understood, after the class comes")
    assert lines[1] == "Car/*: is for something else, or does not grant reading (read)"
    assert lines[2].startswith("nonsense: cannot be understood")
    assert lines[3] == 'Pet/owner/0: owner == "0", and the document has "ann"'
    assert lines[-1] == "and 13 more"


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (None, "the user loader knows no such user"),
        (SimpleNamespace(is_authenticated=False), "the user is not signed in"),
        (SimpleNamespace(is_authenticated=True, is_active=False), "the user is not active"),
    ],
)
def test_who_cannot_come_in_is_told_of_first(who: Any, reason: str) -> None:
    found = judged(returns(True), None, who=who)

    assert not found.sees
    assert reason in found.reason


def test_a_document_of_another_class_in_the_collection_is_none_of_this_one() -> None:
    assert judged(returns(True), MAX, cls=Cat).reason == "the document is a Pet, which is no Cat"
    assert judged(returns(True), {**MAX, "_cls": "Pet.Cat"}, cls=Cat).sees


def test_without_a_document_only_a_missing_right_can_be_told() -> None:
    verdicts = {step.name: step.verdict for step in judged(grants("Pet/owner/ann"), None, scope=[]).steps}

    assert verdicts == {"class": "yes", "user": "yes", "document": "no", "right": "-", "scope": "-", "fields": "-"}
    assert {step.name: step.verdict for step in judged(None, None).steps}["right"] == "no"


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ([{"fn": "name", "op": "==", "val": "Tom"}], 'out of the scope: name == "Tom", and the document has "Max"'),
        ([{"fn": "chip", "op": "==", "val": "c-1"}], "is refused (forbidden): the user does not see chip"),
        ([{"fn": "name", "op": "~", "val": "c-1"}], "the subscription is refused (bad_data): field or operator"),
        ({"name": "Tom"}, 'out of the scope: name == "Tom", and the document has "Max"'),
        ({"chip.x": 1}, "is refused (forbidden): the user does not see chip"),
        ("name", "the subscription is refused (bad_data): "),
        ([{"fn": "name", "op": "==", "val": str(n)} for n in range(21)], "the subscription is refused (too_big)"),
    ],
)  # fmt: skip
def test_a_scope_is_judged_as_a_subscription_would_be(scope: Any, reason: str) -> None:
    assert judged(returns(True), scope=[{"fn": "name", "op": "==", "val": "Max"}]).sees
    found = judged(returns(True), scope=scope)

    assert not found.sees
    assert reason in found.reason


@pytest.mark.parametrize(
    ("field", "more", "sees", "reason"),
    [
        ("_id", {}, True, "the key always comes along"),
        ("name", {}, True, "name is shown"),
        ("toys.0", {}, True, "toys is shown"),
        ("wings", {}, False, "the class has no field wings"),
        ("chip", {}, False, "chip is not exposed"),
        ("chip", {"hidden": ("chip",)}, False, "chip is hidden, and show_hidden does not allow this user"),
        ("chip", {"hidden": ("chip",), "show_hidden": lambda user: True}, True, "it is shown when the client asks"),
        ("chip", {"fields": {"*": ("name",), "vets": ("chip",)}}, True, "chip is shown"),
        ("chip", {"fields": {"owners": ("chip",)}}, False, "chip is for owners, and the user is in none"),
        ("chip", {"fields": fail}, False, "chip is not shown, for the function fields failed: KeyError: 'teams'"),
        ("chip", {"fields": lambda user: ("name",)}, False, "chip is not among what the function fields returns"),
    ],
)
def test_a_field_is_seen_or_has_its_reason(field: str, more: Any, sees: bool, reason: str) -> None:
    found = judged(returns(True), field=field, **more)

    assert found.sees is sees
    assert reason in found.reason


def test_a_class_under_another_name_is_named() -> None:
    exposures = Exposures()
    exposures.expose(Pet, fields=("name",), name="Animal")

    assert explain(exposures, "Pet", ANN, MAX).reason == "Pet is exposed under another name: Animal"


def test_nothing_a_terminal_obeys_is_shown() -> None:
    raw = {**MAX, "owner": "\x1b]0;spoofed\x07\u009b31m" + "x" * 500}

    text = judged(grants("Pet/owner/ann"), raw).steps[3].more[0]

    assert text.isprintable()
    assert len(text) < 250


def test_what_explains_is_what_decides() -> None:
    """Over many rights and documents, the explanation is that of the server's own judgement."""
    exposures = Exposures()
    reads = [
        returns(True),
        returns(None),
        grants("Pet/owner/ann", "Pet/key/*", act="write"),
        grants("Pet/owner/ann"),
        returns([{"fn": "toys", "op": "in", "val": ["bone"]}]),
        lambda user, pet: pet.owner == user.get_id(),
    ]
    raws = [{**MAX, "owner": owner, "toys": toys} for owner in ("ann", "ben", None) for toys in ([], ["bone"], None)]
    for number, read in enumerate(reads):
        exposure = exposures.expose(
            Pet, fields=("name",), read=read, name=f"Pet{number}", key_sets={"owner": ("owner",)}
        )
        for raw in raws:
            expected = exposure.may_read(exposure.access_for(ANN), raw)
            assert explain(exposures, exposure.name, ANN, raw).sees is expected
