"""The clipboard: one list for all tabs of a user, whatever they do at once."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from bson import ObjectId
from mongoengine import Document, IntField, StringField
from pymongo.errors import PyMongoError

from tests.harness import Commands, Database, wait_until
from tests.harness.stage import Actor, Stage
from wsflask.documents import ClipboardState
from wsflask.documents.fields import utc_now
from wsflask.errors import Refusal
from wsflask.feed import Gap
from wsflask.services import clipboard as clipboard_module
from wsflask.services.clipboard import Clipboard
from wsflask.services.clipboard_entries import Edit, Limits, Raw, add, data_entry
from wsflask.services.clipboard_store import ClipboardStore

CHANNEL = "clipboard"
FAST = {"messages_per_second": 10_000, "message_burst": 10_000}


class Plane(Document):
    meta = {"collection": "clip_planes", "strict": False}

    name = StringField()
    airline = StringField()


class Stand(Document):
    meta = {"collection": "clip_stands", "strict": False}

    number = IntField(primary_key=True)


class Secret(Document):
    meta = {"collection": "clip_secrets"}

    name = StringField()


def make_stage(**settings: Any) -> Stage:
    stage = Stage(Clipboard, **{**FAST, **settings})
    stage.server.expose(Plane, fields=("name",), label="name", read=_planes_of)
    stage.server.expose(
        Stand, fields=(), hidden=("number",), read=lambda user: True, label=lambda doc: f"Stand {doc.pk}"
    )
    return stage


def _planes_of(user: Any) -> Any:
    return [[{"fn": "airline", "op": "==", "val": "UA"}], [{"fn": "airline", "op": "==", "val": "B6"}]]


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    with make_stage() as stage:
        yield stage


def ask(actor: Actor, action: str, data: Any = None, **more: Any) -> Any:
    return actor.ask(CHANNEL, {"action": action, "data": data, **more})["payload"]


def seqs(actor: Actor, *, answers: bool = False) -> list[str]:
    return [
        envelope["seq"]
        for envelope in list(actor.envelopes)
        if envelope["channel"] == CHANNEL and (answers or "id" not in envelope)
    ]


def last(actor: Actor) -> Any:
    return actor.on(CHANNEL)[-1]


def await_entries(actor: Actor, values: list[Any]) -> None:
    def shown() -> bool:
        return bool(actor.on(CHANNEL)) and [entry.get("data", entry.get("label")) for entry in last(actor)] == values

    wait_until(shown, what=str(values))


def test_a_new_user_has_an_empty_clipboard(stage: Stage) -> None:
    actor = stage.connect("ada", form="plain")

    actor.wait(CHANNEL, 1)

    assert actor.texts == ['{"channel":"clipboard","payload":[]}']


def test_each_command_is_answered_with_the_new_clipboard(stage: Stage) -> None:
    plane = Plane(name="UA 1545", airline="UA").save()
    actor = stage.connect("ada")

    added = ask(actor, "clipboard_add", {"any": ["json", 1.5, None]})
    loaded = ask(actor, "clipboard_load", {"model": "Plane", "ids": [str(plane.id)]})
    removed = ask(actor, "clipboard_remove", 1)
    flushed = ask(actor, "clipboard_flush", "whatever")

    assert [(e["id"], e["kind"], e["label"], e["data"]) for e in added] == [
        (1, "data", '{"any":["json",1.5,null]}', {"any": ["json", 1.5, None]})
    ]
    assert loaded[0] == added[0]
    assert list(loaded[1]) == ["id", "kind", "label", "model", "object_id", "missing", "created_dt"]
    assert list(added[0]) == ["id", "kind", "label", "data", "created_dt"]
    assert {**loaded[1], "created_dt": ""} == {
        "id": 2,
        "kind": "reference",
        "label": "UA 1545",
        "model": "Plane",
        "object_id": str(plane.id),
        "missing": False,
        "created_dt": "",
    }
    assert loaded[1]["created_dt"].endswith("Z")
    assert removed == [loaded[1]]
    assert flushed == []


def test_the_short_names_mean_the_same(stage: Stage) -> None:
    Stand(number=7).save()
    actor = stage.connect("ada")

    labels = [
        [entry["label"] for entry in ask(actor, action, data)]
        for action, data in (
            ("add", "x"),
            ("load", {"model": "Stand", "ids": [7]}),
            ("remove", 1),
            ("flush", None),
        )
    ]

    assert labels == [["x"], ["x", "Stand 7"], ["Stand 7"], []]


def test_without_an_id_the_state_is_the_answer_and_comes_once(stage: Stage) -> None:
    plain, other = stage.connect("ada", form="plain"), stage.connect("ada")
    for each in (plain, other):
        each.wait(CHANNEL, 1)

    plain.say(CHANNEL, {"action": "clipboard_add", "data": "x"})
    plain.say(CHANNEL, {"action": "clipboard_flush"})
    plain.say(CHANNEL, {"action": "clipboard_flush"})
    states = [each.wait(CHANNEL, 4) for each in (plain, other)]

    assert states[0] == states[1]
    assert [[entry["label"] for entry in state] for state in states[0]] == [[], ["x"], [], []]


def test_every_tab_and_device_gets_the_same_states(database: Database) -> None:
    with make_stage() as here, make_stage() as there:
        tabs = [here.connect("ada"), here.connect("ada"), there.connect("ada")]
        for tab in tabs:
            tab.wait(CHANNEL, 1)

        ask(tabs[0], "add", "x")
        ask(tabs[2], "add", "y")

        for tab in tabs:
            await_entries(tab, ["x", "y"])


def test_users_who_come_at_once_are_loaded_and_their_references_checked_together(commands: Commands) -> None:
    plane, gone = (Plane(name="UA 1", airline="UA").save() for _ in range(2))
    users = [f"user{number}" for number in range(150)]
    for user in users[:60]:
        Clipboard().clipboard_add(user, user)
    with make_stage() as stage:
        for user in users[40:60]:
            ask(stage.connect(user), "load", {"model": "Plane", "ids": [str(plane.id), str(gone.id)]})
    gone.delete()
    with make_stage() as stage:
        stage.connect("first").wait(CHANNEL, 1)
        commands.clear()

        actors = [stage.connect(user) for user in users]
        first = [actor.wait(CHANNEL, 1)[0] for actor in actors]

    labels = [[entry["label"] for entry in entries] for entries in first]
    assert labels[:40] == [[user] for user in users[:40]]
    assert labels[40:60] == [[user, "UA 1", "UA 1"] for user in users[40:60]]
    assert labels[60:] == [[]] * 90
    assert {tuple(entry.get("missing") for entry in entries) for entries in first[40:60]} == {(None, False, True)}
    assert len(commands.on("wsflask_clipboards")) <= 10
    assert len(commands.on("clip_planes")) <= 4


def test_a_clipboard_that_cannot_be_read_keeps_nobody_else_out(
    stage: Stage, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="wsflask")
    database["wsflask_clipboards"].insert_one({"_id": "eve", "rev": 1, "entries": [{"ref": ["no", "text"]}]})

    actors = {name: stage.connect(name) for name in ("ada", "bob", "eve")}

    assert [actors[name].wait(CHANNEL, 1) for name in ("ada", "bob")] == [[[]], [[]]]
    wait_until(lambda: actors["eve"].connection.close_code == 1013)


def test_what_changes_while_the_clipboard_is_loaded_is_shown_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed may be faster than the answer to a query."""
    earlier = stage.connect("ada")
    earlier.wait(CHANNEL, 1)
    real = ClipboardStore.load_all

    def slow(self: ClipboardStore, user_ids: list[str]) -> dict[str, Raw]:
        monkeypatch.undo()
        found = real(self, user_ids)
        Clipboard().clipboard_add("ada", "x")
        await_entries(earlier, ["x"])
        return found

    monkeypatch.setattr(ClipboardStore, "load_all", slow)
    later = stage.connect("ada")

    assert [entry["data"] for entry in later.wait(CHANNEL, 1)[0]] == ["x"]
    assert [entry["data"] for entry in ask(later, "add", "y")] == ["x", "y"]


