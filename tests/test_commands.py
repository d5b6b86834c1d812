"""Commands with an id take effect once, however often they come, and whatever dies in between."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import mongoengine
import pymongo
import pytest
from mongoengine import Document, StringField
from pymongo import ReadPreference
from pymongo.errors import PyMongoError

from tests import harness
from tests.apps.echo import URI
from tests.apps.shop import KILL, Order, Shop, Stock
from tests.harness import Database, wait_until
from tests.harness.stage import Actor, Stage
from wsflask.config import Settings
from wsflask.deadline import TimeIsUp
from wsflask.documents import (
    AppliedCommand,
    KeptPublication,
    Notification,
    NotificationState,
    mark_all_read,
    mark_read,
    transactions,
    unread_count,
)
from wsflask.embedded import EmbeddedMongo, find_mongod, free_port, start_child, stop_child
from wsflask.errors import ConfigError, Refusal
from wsflask.ledger import Ledger
from wsflask.service import Service
from wsflask.services.clipboard import Clipboard
from wsflask.services.notifier import Notifier


class Till(Service):
    """Does what the test says."""

    channel = "till"

    def __init__(self, apply: Callable[[], Any]) -> None:
        super().__init__()
        self.apply = apply

    def on_message(self, ws: Any, user: Any, message: Any) -> Any:
        return self.once(ws, message, self.apply)


class Orders(Service):
    """Tells of orders."""

    channel = "orders"


def ask(actor: Actor, command: Any = "c1", channel: str = "till", **more: Any) -> Any:
    given = {} if command is None else {"cmd_id": command}
    return actor.ask(channel, {**given, **more})["payload"]


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.CRITICAL, logger="wsflask")
    return caplog


# --- services of one's own


def test_a_clipboard_that_is_to_change_within_a_command_is_told_why_it_cannot(database: Database) -> None:
    clipboard = Clipboard()
    with pytest.raises(ConfigError, match="transaction"):
        Ledger(Settings()).once("till", "ada", "c1", lambda: clipboard.clipboard_add("ada", 1))

    assert clipboard.clipboard_add("ada", 1)[0]["data"] == 1


def test_a_repeated_command_is_answered_and_not_applied_again(database: Database) -> None:
    with Stage(Shop) as here, Stage(Shop) as there:
        first = ask(here.connect("ada"), channel="shop", item="tea")
        again = [ask(stage.connect("ada"), channel="shop", item="tea") for stage in (here, there)]

        assert first == {"ordered": str(Order.objects.get().id)}
        assert again == [first] * 2
        assert Stock.objects.get(item="tea").left == -1


def test_an_id_means_something_for_its_user_and_channel_only(database: Database) -> None:
    class Other(Shop):
        channel = "other"

    with Stage(Shop, Other) as stage:
        ada, bob = stage.connect("ada"), stage.connect("bob")
        for actor, channel, command in (
            (ada, "shop", "c1"),
            (ada, "other", "c1"),
            (bob, "shop", "c1"),
            (ada, "shop", "c2"),
            (ada, "shop", None),
            (ada, "shop", None),
        ):
            assert "ordered" in ask(actor, command, channel, item="tea")

    assert Order.objects.count() == 6
    assert AppliedCommand.objects.count() == 4


@pytest.mark.parametrize("command", ["", "x" * 65, "ü" * 33, 7, ["c1"], {"$gt": ""}], ids=str)
def test_an_id_that_is_none_is_refused(database: Database, command: Any) -> None:
    with Stage(Shop, Notifier) as stage:
        actor = stage.connect("ada")

        assert ask(actor, command, "shop", item="tea")["code"] == "bad_data"
        assert ask(actor, command, "notifications", action="mark_all_read")["code"] == "bad_data"
        assert actor.ask("shop", "tea")["payload"]["code"] == "bad_data"
        assert Order.objects.count() == NotificationState.objects.count() == 0


def test_what_was_refused_is_undone_and_may_be_tried_again(database: Database) -> None:
    reasons = [Refusal("conflict"), Refusal("forbidden")]

    def apply() -> str:
        Order(item="tea").save()
        if reasons:
            raise reasons.pop(0)
        return "done"

    with Stage(Till(apply)) as stage:
        actor = stage.connect("ada")
        answers = [ask(actor) for _ in range(3)]

    assert [answer["code"] for answer in answers[:2]] == ["conflict", "forbidden"]
    assert answers[2] == "done"
    assert Order.objects.count() == 1


def test_what_fails_is_undone(database: Database, quiet: Any) -> None:
    def apply() -> None:
        Order(item="tea").save()
        raise ValueError("a bug")

    with Stage(Till(apply)) as stage:
        assert ask(stage.connect("ada"))["code"] == "internal"

    assert Order.objects.count() == AppliedCommand.objects.count() == 0


def test_an_answer_that_is_too_large_to_keep_is_a_mistake_of_the_service(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with Stage(Till(lambda: [Order(item="tea").save().item] * 30), command_answer_bytes=100) as stage:
        assert ask(stage.connect("ada"))["code"] == "internal"

    assert "a command's answer has 181 bytes, WSFLASK_COMMAND_ANSWER_BYTES is 100" in caplog.text
    assert Order.objects.count() == 0


def test_a_repeat_waits_for_the_first(database: Database) -> None:
    go_on, calls = gevent.event.Event(), []

    def apply() -> str:
        calls.append(1)
        go_on.wait()
        return f"answer {len(calls)}"

    with Stage(Till(apply)) as stage:
        asking = [gevent.spawn(ask, stage.connect("ada")) for _ in range(3)]
        wait_until(lambda: calls)
        gevent.sleep(0.05)
        go_on.set()

        assert [each.get() for each in asking] == ["answer 1"] * 3
        assert calls == [1]


def test_a_repeat_does_not_wait_for_ever(database: Database) -> None:
    go_on = gevent.event.Event()
    with Stage(Till(go_on.wait), database_timeout=0.3) as stage:
        first = gevent.spawn(ask, stage.connect("ada"))
        wait_until(lambda: stage.server.services[0]._ledger._under_way)
        started = time.monotonic()

        again = ask(stage.connect("ada"))
        waited = time.monotonic() - started
        go_on.set()

        assert again["code"] == "unavailable"
        assert waited < 5
        first.get()


def test_of_many_workers_that_get_the_command_at_once_one_applies_it(database: Database) -> None:
    stages = [Stage(Shop) for _ in range(4)]
    for stage in stages:
        stage.__enter__()
    try:
        tabs = [stage.connect("ada") for stage in stages for _ in range(2)]
        for number in range(10):
            asking = [gevent.spawn(ask, tab, f"c{number}", "shop", item="tea") for tab in tabs]
            assert len({each.get()["ordered"] for each in asking}) == 1
    finally:
        for stage in stages:
            stage.__exit__()

    assert Order.objects.count() == 10
    assert Stock.objects.get(item="tea").left == -10


def test_different_commands_that_write_the_same_document_all_take_effect(database: Database) -> None:
    """MongoDB lets one of two transactions win; MongoEngine wraps what it says to the other."""
    with Stage(Shop) as here, Stage(Shop) as there:
        tabs = [stage.connect(f"user{number}") for number in range(5) for stage in (here, there)]
        asking = [gevent.spawn(ask, tab, f"c{number}", "shop", item="tea") for number, tab in enumerate(tabs)]
        answers = [each.get() for each in asking]

    assert all("ordered" in answer for answer in answers), answers
    assert Stock.objects.get(item="tea").left == -10


def test_a_write_that_gets_no_answer_is_unavailable_and_may_be_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = transactions._transaction

    def lost(*args: Any) -> Any:
        monkeypatch.undo()
        real(*args)
        raise PyMongoError("the answer to the commit was lost")

    monkeypatch.setattr(transactions, "_transaction", lost)
    with Stage(Shop) as stage:
        actor = stage.connect("ada")

        assert ask(actor, channel="shop", item="tea")["code"] == "unavailable"
        assert ask(actor, channel="shop", item="tea") == {"ordered": str(Order.objects.get().id)}


def test_a_class_may_be_used_for_the_first_time_in_a_command(database: Database) -> None:
    class Parcel(Document):
        meta = {"collection": "shop_parcels", "indexes": [{"fields": ["label"], "unique": True}]}
        label = StringField()

    database["shop_parcels"].insert_one({"label": "before"})
    with Stage(Till(lambda: Parcel(label="new").save().label)) as stage:
        assert ask(stage.connect("ada")) == "new"

    assert "label_1" in database["shop_parcels"].index_information()
    assert database["shop_parcels"].count_documents({}) == 2


def test_a_class_whose_first_use_is_undone_keeps_its_indexes(database: Database) -> None:
    class Letter(Document):
        meta = {"collection": "shop_letters", "indexes": [{"fields": ["label"], "unique": True}]}
        label = StringField()

    def apply() -> None:
        Letter(label="new").save()
        raise Refusal("conflict")

    with Stage(Till(apply)) as stage:
        assert ask(stage.connect("ada"))["code"] == "conflict"

    assert "label_1" in database["shop_letters"].index_information()
    assert Letter.objects.count() == 0


def test_what_was_applied_is_forgotten_after_some_time(database: Database) -> None:
    with Stage(Shop, command_seconds=60) as stage:
        ask(stage.connect("ada"), channel="shop", item="tea")

    left = AppliedCommand.objects.get().expires_dt.timestamp() - time.time()
    assert 50 < left <= 60
    indexes = AppliedCommand._get_collection().index_information()
    assert indexes["expires_dt_1"]["expireAfterSeconds"] == 0


@contextmanager
def connected(uri: str) -> Iterator[Any]:
    """Connect MongoEngine's alias "default" in this way instead."""
    harness.disconnect()
    client = mongoengine.connect(host=uri, uuidRepresentation="standard", tz_aware=True)
    try:
        client.drop_database("test_options")
        yield client
    finally:
        harness.disconnect()


