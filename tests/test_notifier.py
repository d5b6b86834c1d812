"""The notifier: what every tab is told, and what it costs."""

from __future__ import annotations

import datetime
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import pytest
from bson import ObjectId
from mongoengine import ValidationError
from pymongo.errors import PyMongoError

from tests.harness import Commands, Database, wait_until
from tests.harness.stage import Actor, Stage
from wsflask.documents import Notification, NotificationState, mark_read, unread_count
from wsflask.documents.reading import read_states, unread_among
from wsflask.feed import Gap
from wsflask.feed.base import Change
from wsflask.protocol.messages import Message
from wsflask.services import letters, mailroom
from wsflask.services import notifier as notifier_module
from wsflask.services.notifier import Notifier

CHANNEL = "notifications"
NOTHING = {"unread": 0, "category": "success"}


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    with Stage(Notifier, messages_per_second=10_000, message_burst=10_000) as stage:
        yield stage


def tell(message: str = "Hello", **fields: Any) -> Notification:
    return Notifier.notify(Notification(message=message, **(fields or {"everyone": True})))


def ask(actor: Actor, action: str, data: Any = None) -> Any:
    return actor.ask(CHANNEL, {"action": action, "data": data})["payload"]


def arrivals(actor: Actor) -> list[str]:
    return [payload["last"]["label"] for payload in actor.on(CHANNEL) if "last" in payload]


def last_unread(actor: Actor) -> int:
    return int([payload["unread"] for payload in actor.on(CHANNEL) if "unread" in payload][-1])


def await_unread(actor: Actor, count: int) -> None:
    wait_until(lambda: actor.on(CHANNEL) and last_unread(actor) == count, what=f"{count} unread")


def await_arrival(actor: Actor, label: str) -> None:
    wait_until(lambda: label in arrivals(actor), what=label)


def pending(stage: Stage) -> list[Any]:
    """Return the changes that wait until the first box is loaded."""
    service = stage.server.services[0]
    assert isinstance(service, Notifier)
    return service._mailroom.inboxes.all()[0].pending or []


def test_the_messages_are_those_of_the_older_system(stage: Stage) -> None:
    moment = datetime.datetime(2016, 12, 21, 14, 50, 42, tzinfo=datetime.UTC)
    for _ in range(2):
        tell()
    actor = stage.connect("ada", form="plain")
    actor.wait(CHANNEL, 1)

    identity = ObjectId()
    Notifier.notify(Notification(id=identity, message="Hello, World!", everyone=True, created_dt=moment))
    actor.wait(CHANNEL, 2)

    assert actor.texts == [
        '{"channel":"notifications","payload":{"unread":2,"category":"success"}}',
        (
            '{"channel":"notifications","payload":{"category":"success","last":{"category":"success","data":'
            f'{{"_cls":"Notification","_id":"{identity}","actions":[],"category":10,'
            '"changed_dt":"2016-12-21T14:50:42","created_dt":"2016-12-21T14:50:42","message":"Hello, World!"},'
            f'"id":"{identity}","is_read":false,"label":"Hello, World!","metainfo":'
            '{"changedDatetime":"2016-12-21T14:50:42","changedUser":null,'
            '"createdDatetime":"2016-12-21T14:50:42","createdUser":null}},"unread":3}}'
        ),
    ]


def test_nobody_has_anything_unread_at_first(stage: Stage) -> None:
    assert stage.connect("ada").wait(CHANNEL, 1) == [NOTHING]


def test_a_notification_reaches_those_it_is_for(stage: Stage) -> None:
    actors = {
        "ada": stage.connect("ada", groups=["desk"]),
        "bob": stage.connect("bob", groups=["crew", "desk"]),
        "eve": stage.connect("eve"),
    }
    for actor in actors.values():
        actor.wait(CHANNEL, 1)

    tell("to eve", users=["eve", "nobody"])
    tell("to the desk", groups=["desk", "crew"], users=["ada"])
    tell("to all", everyone=True)
    for actor in actors.values():
        await_arrival(actor, "to all")

    assert arrivals(actors["ada"]) == ["to the desk", "to all"]
    assert arrivals(actors["bob"]) == ["to the desk", "to all"]
    assert arrivals(actors["eve"]) == ["to eve", "to all"]
    assert [payload["unread"] for payload in actors["eve"].on(CHANNEL)] == [0, 1, 2]