def test_no_clipboard_is_kept_in_memory(stage: Stage) -> None:
    service = stage.server.services[0]
    assert isinstance(service, Clipboard)
    tabs = [stage.connect("ada"), stage.connect("ada")]

    for tab in tabs:
        ask(tab, "add", "x" * 1000)
    await_entries(tabs[0], ["x" * 1000] * 2)

    wait_until(lambda: service._boards._boards["ada"].message is None)


def test_users_do_not_see_each_other(stage: Stage) -> None:
    ada, bob = stage.connect("ada"), stage.connect("bob")

    ask(ada, "add", "x")

    assert ask(bob, "add", "y") == [{**last(bob)[0], "id": 1, "data": "y"}]
    assert bob.on(CHANNEL)[0] == []


def test_it_outlives_the_connection(stage: Stage) -> None:
    actor = stage.connect("ada")
    entries = ask(actor, "add", "x")
    actor.leave()

    assert stage.connect("ada").wait(CHANNEL, 1) == [entries]


def test_ids_are_never_used_again(stage: Stage) -> None:
    actor = stage.connect("ada")

    ids = []
    for action, data in (("add", 1), ("add", 2), ("remove", 2), ("add", 3), ("flush", None), ("add", 4)):
        ids.append([entry["id"] for entry in ask(actor, action, data)])

    assert ids == [[1], [1, 2], [1], [1, 3], [], [4]]


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "text", [], {}, {"$set": {"a.b": 1}, "": [{"$gt": ""}]}, {"__proto__": {}}, 2**53 - 1],
    ids=str,
)
def test_any_json_comes_back_as_it_was(stage: Stage, value: Any) -> None:
    actor = stage.connect("ada")

    assert ask(actor, "add", value)[0]["data"] == value
    assert stage.connect("ada").wait(CHANNEL, 1)[0][0]["data"] == value


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("two\n  lines", "two lines"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("y" * 5000, "y" * 79 + "…"),
        ({"a": 1}, '{"a":1}'),
        (None, "null"),
    ],
    ids=lambda value: str(value)[:10],
)
def test_the_label_is_a_short_text(stage: Stage, value: Any, label: str) -> None:
    assert ask(stage.connect("ada"), "add", value)[0]["label"] == label


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (None, "bad_data"),
        ("clipboard_add", "bad_data"),
        ({}, "bad_action"),
        ({"action": None}, "bad_action"),
        ({"action": "clipboard_run", "data": 1}, "bad_action"),
        ({"action": "on_connect", "data": 1}, "bad_action"),
        ({"action": "add"}, "bad_data"),
        ({"action": "remove"}, "bad_data"),
        ({"action": "remove", "data": True}, "bad_data"),
        ({"action": "remove", "data": "1"}, "bad_data"),
        ({"action": "remove", "data": 1.0}, "bad_data"),
        ({"action": "remove", "data": {"$gt": 0}}, "bad_data"),
        ({"action": "remove", "data": 1}, "not_found"),
        ({"action": "load", "data": "Plane"}, "bad_data"),
        ({"action": "load", "data": {"model": "Plane"}}, "bad_data"),
        ({"action": "load", "data": {"model": "Plane", "ids": "abc"}}, "bad_data"),
        ({"action": "load", "data": {"model": "Plane", "ids": ["abc"]}}, "bad_data"),
        ({"action": "load", "data": {"model": "Plane", "ids": [{"$ne": None}]}}, "bad_data"),
        ({"action": "load", "data": {"model": "Plane", "ids": [None]}}, "bad_data"),
        ({"action": "load", "data": {"model": "Stand", "ids": ["7"]}}, "not_found"),
        ({"action": "load", "data": {"model": "Secret", "ids": []}}, "not_found"),
        ({"action": "load", "data": {"model": {"$ne": ""}, "ids": []}}, "bad_data"),
        ({"action": "flush", "cmd_id": ""}, "bad_data"),
        ({"action": "flush", "cmd_id": 5}, "bad_data"),
        ({"action": "flush", "cmd_id": "é" * 33}, "bad_data"),
    ],
    ids=str,
)
def test_a_command_that_makes_no_sense_is_refused_and_changes_nothing(stage: Stage, payload: Any, code: str) -> None:
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    assert actor.ask(CHANNEL, payload)["payload"]["code"] == code
    assert ClipboardState.objects.count() == 0