@pytest.mark.parametrize(
    "options",
    [
        "retryWrites=true&w=majority",
        "w=1",
        "w=majority&journal=true&wtimeoutMS=5000&readConcernLevel=majority&readPreference=secondaryPreferred",
    ],
)
def test_a_connection_may_name_a_write_concern_and_a_read_preference(mongo: EmbeddedMongo, options: str) -> None:
    reasons = [Refusal("conflict")]

    def apply() -> list[Any]:
        orders = Order._get_collection()
        saved = Order(user="ada", item="tea").save()
        saved.modify(user="bob")
        saved.update(user="cyd")
        Stock.objects(item="tea").update_one(inc__left=-1, upsert=True)
        ids = orders.insert_many([{"item": "one"}, {"item": "two"}]).inserted_ids
        orders.bulk_write([pymongo.UpdateOne({"_id": each}, {"$set": {"user": "dan"}}) for each in ids])
        orders.find_one_and_update({"item": "one"}, {"$set": {"item": "three"}})
        orders.delete_one({"item": "two"})
        Orders().publish("ordered", keep=60.0)
        tell()
        found = [
            Order.objects(item__in=("tea", "one", "three")).count(),
            Order.objects(user="cyd").get().item,
            *(each["item"] for each in orders.aggregate([{"$match": {"user": "dan"}}])),
            *sorted(orders.distinct("item")),
        ]
        if reasons:
            raise reasons.pop(0)
        return found

    with connected(f"{mongo.uri_of('test_options')}&{options}") as client, Stage(Till(apply)) as stage:
        actor = stage.connect("ada")
        refused, done, again = (ask(actor) for _ in range(3))

        assert refused["code"] == "conflict"
        assert done == again == [2, "tea", "three", "tea", "three"]
        counted = client["test_options"]
        assert counted["shop_orders"].count_documents({}) == 2
        assert counted["shop_stocks"].find_one() == {"_id": "tea", "left": -1}
        assert counted[Notification._get_collection_name()].count_documents({}) == 1
        assert counted[KeptPublication._get_collection_name()].count_documents({"channel": "orders"}) == 1


