"""The views of a process without a database: who waits for which load, and what happens when one fails."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Hashable
from typing import Any

import mongoengine as me
import pytest
from pymongo.errors import AutoReconnect

from tests import harness
from wsflask.access import ALL, Condition, Exposure, Scope
from wsflask.config import Settings
from wsflask.errors import Refusal
from wsflask.feed.base import Change
from wsflask.live.catalog import Right, parse_catalog
from wsflask.live.subscriber import Stage, Subscriber
from wsflask.live.view import Query
from wsflask.live.views import LiveViews
from wsflask.protocol.codes import CloseCode
from wsflask.protocol.messages import Message
from wsflask.tasks import spawn


class Gate(me.Document):
    name = me.StringField()
    meta = {"collection": "views_gate"}


EXPOSED = Exposure(Gate, fields=("name",))


def query(name: str | None = None) -> Query:
    right = Right(EXPOSED, ALL, EXPOSED.visible(show_hidden=False))
    scope = Scope([] if name is None else [Condition("name", "==", name)])
    return Query(EXPOSED, scope, ALL, parse_catalog(None, right, lambda _: None))


def rows(*names: str) -> dict[Hashable, bytes]:
    return {name: json.dumps({"_id": name, "name": name}, separators=(",", ":")).encode() for name in names}


def change(seq: str, op: str, name: str) -> Change:
    return Change(seq, op, "views_gate", name, None if op == "D" else {"_id": name, "name": name})


class Client:
    """A connection that records, and may be slow."""

    id = "1"

    def __init__(self) -> None:
        self.is_open = True
        self.closed_with = 0
        self.got: list[dict[str, Any]] = []
        self.drains: Callable[[], bool] = lambda: True

    def drain(self, timeout: float) -> bool:
        return self.drains()

    def close(self, code: int, reason: str = "") -> None:
        self.is_open, self.closed_with = False, code

    @property
    def ops(self) -> list[Any]:
        return [(one["op"], one["message"]["_id"]) if "message" in one else one["op"] for one in self.got]


class Database:
    """Answers loads when it is told to: with rows, or an exception."""

    def __init__(self) -> None:
        self.queries = 0
        self.answer: dict[Hashable, bytes] | Exception = rows("a", "b")
        self.goes_on = threading.Event()
        self.goes_on.set()

    def load(self, query: Query, settings: Settings) -> dict[Hashable, bytes]:
        self.queries += 1
        answer = self.answer
        assert self.goes_on.wait(10)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def views(database: Database) -> LiveViews:
    return make(database, Settings(database_timeout=0.5))


def make(database: Database, settings: Settings) -> LiveViews:
    def deliver(ws: Any, message: Message) -> None:
        ws.got.append(json.loads(message.payload_json))

    made = LiveViews(settings, b"secret", deliver, database.load)
    made.begin()
    return made


def subscribe(views: LiveViews, client: Any, name: str | None = None) -> Subscriber:
    subscriber = views.attach(client, query(name), {})
    views.wait(subscriber)
    views.send(subscriber)
    return subscriber


def test_those_who_come_while_a_load_is_under_way_share_it(views: LiveViews, database: Database) -> None:
    database.goes_on.clear()
    clients = [Client() for _ in range(100)]
    tasks = [spawn("subscribe", subscribe, views, client) for client in clients]
    harness.wait_until(lambda: len(views.subscriptions()) == 100)
    views.follow([change("2", "D", "a"), change("3", "I", "c")])
    database.goes_on.set()

    assert all(task.join(harness.PATIENCE) for task in tasks)
    assert database.queries == 1
    assert all(client.ops == [("L", "b"), ("L", "c")] for client in clients)
    assert all(one.stage is Stage.LIVE for one in views.subscriptions())


def test_a_gap_while_a_load_is_under_way_has_the_query_run_again(views: LiveViews, database: Database) -> None:
    database.goes_on.clear()
    client = Client()
    task = spawn("subscribe", subscribe, views, client)
    harness.wait_until(lambda: database.queries == 1)
    database.answer = rows("b")
    views.begin()
    database.goes_on.set()

    assert task.join(harness.PATIENCE)
    assert database.queries == 2
    assert client.ops == [("L", "b")]


def test_what_changes_while_rows_are_sent_follows_them(views: LiveViews) -> None:
    client: Any = Client()
    subscriber = views.attach(client, query(), {})
    views.wait(subscriber)
    views.follow([change("2", "I", "c")])
    assert client.ops == []

    views.send(subscriber)
    views.follow([change("3", "D", "c")])
    assert client.ops == [("L", "a"), ("L", "b"), ("I", "c"), ("D", "c")]


def test_a_slow_client_is_waited_for_by_its_own_load_only(database: Database) -> None:
    database.answer = {number: json.dumps({"_id": number, "name": "x" * 40_000}).encode() for number in range(8)}
    views = make(database, Settings())
    slow, quick = Client(), Client()
    may_go_on = threading.Event()
    slow.drains = lambda: may_go_on.wait(0.01)
    task = spawn("subscribe", subscribe, views, slow)
    harness.wait_until(lambda: slow.got)

    subscribe(views, quick)
    views.follow([change("2", "I", "new")])
    assert quick.ops[-1] == ("I", "new")
    assert len(slow.got) < 8
    may_go_on.set()
    assert task.join(harness.PATIENCE)
    assert slow.ops == quick.ops


def test_a_client_that_is_further_behind_than_the_limit_has_to_come_back(database: Database) -> None:
    views = make(database, Settings(feed_backlog=3, view_max_rows=2))
    client: Any = Client()
    views.wait(views.attach(client, query(), {}))

    for number in range(2, 9):
        views.follow([change(str(number), "I", str(number))])
    assert client.closed_with == CloseCode.POSITION_LOST
    assert views.subscriptions() == []


def test_a_load_that_fails_is_told_to_who_asked_and_leaves_nothing(views: LiveViews, database: Database) -> None:
    client = Client()
    for error in (AutoReconnect("no primary"), Refusal("too_big")):
        database.answer = error
        with pytest.raises(type(error)):
            subscribe(views, client)
    assert len(views) == 0
    assert views.subscriptions() == []


def test_a_mistake_in_a_load_is_logged_and_told(
    views: LiveViews, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.answer = ZeroDivisionError("a bug")

    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError):
        subscribe(views, Client())
    assert "could not be made" in caplog.text


def test_a_load_that_takes_too_long_is_refused_as_unavailable(database: Database) -> None:
    views = make(database, Settings(database_timeout=0.02))
    database.goes_on.clear()

    with pytest.raises(Refusal, match="unavailable"):
        subscribe(views, Client())
    assert views.subscriptions() == []
    database.goes_on.set()


def test_rows_that_were_lost_are_loaded_again_until_the_database_answers(views: LiveViews, database: Database) -> None:
    client = Client()
    subscribe(views, client)
    client.got.clear()
    database.answer = AutoReconnect("no primary")
    views.begin()
    harness.wait_until(lambda: database.queries == 3)

    database.answer = rows("b")
    harness.wait_until(lambda: client.ops == ["reset", ("L", "b")])
    assert client.got[0]["rows"] == 1
    assert client.got[0]["seq"] == "" < client.got[-1]["seq"]


def test_rows_that_were_lost_and_are_too_many_now_end_the_connection(views: LiveViews, database: Database) -> None:
    client = Client()
    subscribe(views, client)
    database.answer = Refusal("too_big")
    views.begin()

    harness.wait_until(lambda: client.closed_with == CloseCode.POSITION_LOST)
    harness.wait_until(lambda: len(views) == 0)


def test_who_leaves_before_the_lost_rows_are_back_is_not_waited_for(views: LiveViews, database: Database) -> None:
    client: Any = Client()
    subscribe(views, client)
    database.answer = AutoReconnect("no primary")
    views.begin()
    harness.wait_until(lambda: database.queries == 2)
    views.detach_all(client)

    harness.wait_until(lambda: len(views) == 0)
    assert database.queries <= 3


def test_a_change_that_cannot_be_shown_loses_that_view_only(views: LiveViews, caplog: pytest.LogCaptureFixture) -> None:
    hurt, well = Client(), Client()
    subscribe(views, hurt)
    subscribe(views, well, "new")
    broken: Any = {"_id": "x", "name": type("Broken", (), {"__str__": lambda _: 1 / 0})()}

    with caplog.at_level(logging.ERROR):
        views.follow([Change("2", "I", "views_gate", "x", broken), change("3", "I", "new")])
    harness.wait_until(lambda: "reset" in hurt.ops)
    assert ("I", "new") in well.ops
    assert "could not be shown" in caplog.text


def test_positions_always_sort_in_their_order(views: LiveViews) -> None:
    client = Client()
    subscribe(views, client)
    for number, seq in enumerate(("", "", "2", "2", "1", "", "3", "3")):
        views.follow([change("f", "I", f"new {number}")], seq)

    seqs = [one["seq"] for one in client.got[1:]]
    assert seqs == sorted(set(seqs))
    assert seqs[-2:] == ["3", "3+00000001"]