@pytest.mark.parametrize("ids", [[], ["x"], ["7"]], ids=str)
def test_who_may_read_nothing_of_a_class_is_not_told_that_it_is_exposed(stage: Stage, ids: list[str]) -> None:
    stage.server.expose(Secret, fields=("name",), read=lambda user: False)
    actor = stage.connect("ada")

    answers = [ask(actor, "load", {"model": model, "ids": ids}) for model in ("Secret", "Nothing")]

    assert answers[0] == answers[1]
    assert answers[0]["code"] == "not_found"


def test_a_collations_idea_of_equality_does_not_widen_a_right(stage: Stage, database: Database) -> None:
    planes = database.client[database.name].create_collection("clip_planes", collation={"locale": "en", "strength": 2})
    key = planes.insert_one({"name": "UA 1", "airline": "ua"}).inserted_id
    actor = stage.connect("ada")

    answer = ask(actor, "load", {"model": "Plane", "ids": [str(key)]})

    assert answer["code"] == "not_found"


def test_documents_of_others_and_documents_that_do_not_exist_get_the_same_answer(stage: Stage) -> None:
    own, foreign = Plane(name="UA 1", airline="UA").save(), Plane(name="DL 1", airline="DL").save()
    actor = stage.connect("ada")

    answers = [
        ask(actor, "load", {"model": "Plane", "ids": [str(own.id), str(identity)]})
        for identity in (foreign.id, ObjectId())
    ]

    assert answers[0] == answers[1] == {"code": "not_found", "message": "There is no such thing, or not for you."}
    assert ClipboardState.objects.count() == 0