def test_outside_of_a_transaction_the_connection_s_options_hold(mongo: EmbeddedMongo) -> None:
    with connected(f"{mongo.uri_of('test_options')}&w=majority&readPreference=nearest") as client:
        orders = Order._get_collection()
        with client.start_session() as session, session.bind(end_session=False):
            assert orders._write_concern_for(None).document == {"w": "majority"}
            assert orders._read_preference_for(None) == ReadPreference.NEAREST
            with session.start_transaction(read_preference=ReadPreference.PRIMARY):
                assert orders._write_concern_for(None).document == {}
                assert orders._read_preference_for(None) == ReadPreference.PRIMARY


def test_a_connection_that_waits_for_no_write_is_refused(mongo: EmbeddedMongo) -> None:
    harness.disconnect()
    mongoengine.connect(host=f"{mongo.uri_of('test_options')}&w=0", uuidRepresentation="standard")
    try:
        with pytest.raises(ConfigError, match="leave w=0 out of its URI"):
            transactions.run_in_transaction(lambda: None)
    finally:
        harness.disconnect()


# --- without transactions


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[None]:
    """A standalone server on MongoEngine's alias "default"."""
    port = free_port()
    command = [find_mongod(os.environ.get("WSFLASK_MONGOD")), "--dbpath", str(tmp_path), "--port", str(port)]
    server = start_child([*command, "--bind_ip", "127.0.0.1", "--nounixsocket"], output=subprocess.DEVNULL)
    harness.disconnect()
    try:
        client = mongoengine.connect(host=f"mongodb://127.0.0.1:{port}/alone", uuidRepresentation="standard")
        client.admin.command("ping")  # it takes its time to start
        yield
    finally:
        harness.disconnect()
        stop_child(server, timeout=0)