def test_every_tab_sees_each_arrival_once_and_in_order(stage: Stage) -> None:
    tabs = [stage.connect("ada") for _ in range(3)]
    for tab in tabs:
        tab.wait(CHANNEL, 1)

    for number in range(30):
        tell(str(number))
    for tab in tabs:
        tab.wait(CHANNEL, 31)

    assert [arrivals(tab) for tab in tabs] == [[str(number) for number in range(30)]] * 3
    assert [payload["unread"] for payload in tabs[0].on(CHANNEL)] == list(range(31))


def test_the_category_is_the_label_of_the_newest_unread(stage: Stage) -> None:
    first = tell("a warning", everyone=True, category=30)
    second = tell("an error", everyone=True, category=40)
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    ask(actor, "mark_read", {"id": str(second.id)})
    ask(actor, "mark_read", {"id": str(first.id)})

    counts = [payload for payload in actor.on(CHANNEL) if "category" in payload]
    assert counts[0] == {"unread": 2, "category": "error"}
    assert {"unread": 1, "category": "warning"} in counts
    assert counts[-1] == NOTHING


def test_labels_are_configurable(database: Database) -> None:
    with Stage(Notifier, notification_labels={10: "fine", 99: "fire"}) as stage:
        tell("burning", everyone=True, category=99)
        tell("what?", everyone=True, category=5)
        actor = stage.connect("ada")

        assert actor.wait(CHANNEL, 1) == [{"unread": 2, "category": "5"}]
        assert [item["category"] for item in ask(actor, "list")["notifications"]] == ["5", "fire"]


def test_a_subclass_of_notification_arrives_under_its_own_class_name(stage: Stage) -> None:
    class Alarm(Notification):
        pass

    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    Notifier.notify(Alarm(message="fire", everyone=True, actions=[{"label": "Go", "path": "/x"}]))
    data = actor.wait(CHANNEL, 2)[1]["last"]["data"]

    assert data["_cls"] == "Notification.Alarm"
    assert data["actions"] == [{"label": "Go", "path": "/x"}]


def test_marking_one_as_read_is_seen_by_the_other_tabs(stage: Stage) -> None:
    kept, read = tell("kept"), tell("read")
    tabs = [stage.connect("ada"), stage.connect("ada", form="plain"), stage.connect("bob")]
    for tab in tabs:
        tab.wait(CHANNEL, 1)

    answer = ask(tabs[0], "mark_read", {"id": str(read.id)})

    assert answer == {"unread": 1}
    assert tabs[1].wait(CHANNEL, 2)[1] == {"unread": 1, "category": "success"}
    assert last_unread(tabs[2]) == 2
    assert [item["id"] for item in ask(tabs[0], "list", {"unread_only": True})["notifications"]] == [str(kept.id)]


def test_marking_twice_changes_nothing(stage: Stage) -> None:
    notification = tell()
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    answers = [ask(actor, "mark_read", {"id": str(notification.id)}) for _ in range(2)]

    assert answers == [{"unread": 0}] * 2


def test_marking_all_is_seen_by_the_other_tabs_and_other_workers(database: Database) -> None:
    with Stage(Notifier) as here, Stage(Notifier) as there:
        for _ in range(3):
            tell()
        tabs = [here.connect("ada"), here.connect("ada"), there.connect("ada")]
        for tab in tabs:
            tab.wait(CHANNEL, 1)

        answer = ask(tabs[0], "mark_all_read")
        for tab in tabs:
            await_unread(tab, 0)

        assert answer == {"unread": 0}
        tell("after")
        for tab in tabs:
            await_arrival(tab, "after")
            assert last_unread(tab) == 1