def test_references_come_in_the_order_asked_for_and_each_once(stage: Stage) -> None:
    planes = [Plane(name=str(number), airline=("UA", "B6")[number % 2]).save() for number in range(4)]
    actor = stage.connect("ada")
    ask(actor, "load", {"model": "Plane", "ids": [str(planes[2].id)]})

    entries = ask(actor, "load", {"model": "Plane", "ids": [str(planes[n].id) for n in (3, 2, 0, 3, 1)]})

    assert [(entry["id"], entry["label"]) for entry in entries] == [(1, "2"), (2, "3"), (3, "0"), (4, "1")]


def test_a_label_that_fails_does_not_keep_the_document_out(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="wsflask")
    plane = Plane(name="x").save()
    stage = Stage(Clipboard)
    stage.server.expose(Plane, fields=("name",), read=lambda user: True, label=lambda document: 1 / 0)

    with stage:
        assert ask(stage.connect("ada"), "load", {"model": "Plane", "ids": [str(plane.id)]})[0]["label"] == "Plane"


def test_a_label_is_the_class_and_key_for_who_does_not_see_its_field(database: Database) -> None:
    plane = Plane(name="x").save()
    stage = Stage(Clipboard)
    stage.server.expose(Plane, fields={"crew": ("name",)}, read=lambda user: True, label="name")

    with stage:
        actors = [stage.connect(SimpleNamespace(get_id=lambda: "ada", is_authenticated=True, groups=["crew"])),
                  stage.connect(SimpleNamespace(get_id=lambda: "bob", is_authenticated=True, groups=[]))]  # fmt: skip
        labels = [ask(actor, "load", {"model": "Plane", "ids": [str(plane.id)]})[0]["label"] for actor in actors]

    assert labels == ["x", f"Plane {plane.id}"]