@pytest.mark.usefixtures("standalone")
def test_without_transactions_a_command_takes_effect_at_most_once(quiet: Any) -> None:
    calls: list[str] = []

    def apply() -> str:
        calls.append("called")
        if len(calls) == 1:
            raise Refusal("conflict")
        if len(calls) == 3:
            raise PyMongoError("nobody knows")
        return f"answer {len(calls)}"

    with Stage(Till(apply), database_timeout=1.0) as stage:
        actor = stage.connect("ada")
        answers = [ask(actor, command) for command in ("c1", "c1", "c1", "c2", "c2", None, None)]

    assert [answer["code"] if isinstance(answer, dict) else answer for answer in answers] == [
        "conflict", "answer 2", "answer 2", "unavailable", "unavailable", "answer 4", "answer 5",
    ]  # fmt: skip


@pytest.mark.usefixtures("standalone")
def test_without_transactions_a_command_whose_time_is_up_in_the_midst_is_not_applied_again() -> None:
    calls: list[str] = []

    def apply() -> str:
        calls.append("called")
        raise TimeIsUp("others take too long")

    with Stage(Till(apply), database_timeout=1.0) as stage:
        actor = stage.connect("ada")
        answers = [ask(actor), ask(actor)]

    assert ([answer["code"] for answer in answers], len(calls)) == (["unavailable"] * 2, 1)


# --- notifications


def tell(message: str = "Hello") -> Notification:
    return Notifier.notify(Notification(message=message, everyone=True))


def test_marking_all_again_marks_nothing_that_has_come_since(database: Database) -> None:
    tell()
    with Stage(Notifier) as stage:
        actor = stage.connect("ada")
        command = {"action": "mark_all_read", "cmd_id": "c1"}

        first = actor.ask("notifications", command)["payload"]
        tell("since")
        wait_until(lambda: actor.on("notifications")[-1]["unread"] == 1)
        again = actor.ask("notifications", command)["payload"]
        other = actor.ask("notifications", {**command, "cmd_id": "c2"})["payload"]

        assert (first, again, other) == ({"unread": 0}, {"unread": 1}, {"unread": 0})


def test_marking_one_again_is_answered_also_when_it_was_deleted(database: Database) -> None:
    notification = tell()
    with Stage(Notifier) as stage:
        actor = stage.connect("ada")
        command = {"action": "mark_read", "data": {"id": str(notification.id)}, "cmd_id": "c1"}

        first = actor.ask("notifications", command)["payload"]
        notification.delete()
        again = actor.ask("notifications", command)["payload"]
        other = actor.ask("notifications", {**command, "cmd_id": "c2"})["payload"]

        assert first == again == {"unread": 0}
        assert other["code"] == "not_found"


def test_a_command_that_was_not_found_is_not_remembered(database: Database) -> None:
    notification = Notification(message="Hello", everyone=True)
    notification.id = tell().id
    notification.delete()

    assert mark_read("ada", (), notification.id, command="c1") is None
    Notifier.notify(Notification(id=notification.id, message="Hello", everyone=True))
    assert mark_read("ada", (), notification.id, command="c1") is not None
    assert unread_count("ada") == 0


def test_so_many_command_ids_are_remembered(database: Database) -> None:
    for number in range(120):
        mark_all_read("ada", (), command=f"c{number}")

    state = NotificationState.objects.get(user="ada")
    assert state.commands == [f"c{number}" for number in range(20, 120)]
    assert state.rev == 120