def test_what_is_not_for_a_user_and_what_does_not_exist_get_the_same_answer(stage: Stage) -> None:
    secret = tell("for bob", users=["bob"])
    actor = stage.connect("ada", groups=["desk"])
    actor.wait(CHANNEL, 1)

    answers = [ask(actor, "mark_read", {"id": str(identity)}) for identity in (secret.id, ObjectId())]

    assert answers[0] == answers[1] == {"code": "not_found", "message": "There is no such thing, or not for you."}
    assert ask(actor, "list") == {"notifications": [], "next": None, "unread": 0}
    assert NotificationState.objects.count() == 0


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (None, "bad_data"),
        ([], "bad_data"),
        ({}, "bad_action"),
        ({"action": "run"}, "bad_action"),
        ({"action": ["list"]}, "bad_action"),
        ({"action": "mark_read"}, "bad_data"),
        ({"action": "mark_read", "data": {"id": 5}}, "bad_data"),
        ({"action": "mark_read", "data": {"id": {"$gt": ""}}}, "bad_data"),
        ({"action": "mark_read", "data": {"id": "z" * 24}}, "bad_data"),
        ({"action": "list", "data": []}, "bad_data"),
        ({"action": "list", "data": {"limit": 0}}, "bad_data"),
        ({"action": "list", "data": {"limit": 101}}, "bad_data"),
        ({"action": "list", "data": {"limit": True}}, "bad_data"),
        ({"action": "list", "data": {"limit": "5"}}, "bad_data"),
        ({"action": "list", "data": {"unread_only": 1}}, "bad_data"),
        ({"action": "list", "data": {"before": {"$ne": None}}}, "bad_data"),
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused(stage: Stage, payload: Any, code: str) -> None:
    assert stage.connect("ada").ask(CHANNEL, payload)["payload"]["code"] == code


def test_the_list_comes_in_pages_newest_first(stage: Stage) -> None:
    labels = [tell(str(number)).message for number in range(7)]
    tell("not for ada", users=["bob"])
    actor = stage.connect("ada")

    pages, before = [], None
    while True:
        page = ask(actor, "list", {"before": before, "limit": 3})
        pages.append([item["label"] for item in page["notifications"]])
        before = page["next"]
        if before is None:
            break

    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert [label for page in pages for label in page] == labels[::-1]
    assert page["unread"] == 7


def test_the_list_says_what_this_user_has_read(stage: Stage) -> None:
    notifications = [tell(str(number)) for number in range(3)]
    ada, bob = stage.connect("ada"), stage.connect("bob")
    ask(ada, "mark_read", {"id": str(notifications[1].id)})

    lists = [ask(actor, "list") for actor in (ada, bob)]
    unread = ask(ada, "list", {"unread_only": True, "before": str(notifications[2].id)})

    assert [[item["is_read"] for item in each["notifications"]] for each in lists] == [
        [False, True, False],
        [False] * 3,
    ]
    assert [item["label"] for item in unread["notifications"]] == ["0"]


def test_a_deleted_notification_no_longer_counts(stage: Stage, database: Database) -> None:
    notifications = [tell(str(number)) for number in range(3)]
    actor, other = stage.connect("ada"), stage.connect("bob")
    for each in (actor, other):
        each.wait(CHANNEL, 1)
    ask(other, "mark_read", {"id": str(notifications[0].id)})
    sent = len(other.on(CHANNEL))

    database["wsflask_notifications"].delete_one({"_id": notifications[0].id})
    await_unread(actor, 2)
    tell("after")
    await_arrival(other, "after")

    assert len(other.on(CHANNEL)) == sent + 1


def test_a_changed_notification_counts_for_its_new_recipients(stage: Stage, database: Database) -> None:
    notification = tell("Hello", users=["ada"])
    ada, bob = stage.connect("ada"), stage.connect("bob")
    for each in (ada, bob):
        each.wait(CHANNEL, 1)

    database["wsflask_notifications"].update_one({"_id": notification.id}, {"$set": {"users": ["bob"], "category": 40}})

    assert bob.wait(CHANNEL, 2)[1] == {"unread": 1, "category": "error"}
    assert ada.wait(CHANNEL, 2)[1] == NOTHING