def test_a_predicate_decides_which_documents_may_be_loaded(database: Database) -> None:
    own, foreign = Plane(name="UA 1", airline="UA").save(), Plane(name="DL 1", airline="DL").save()
    stage = Stage(Clipboard)
    stage.server.expose(Plane, fields=("name",), read=lambda user, plane: plane.airline == "UA", label="name")

    with stage:
        actor = stage.connect("ada")
        assert ask(actor, "load", {"model": "Plane", "ids": [str(foreign.id)]})["code"] == "not_found"
        assert ask(actor, "load", {"model": "Plane", "ids": [str(own.id)]})[0]["label"] == "UA 1"


def test_a_reference_is_flagged_when_its_document_is_deleted(database: Database) -> None:
    with make_stage() as here, make_stage() as there:
        planes = [Plane(name=str(number), airline="UA").save() for number in range(3)]
        Stand(number=7).save()
        ids = [str(plane.id) for plane in planes]
        actors = [here.connect("ada"), there.connect("bob")]
        for actor in actors:
            ask(actor, "add", "data")
            ask(actor, "load", {"model": "Plane", "ids": ids})
            ask(actor, "load", {"model": "Stand", "ids": [7]})

        database["clip_planes"].delete_many({"name": {"$in": ["0", "2"]}})

        for actor in actors:
            wait_until(lambda actor=actor: [e.get("missing") for e in last(actor)] == [None, True, False, True, False])  # type: ignore[misc]


def test_what_was_deleted_while_nobody_looked_is_flagged_on_connect(database: Database) -> None:
    planes = [Plane(name=str(number), airline="UA").save() for number in range(2)]
    with make_stage() as stage:
        ask(stage.connect("ada"), "load", {"model": "Plane", "ids": [str(plane.id) for plane in planes]})
    planes[0].delete()

    with make_stage() as stage:
        gone = stage.connect("ada").wait(CHANNEL, 1)[0]
    planes[0].save(force_insert=True)
    with make_stage() as stage:
        back = stage.connect("ada").wait(CHANNEL, 1)[0]

    assert [entry["missing"] for entry in gone] == [True, False]
    assert [entry["missing"] for entry in back] == [False, False]


def test_deleted_documents_are_found_by_an_index(database: Database) -> None:
    entry = {"id": 1, "kind": "reference", "ref": 'Plane/"x"', "missing": False}
    ClipboardState(user="ada", rev=1, entries=[entry]).save()
    for number in range(50):
        ClipboardState(user=f"user{number}", rev=1, entries=[{**entry, "ref": f"Plane/{number}"}]).save()

    query = {"entries.ref": {"$in": ['Plane/"x"']}, "entries": {"$elemMatch": {"ref": 'Plane/"x"', "missing": False}}}
    plan = ClipboardState._get_collection().find(query).explain()

    assert plan["executionStats"]["totalDocsExamined"] == 1


def test_a_command_sent_twice_is_applied_once(stage: Stage) -> None:
    actor, other = stage.connect("ada"), stage.connect("ada")

    answers = [ask(actor, "add", "x", cmd_id="c1") for _ in range(2)]
    answers.append(ask(other, "add", "y", cmd_id="c1"))
    removed = [ask(actor, "remove", 1, cmd_id="c2") for _ in range(2)]

    assert [len(answer) for answer in answers] == [1, 1, 1]
    assert removed == [[], []]


def test_a_repeated_command_is_answered_although_it_would_be_refused_now(stage: Stage) -> None:
    plane = Plane(name="x", airline="UA").save()
    actor = stage.connect("ada")
    ask(actor, "load", {"model": "Plane", "ids": [str(plane.id)]}, cmd_id="c1")
    plane.delete()

    answer = ask(actor, "load", {"model": "Plane", "ids": [str(plane.id)]}, cmd_id="c1")

    assert [entry["label"] for entry in answer] == ["x"]


def test_a_repeated_command_of_a_plain_client_is_answered_by_the_state(stage: Stage) -> None:
    actor = stage.connect("ada", form="plain")
    actor.wait(CHANNEL, 1)

    for _ in range(2):
        actor.say(CHANNEL, {"action": "add", "data": "x", "cmd_id": "c1"})

    assert [len(state) for state in actor.wait(CHANNEL, 3)] == [0, 1, 1]