def test_the_same_command_at_once_is_applied_once(database: Database) -> None:
    for number in range(10):
        old = tell()
        threads = [threading.Thread(target=mark_all_read, args=("ada", ()), kwargs={"command": f"c{number}"})] * 1
        threads += [threading.Thread(target=mark_read, args=("ada", (), old.id), kwargs={"command": f"c{number}"})]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert NotificationState.objects.get(user="ada").commands.count(f"c{number}") == 1


# --- notifications in a transaction


def in_transaction(work: Callable[[Any], Any], *, bind: bool) -> None:
    client = mongoengine.get_connection()
    with client.start_session() as session, session.start_transaction():
        if bind:
            with session.bind(end_session=False):
                work(None)
        else:
            work(session)


@pytest.mark.parametrize("bind", [False, True], ids=["given", "bound"])
def test_a_notification_in_a_transaction_arrives_if_that_commits(database: Database, bind: bool) -> None:
    with Stage(Notifier) as stage:
        actor = stage.connect("ada")
        actor.wait("notifications", 1)

        def fail(session: Any) -> None:
            Notifier.notify(Notification(message="never", everyone=True), session)
            raise KeyError

        with pytest.raises(KeyError):
            in_transaction(fail, bind=bind)
        in_transaction(lambda session: Notifier.notify(Notification(message="yes", everyone=True), session), bind=bind)

        assert actor.wait("notifications", 2)[1]["last"]["label"] == "yes"
        assert unread_count("ada") == 1


def test_a_command_may_notify(database: Database) -> None:
    refused: list[int] = [1]

    def apply() -> int:
        Notifier.notify(Notification(message="ordered", everyone=True))
        if refused:
            refused.pop()
            raise Refusal("conflict")
        return 7

    with Stage(Notifier, Till(apply)) as stage:
        actor = stage.connect("ada")
        actor.wait("notifications", 1)

        assert [ask(actor) for _ in range(3)][1:] == [7, 7]
        assert actor.wait("notifications", 2)[1]["unread"] == 1
        assert Notification.objects.count() == 1


# --- a worker that dies between the database's acknowledgement and the answer


class Tab:
    """A client that comes back and repeats what was not answered."""

    def __init__(self, sockets: harness.Sockets, server: harness.WebServer) -> None:
        self._sockets, self._url = sockets, server.ws_url
        self._cookie = harness.login(server.base_url, "ada")
        self.socket = self._connect()

    def _connect(self) -> harness.WebSocketClient:
        return self._sockets.connect(self._url, cookie=self._cookie)

    def command(self, channel: str, payload: Any) -> tuple[Any, int]:
        """Return the answer, and how often it was asked."""
        deadline, asked = time.monotonic() + 20, 0
        while time.monotonic() < deadline:
            try:
                asked += 1
                return self.socket.request(channel, payload)["payload"], asked
            except (AssertionError, OSError):
                gevent.sleep(0.1)
            try:
                self.socket = self._connect()
            except OSError:
                gevent.sleep(0.1)
        raise AssertionError("no answer")


@pytest.fixture
def killed(
    database: Database, servers: harness.Servers, sockets: harness.Sockets, tmp_path: Path
) -> Callable[[str, Any], Any]:
    """Return what answers a command whose first worker was killed before its reply."""
    file = tmp_path / "kill"
    server = servers.gunicorn("tests.apps.shop:app", env={URI: database.uri, KILL: str(file)})
    tab = Tab(sockets, server)
    workers = server.workers()

    def command(channel: str, payload: Any) -> Any:
        file.touch()
        answer, asked = tab.command(channel, payload)
        assert asked > 1
        assert not file.exists()
        assert not set(workers) & set(server.workers())
        return answer

    return command


def test_a_command_of_a_service_survives_its_worker(killed: Callable[[str, Any], Any]) -> None:
    answer = killed("shop", {"item": "tea", "cmd_id": "c1"})

    assert answer == {"ordered": str(Order.objects.get().id)}
    assert Stock.objects.get(item="tea").left == -1


def test_a_command_of_the_clipboard_survives_its_worker(killed: Callable[[str, Any], Any]) -> None:
    answer = killed("clipboard", {"action": "add", "data": "tea", "cmd_id": "c1"})

    assert [entry["data"] for entry in answer] == ["tea"]


def test_marking_all_as_read_survives_its_worker(killed: Callable[[str, Any], Any]) -> None:
    tell()

    assert killed("notifications", {"action": "mark_all_read", "cmd_id": "c1"}) == {"unread": 0}
    assert NotificationState.objects.get(user="ada").commands == ["c1"]