def test_a_notification_that_was_read_already_says_so_and_is_no_arrival_in_the_plain_form(stage: Stage) -> None:
    notification = Notification(id=ObjectId(), message="Hello", everyone=True)
    NotificationState(user="ada", read=[notification.id], rev=1).save()
    ada, plain, bob = stage.connect("ada"), stage.connect("ada", form="plain"), stage.connect("bob")
    for each in (ada, plain, bob):
        each.wait(CHANNEL, 1)

    Notifier.notify(notification)
    tell("after")
    for each in (ada, plain, bob):
        await_arrival(each, "after")

    assert [arrivals(each) for each in (ada, plain, bob)] == [["Hello", "after"], ["after"], ["Hello", "after"]]
    assert [ada.on(CHANNEL)[1]["last"]["is_read"], bob.on(CHANNEL)[1]["last"]["is_read"]] == [True, False]
    assert [last_unread(each) for each in (ada, plain, bob)] == [1, 1, 2]


def test_a_read_state_reset_during_a_load_is_loaded_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    notification = tell()
    NotificationState(user="ada", read=[notification.id], rev=1).save()
    real = unread_among

    def slow(users: Any, states: Any) -> Any:
        monkeypatch.undo()
        database["wsflask_notification_states"].delete_one({"_id": "ada"})
        wait_until(lambda: [change for change in pending(stage) if change.op == "D"])
        return real(users, states)

    monkeypatch.setattr(mailroom, "unread_among", slow)

    await_unread(stage.connect("ada"), 1)


def test_a_read_state_that_was_reset_is_loaded_anew(stage: Stage, database: Database) -> None:
    notifications = [tell(str(number)) for number in range(3)]
    actor = stage.connect("ada")
    ask(actor, "mark_all_read")

    database["wsflask_notification_states"].update_one(
        {"_id": "ada"}, {"$set": {"read": [notifications[0].id]}, "$inc": {"rev": 1}}
    )
    await_unread(actor, 2)
    database["wsflask_notification_states"].delete_one({"_id": "ada"})

    await_unread(actor, 3)


def test_dropping_the_collection_leaves_nothing_unread(stage: Stage, database: Database) -> None:
    tell()
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    database["wsflask_notifications"].drop()

    await_unread(actor, 0)


def test_after_the_last_tab_nothing_is_kept(stage: Stage) -> None:
    service = stage.server.services[0]
    assert isinstance(service, Notifier)
    tabs = [stage.connect("ada", groups=["desk"]) for _ in range(3)]
    for tab in tabs:
        tab.wait(CHANNEL, 1)
    assert len(service._mailroom.inboxes) == 1

    for tab in tabs:
        tab.leave()

    assert wait_until(lambda: len(service._mailroom.inboxes) == 0)


def test_a_fan_out_asks_the_database_nothing(commands: Commands) -> None:
    with Stage(Notifier) as stage:
        actors = [stage.connect(f"user{number}", groups=["desk"]) for number in range(60)]
        for actor in actors:
            actor.wait(CHANNEL, 1)
        tell("before")  # relayed: what the services query when they start is behind them
        for actor in actors:
            actor.wait(CHANNEL, 2)
        commands.clear()

        for _ in range(3):
            tell("to all")
            tell("to the desk", groups=["desk"])
        for actor in actors:
            actor.wait(CHANNEL, 8)

        assert commands.names == ["insert"] * 6
        assert {last_unread(actor) for actor in actors} == {7}


def test_a_connect_costs_two_queries_and_a_second_tab_none(commands: Commands) -> None:
    with Stage(Notifier) as stage:
        tell("before")
        stage.connect("bob").wait(CHANNEL, 1)
        commands.clear()

        stage.connect("ada").wait(CHANNEL, 1)
        first = commands.names
        stage.connect("ada").wait(CHANNEL, 1)

        assert first == ["find", "find"]
        assert commands.names == first