def test_a_hundred_command_ids_are_remembered(stage: Stage) -> None:
    actor = stage.connect("ada")

    for number in range(101):
        ask(actor, "add", number, cmd_id=f"c{number}")

    assert len(ask(actor, "flush", cmd_id="c1")) == 101
    assert len(ask(actor, "add", 0, cmd_id="c0")) == 102
    assert len(ClipboardState.objects.get(user="ada").commands) == 100


def test_more_entries_than_the_limit_are_refused(database: Database) -> None:
    with make_stage(clipboard_max_entries=3) as stage:
        planes = [Plane(name=str(number), airline="UA").save() for number in range(4)]
        ids = [str(plane.id) for plane in planes]
        actor = stage.connect("ada")
        ask(actor, "load", {"model": "Plane", "ids": ids[:2]})

        answers = [ask(actor, "load", {"model": "Plane", "ids": more}) for more in (ids[2:], ids, ids[1:3])]
        full = ask(actor, "add", "x")

    assert [answer["code"] for answer in answers[:2]] == ["too_big"] * 2
    assert [entry["label"] for entry in answers[2]] == ["0", "1", "2"]
    assert full["code"] == "too_big"


def test_more_bytes_than_the_limit_are_refused_and_removing_makes_room(database: Database) -> None:
    with make_stage(clipboard_max_bytes=2000) as stage:
        actor = stage.connect("ada")

        first, second = ask(actor, "add", "x" * 900), ask(actor, "add", "x" * 900)
        removed, third = ask(actor, "remove", 1), ask(actor, "add", "x" * 1700)

    assert (len(first), second["code"], removed) == (1, "too_big", [])
    assert [entry["id"] for entry in third] == [2]


def test_more_ids_than_the_limit_are_refused(database: Database) -> None:
    with make_stage(load_max_ids=3) as stage:
        answer = ask(stage.connect("ada"), "load", {"model": "Plane", "ids": [str(ObjectId())] * 4})

    assert answer["code"] == "too_big"


def test_tabs_that_write_at_once_lose_nothing(database: Database) -> None:
    """Two workers, three tabs each, greenlets and threads: every command is applied once, in one order for all."""
    with make_stage() as here, make_stage() as there:
        tabs = [worker.connect("ada") for worker in (here, there) for _ in range(3)]
        for tab in tabs:
            tab.wait(CHANNEL, 1)

        def write(number: int, tab: Actor) -> None:
            rng = random.Random(number)
            for count in range(15):
                entries = ask(tab, "add", f"{number}.{count}", cmd_id=f"{number}.{count}")
                assert f"{number}.{count}" in [entry["data"] for entry in entries]
                if rng.random() < 0.3:
                    ask(tab, "add", f"{number}.{count}", cmd_id=f"{number}.{count}")
                if rng.random() < 0.3:
                    mine = next(entry["id"] for entry in entries if entry["data"] == f"{number}.{count}")
                    ask(tab, "remove", mine, cmd_id=f"{number}.{count}.r")

        threads = [threading.Thread(target=write, args=(number, tab)) for number, tab in enumerate(tabs[:3])]
        for thread in threads:
            thread.start()
        gevent.joinall([gevent.spawn(write, number + 3, tab) for number, tab in enumerate(tabs[3:])], raise_error=True)
        for thread in threads:
            thread.join()
        stored = ClipboardState.objects.get(user="ada")
        for tab in tabs:
            wait_until(lambda tab=tab: max(seqs(tab, answers=True)) == f"{stored.rev:020d}")  # type: ignore[misc]

        ids = [entry["id"] for entry in stored.entries]
        by_seq: dict[str, Any] = {}
        for tab in tabs:
            assert seqs(tab) == sorted(set(seqs(tab)))
            for envelope in tab.envelopes:
                if "seq" in envelope:
                    assert by_seq.setdefault(envelope["seq"], envelope["payload"]) == envelope["payload"]
        assert ids == sorted(set(ids))
        assert stored.next_id == 6 * 15 + 1
        assert stored.size == sum(entry["size"] for entry in stored.entries)
        labels = [entry["label"] for entry in stored.entries]
        assert len(labels) == len(set(labels))
        assert {payload[-1]["id"] if payload else 0 for payload in (last(tab) for tab in tabs)} == {ids[-1]}