def test_many_who_come_at_once_are_loaded_together(commands: Commands) -> None:
    with Stage(Notifier) as stage:
        tell("to all")
        stage.connect("first").wait(CHANNEL, 1)
        commands.clear()

        actors = [stage.connect(f"user{number}", groups=[f"group{number}"]) for number in range(200)]
        for actor in actors:
            actor.wait(CHANNEL, 1)

        assert {last_unread(actor) for actor in actors} == {1}
        assert len(commands.names) <= 10


def test_after_a_gap_all_users_are_loaded_by_three_queries(commands: Commands) -> None:
    with Stage(Notifier) as stage:
        actors = [stage.connect(f"user{number}") for number in range(40)]
        for actor in actors:
            actor.wait(CHANNEL, 1)
        tell()
        for actor in actors:
            actor.wait(CHANNEL, 2)
        commands.clear()

        Notification._get_collection().drop()
        for actor in actors:
            await_unread(actor, 0)

        assert sorted(commands.names) == ["drop", "find", "find", "find"]


def test_what_was_missed_in_a_gap_arrives_after_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tabs = [stage.connect("ada"), stage.connect("bob")]
    for tab in tabs:
        tab.wait(CHANNEL, 1)
    feed = stage.server.feed
    dropped: list[Any] = []
    monkeypatch.setattr(feed, "_dispatch", lambda told, *_: dropped.extend(told))
    missed = [tell(str(number)) for number in range(3)]
    tell("ada's", users=["ada"])
    wait_until(lambda: len(dropped) == 4)
    monkeypatch.undo()

    feed._dispatch_gap(Gap(feed.position, "a test"))
    for tab in tabs:
        await_unread(tab, 4 if tab is tabs[0] else 3)
        await_arrival(tab, missed[-1].message)
    tell("after")
    for tab in tabs:
        await_arrival(tab, "after")

    assert [arrivals(tab) for tab in tabs] == [["0", "1", "2", "ada's", "after"], ["0", "1", "2", "after"]]