def test_the_order_on_one_connection_never_goes_back(stage: Stage) -> None:
    """Answers and states travel by two ways, and the feed may be faster than the answer."""
    tabs = [stage.connect("ada") for _ in range(4)]
    for tab in tabs:
        tab.wait(CHANNEL, 1)

    def write(tab: Actor) -> None:
        for number in range(20):
            ask(tab, "add", number)

    gevent.joinall([gevent.spawn(write, tab) for tab in tabs], raise_error=True)

    for tab in tabs:
        assert seqs(tab, answers=True) == sorted(seqs(tab, answers=True))


def test_the_application_may_use_it_too(stage: Stage) -> None:
    class User:
        def get_id(self) -> str:
            return "ada"

    service = stage.server.services[0]
    assert isinstance(service, Clipboard)
    plane = Plane(name="UA 1", airline="UA").save()
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    states = [
        service.clipboard_add(User(), {"a": 1}),
        service.clipboard_load("ada", {"model": "Plane", "ids": [plane.id]}),
        service.clipboard_remove(User(), 1),
        service.clipboard_flush("ada"),
    ]

    assert [[entry["label"] for entry in state] for state in states] == [['{"a":1}'], ['{"a":1}', "UA 1"], ["UA 1"], []]
    assert actor.wait(CHANNEL, 5)[1:] == states
    with pytest.raises(Refusal):
        service.clipboard_remove("ada", 1)
    with pytest.raises(Refusal):
        service.clipboard_add("ada", "\ud800")


def test_data_can_be_added_without_a_server(database: Database) -> None:
    assert [entry["data"] for entry in Clipboard().clipboard_add("ada", [1])] == [[1]]


def test_a_deleted_clipboard_is_shown_empty_and_goes_on(stage: Stage, database: Database) -> None:
    actor = stage.connect("ada")
    for number in range(3):
        ask(actor, "add", number)

    database["wsflask_clipboards"].delete_one({"_id": "ada"})
    await_entries(actor, [])
    entries = ask(actor, "add", "new")

    assert [entry["data"] for entry in entries] == ["new"]
    assert seqs(actor, answers=True) == sorted(seqs(actor, answers=True))


def test_after_a_gap_the_clipboard_is_what_the_database_says(stage: Stage, database: Database) -> None:
    plane = Plane(name="UA 1", airline="UA").save()
    actors = {name: stage.connect(name) for name in ("ada", "bob", "eve")}
    for actor in actors.values():
        ask(actor, "load", {"model": "Plane", "ids": [str(plane.id)]})
    sent = len(actors["eve"].on(CHANNEL))

    database["wsflask_clipboards"].rename("elsewhere")
    await_entries(actors["ada"], [])
    database["elsewhere"].delete_one({"_id": "eve"})
    database["elsewhere"].update_one({"_id": "ada"}, {"$inc": {"rev": 1}, "$set": {"entries": []}})
    database["elsewhere"].rename("wsflask_clipboards")
    await_entries(actors["bob"], ["UA 1"])
    database["clip_planes"].drop()

    wait_until(lambda: [entry["missing"] for entry in last(actors["bob"])] == [True])
    assert [last(actors["ada"]), last(actors["eve"])] == [[], []]
    assert len(actors["eve"].on(CHANNEL)) >= sent + 1


def test_a_clipboard_restored_from_a_backup_is_shown(stage: Stage, database: Database) -> None:
    actor = stage.connect("ada")
    ask(actor, "add", "old")
    backup = database["wsflask_clipboards"].find_one({"_id": "ada"})
    ask(actor, "add", "new")

    database["wsflask_clipboards"].replace_one({"_id": "ada"}, backup)
    stage.server.feed._dispatch_gap(Gap("", "a test"))
    await_entries(actor, ["old"])

    assert [entry["data"] for entry in ask(actor, "add", "newer")] == ["old", "newer"]