def test_users_with_the_same_count_share_one_frame(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(Message):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            super().__init__(*args, **kwargs)

    tell("only ada's", users=["user0"])
    actors = [stage.connect(f"user{number}") for number in range(20)]
    for actor in actors:
        actor.wait(CHANNEL, 1)
    monkeypatch.setattr(letters, "Message", Counted)

    tell("to all")
    for actor in actors:
        actor.wait(CHANNEL, 2)

    assert len(made) == 2, [(each.payload_json[-40:], b"only" in each.payload_json, each.seq) for each in made]


@pytest.fixture
def paused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Have something done when a notification has reached two boxes of six, user0's and user1's."""
    actors = [stage.connect(f"user{number}") for number in range(6)]
    for actor in actors:
        actor.wait(CHANNEL, 1)
    monkeypatch.setattr(mailroom, "_TURN", 2)

    def during(work: Callable[[], None]) -> None:
        done: list[bool] = []

        def sleep(seconds: float) -> None:
            if not done:
                done.append(True)
                work()
            time.sleep(seconds)

        monkeypatch.setattr(mailroom, "time", SimpleNamespace(sleep=sleep))
        tell("to all")
        for actor in actors:
            await_arrival(actor, "to all")
        assert done

    yield during

    assert [arrivals(actor).count("to all") for actor in actors] == [1] * 6


def test_who_comes_while_a_notification_is_on_its_way_sees_it_once(
    stage: Stage, paused: Callable[[Callable[[], None]], None]
) -> None:
    came: list[Actor] = []

    def come() -> None:
        for name in ("new", "new", "user0", "user5"):
            came.append(stage.connect(name))
            came[-1].wait(CHANNEL, 1)

    paused(come)
    tell("later")
    for actor in came:
        await_arrival(actor, "later")

    assert [[payload["unread"] for payload in actor.on(CHANNEL)] for actor in came] == [[1, 2]] * 4
    assert [arrivals(actor) for actor in came] == [["later"]] * 4


def test_what_is_on_its_way_is_not_overtaken(stage: Stage, paused: Callable[[Callable[[], None]], None]) -> None:
    tabs = [stage.connect(name) for name in ("user1", "user5")]
    for tab in tabs:
        tab.wait(CHANNEL, 1)

    def read() -> None:
        for tab in tabs:
            assert ask(tab, "mark_all_read") == {"unread": 0}

    paused(read)

    for tab in tabs:
        assert [payload["unread"] for payload in tab.on(CHANNEL)] == [0, 1, 0, 0]


def test_a_box_that_is_loaded_anew_meanwhile_is_told_once(
    stage: Stage, database: Database, paused: Callable[[Callable[[], None]], None]
) -> None:
    old = tell("old", users=["user5"])
    tab = stage.connect("user5")
    tab.wait(CHANNEL, 1)
    mark_read("user5", (), old.id)
    await_unread(tab, 0)
    service = stage.server.services[0]
    assert isinstance(service, Notifier)

    def reset() -> None:
        state = {"_id": "user5", "rev": 9, "read": []}
        database["wsflask_notification_states"].replace_one({"_id": "user5"}, state)
        service._mailroom.take(Change("", "U", "wsflask_notification_states", "user5", state))

    paused(reset)
    await_unread(tab, 2)

    assert arrivals(tab).count("to all") == 1


def test_a_box_whose_reload_began_before_is_told_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, paused: Callable[[Callable[[], None]], None]
) -> None:
    tab = stage.connect("user5")
    ask(tab, "mark_all_read")
    service = stage.server.services[0]
    assert isinstance(service, Notifier)
    may_load = gevent.event.Event()
    real = read_states

    def slow(user_ids: set[str]) -> Any:
        may_load.wait()
        return real(user_ids)

    monkeypatch.setattr(mailroom, "read_states", slow)
    deleted = Change("", "D", "wsflask_notification_states", "user5", None)
    loading = gevent.spawn(service._mailroom.take, deleted)
    gevent.sleep(0)

    def load() -> None:
        may_load.set()
        loading.get()

    paused(load)
    tell("later")
    await_arrival(tab, "later")

    assert [payload["unread"] for payload in tab.on(CHANNEL) if "last" in payload] == [1, 2]


def test_a_service_that_is_stopped_meanwhile_leaves_nobody_out(
    paused: Callable[[Callable[[], None]], None],
) -> None:
    def stop() -> None:
        raise gevent.GreenletExit

    paused(stop)


def test_joining_while_notifications_pour_in_loses_none(stage: Stage) -> None:
    stop = threading.Event()

    def pour() -> None:
        while not stop.is_set():
            tell()

    writers = [threading.Thread(target=pour) for _ in range(2)]
    for writer in writers:
        writer.start()
    actors = [stage.connect(f"user{number % 10}") for number in range(60)]
    for actor in actors:
        actor.wait(CHANNEL, 3)
    stop.set()
    for writer in writers:
        writer.join()
    total = Notification.objects.count()

    for actor in actors:
        await_unread(actor, total)
        counts = [payload["unread"] for payload in actor.on(CHANNEL)]
        assert counts == list(range(counts[0], total + 1))


@pytest.mark.parametrize("seed", range(3))
def test_at_rest_every_tab_shows_the_count_in_the_database(database: Database, seed: int) -> None:
    """Random notifications, deletions and marks from two workers and from past them."""
    rng = random.Random(seed)
    people: dict[str, tuple[str, ...]] = {"ada": ("desk",), "bob": ("desk", "crew"), "eve": ()}
    settings = {"messages_per_second": 10_000, "message_burst": 10_000}
    with Stage(Notifier, **settings) as here, Stage(Notifier, **settings) as there:
        tabs = [
            (name, groups, worker.connect(name, groups=groups))
            for name, groups in people.items()
            for worker in (here, there, there)
        ]

        def act(count: int) -> None:
            for _ in range(count):
                name, groups, tab = rng.choice(tabs)
                kind = rng.choice(["tell"] * 4 + ["read"] * 3 + ["all", "delete", "late", "past"])
                known = [item["_id"] for item in Notification._get_collection().find({}, {"_id": 1})]
                if kind == "tell":
                    to: dict[str, Any] = rng.choice([{"everyone": True}, {"users": [name]}, {"groups": ["desk"]}])
                    tell(**to)
                elif kind == "late":
                    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=rng.choice([5, 40, 500]))
                    made = ObjectId(ObjectId.from_datetime(old).binary[:4] + ObjectId().binary[4:])
                    Notifier.notify(Notification(id=made, message="late", everyone=True))
                elif kind == "delete" and known:
                    Notification._get_collection().delete_one({"_id": rng.choice(known)})
                elif kind == "past" and known:
                    mark_read(name, groups, rng.choice(known))
                elif kind == "read" and known:
                    ask(tab, "mark_read", {"id": str(rng.choice(known))})
                elif kind == "all":
                    ask(tab, "mark_all_read")

        gevent.joinall([gevent.spawn(act, 40) for _ in range(4)], raise_error=True)

        for name, groups, tab in tabs:
            wanted = unread_count(name, groups)
            await_unread(tab, wanted)


def test_a_failing_database_closes_the_newcomer_who_comes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="wsflask")

    def fail(user_ids: set[str]) -> None:
        gevent.sleep(0.05)
        raise PyMongoError("away")

    monkeypatch.setattr(mailroom, "read_states", fail)
    actors = [stage.connect("ada"), stage.connect("ada")]
    wait_until(lambda: not any(actor.connection.is_open for actor in actors))
    monkeypatch.undo()

    assert {actor.connection.close_code for actor in actors} == {1013}
    assert stage.connect("ada").wait(CHANNEL, 1) == [NOTHING]


def test_a_database_that_is_away_is_said_to_be_unavailable(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    def fail(*_: Any, **__: Any) -> None:
        raise PyMongoError("away")

    monkeypatch.setattr(notifier_module, "mark_all_read", fail)

    assert ask(actor, "mark_all_read")["code"] == "unavailable"


def test_a_service_that_dies_is_back_and_shows_the_truth(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="wsflask")
    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)

    def die(self: mailroom.Mailroom, change: Any) -> None:
        monkeypatch.undo()
        raise ValueError("a bug")

    monkeypatch.setattr(mailroom.Mailroom, "take", die)
    tell("lost")
    await_unread(actor, 1)
    tell("seen")
    await_arrival(actor, "seen")

    assert arrivals(actor) == ["lost", "seen"]
    assert last_unread(actor) == 2


def test_what_changes_during_a_load_counts_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """Changes of every kind lie between the query and the greeting."""
    kept, deleted = tell("kept"), tell("deleted")
    NotificationState(user="ada", read=[kept.id], rev=1).save()
    real = read_states

    def slow(user_ids: set[str]) -> Any:
        monkeypatch.undo()
        state = real(user_ids)
        before = len(pending(stage))
        database["wsflask_notifications"].delete_one({"_id": deleted.id})
        mark_read("ada", (), tell("read").id)
        gone = tell("gone")
        database["wsflask_notifications"].delete_one({"_id": gone.id})
        tell("arrived")
        wait_until(lambda: len(pending(stage)) >= before + 6)
        return state

    monkeypatch.setattr(mailroom, "read_states", slow)
    actor = stage.connect("ada")
    await_unread(actor, 1)
    database["wsflask_notification_states"].delete_one({"_id": "ada"})
    await_unread(actor, 3)

    assert len(ask(actor, "list", {"unread_only": True})["notifications"]) == 3


def test_more_changes_during_a_load_than_are_kept_make_it_load_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailroom, "_PENDING", 3)
    real, calls = read_states, list[str]()

    def slow(user_ids: set[str]) -> Any:
        calls.extend(user_ids)
        state = real(user_ids)
        if len(calls) == 1:
            for _ in range(8):
                tell()
            wait_until(lambda: len(pending(stage)) == 4)
        return state

    monkeypatch.setattr(mailroom, "read_states", slow)
    actor = stage.connect("ada")

    await_unread(actor, 8)
    assert calls == ["ada", "ada"]


def test_notify_takes_notifications_only(database: Database) -> None:
    with pytest.raises(TypeError, match="str"):
        Notifier.notify("Hello")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Notifier.notify(Notification(message="to nobody"))


def test_notify_needs_no_server_and_waits_for_a_majority(commands: Commands) -> None:
    concerns = []
    commands.started = lambda event: concerns.append(event.command.get("writeConcern"))  # type: ignore[method-assign]

    notification = tell()

    assert notification.id is not None
    assert {"w": "majority"} in concerns


def test_old_notifications_expire_if_that_is_wanted(database: Database) -> None:
    for days in (7, 7, 30):
        Notification.keep_for(days)

    index = Notification._get_collection().index_information()["wsflask_retention"]
    assert index["expireAfterSeconds"] == 30 * 86400


def test_the_setting_for_old_notifications_reaches_the_database(database: Database) -> None:
    with Stage(Notifier, notification_days=2.0) as stage:
        stage.connect("ada").wait(CHANNEL, 1)

        wait_until(lambda: "wsflask_retention" in Notification._get_collection().index_information())


def test_on_a_standalone_server_tabs_follow_each_other_too(database: Database) -> None:
    with Stage(Notifier, feed="signals") as stage:
        tabs = [stage.connect("ada"), stage.connect("ada")]
        for tab in tabs:
            tab.wait(CHANNEL, 1)

        notification = tell()
        for tab in tabs:
            tab.wait(CHANNEL, 2)
        ask(tabs[0], "mark_read", {"id": str(notification.id)})

        await_unread(tabs[1], 0)
        notification.delete()
        assert json.loads(tabs[1].texts[-1])["payload"] == NOTHING


def test_on_a_standalone_server_who_connects_sees_what_other_processes_have_written(database: Database) -> None:
    old = ObjectId.from_datetime(datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1))
    with Stage(Notifier, feed="signals") as stage:
        earlier = stage.connect("ada")
        earlier.wait(CHANNEL, 1)

        database["wsflask_notifications"].insert_one({"_id": old, "message": "Hello", "everyone": True})

        assert stage.connect("bob").wait(CHANNEL, 1) == [{"unread": 1, "category": "success"}]
        await_arrival(earlier, "Hello")


def test_nobody_is_let_in_with_a_wrong_count_while_the_notifications_cannot_be_loaded(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    def fail(*_: Any, **__: Any) -> None:
        raise PyMongoError("away")

    monkeypatch.setattr(mailroom, "to_everyone", fail)
    tell()
    with Stage(Notifier, database_timeout=0.1) as stage:
        actor = stage.connect("ada")
        wait_until(lambda: actor.connection.close_code == 1013)
        assert actor.on(CHANNEL) == []

        monkeypatch.undo()
        service = stage.server.services[0]
        assert isinstance(service, Notifier)
        wait_until(service._mailroom._is_kept.is_set)
        assert stage.connect("ada").wait(CHANNEL, 1) == [{"unread": 1, "category": "success"}]


def test_many_notifications_to_everyone_are_loaded_in_pages(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailroom, "_PAGE", 4)
    for _ in range(10):
        tell()
    tell("to ada", users=["ada"])
    commands.clear()

    with Stage(Notifier) as stage:
        assert stage.connect("ada").wait(CHANNEL, 1)[0]["unread"] == 11

    assert commands.on("wsflask_notifications") == ["find"] * 4


def test_a_retention_that_cannot_be_set_stops_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(days: float) -> None:
        raise PyMongoError("no")

    monkeypatch.setattr(Notification, "keep_for", fail)
    with Stage(Notifier, notification_days=2.0) as stage:
        actor = stage.connect("ada")
        actor.wait(CHANNEL, 1)
        tell()
        await_unread(actor, 1)

    assert "was not told to delete notifications after 2.0 days" in caplog.text