def test_a_gap_without_a_loss_says_nothing(stage: Stage) -> None:
    actor = stage.connect("ada")
    ask(actor, "add", "x")
    sent = len(actor.on(CHANNEL))

    stage.server.feed._dispatch_gap(Gap("", "a test"))
    ask(stage.connect("ada"), "add", "y")
    await_entries(actor, ["x", "y"])

    assert len(actor.on(CHANNEL)) == sent + 1


def test_after_the_last_tab_nothing_is_kept(stage: Stage) -> None:
    service = stage.server.services[0]
    assert isinstance(service, Clipboard)
    tabs = [stage.connect("ada") for _ in range(3)]
    for tab in tabs:
        tab.wait(CHANNEL, 1)

    for tab in tabs:
        tab.leave()

    assert wait_until(lambda: len(service._boards) == 0)


def test_a_failing_database_closes_the_newcomer_who_comes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="wsflask")

    def fail(self: ClipboardStore, user_ids: list[str]) -> None:
        raise PyMongoError("away")

    monkeypatch.setattr(ClipboardStore, "load_all", fail)
    actor = stage.connect("ada")
    wait_until(lambda: not actor.connection.is_open)
    monkeypatch.undo()

    assert actor.connection.close_code == 1013
    assert stage.connect("ada").wait(CHANNEL, 1) == [[]]


def test_a_service_that_dies_is_back_and_shows_the_truth(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, database: Database
) -> None:
    caplog.set_level(logging.CRITICAL, logger="wsflask")
    actor = stage.connect("ada")
    ask(actor, "add", "x")

    def die(self: Clipboard, change: Any) -> None:
        monkeypatch.undo()
        raise ValueError("a bug")

    monkeypatch.setattr(Clipboard, "_relay", die)
    Clipboard().clipboard_add("ada", "y")
    await_entries(actor, ["x", "y"])
    Clipboard().clipboard_add("ada", "z")

    await_entries(actor, ["x", "y", "z"])


def test_a_command_that_never_gets_through_is_a_conflict(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClipboardStore, "_save", lambda *_: None)
    monkeypatch.setattr("wsflask.services.clipboard_store._PAUSE", 0)

    with pytest.raises(Refusal) as refusal:
        Clipboard().clipboard_flush("ada")

    assert refusal.value.code == "conflict"


def test_two_first_commands_at_once_both_count(database: Database) -> None:
    stores = [ClipboardStore(), ClipboardStore()]
    limits = Limits(entries=10, bytes=10_000)

    def first(number: int) -> None:
        def make(state: Raw) -> Edit:
            gevent.sleep(0.01)
            return add(state, [data_entry(number, utc_now())], limits)

        stores[number].command("ada", None, make)

    gevent.joinall([gevent.spawn(first, number) for number in range(2)], raise_error=True)

    assert sorted(entry["label"] for entry in stores[0].load("ada")["entries"]) == ["0", "1"]


def test_on_a_standalone_server_tabs_follow_each_other_too(database: Database) -> None:
    with make_stage(feed="signals") as stage:
        plane = Plane(name="UA 1", airline="UA").save()
        tabs = [stage.connect("ada"), stage.connect("ada")]
        for tab in tabs:
            tab.wait(CHANNEL, 1)

        ask(tabs[0], "load", {"model": "Plane", "ids": [str(plane.id)]})
        await_entries(tabs[1], ["UA 1"])
        plane.delete()

        for tab in tabs:
            wait_until(lambda tab=tab: [entry["missing"] for entry in last(tab)] == [True])  # type: ignore[misc]


def test_many_deletions_are_looked_up_together(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setattr(clipboard_module, "_BATCH", 5)
    planes = [Plane(name=str(number), airline="UA").save() for number in range(12)]
    actor = stage.connect("ada")
    ask(actor, "load", {"model": "Plane", "ids": [str(plane.id) for plane in planes]})

    database["clip_planes"].delete_many({})

    wait_until(lambda: all(entry["missing"] for entry in last(actor)))
    assert len(last(actor)) == 12
