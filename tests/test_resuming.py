"""Clients that come back to the views of a process: what they are told, and from where on it is known."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from tests.live_process import Client, Database, Process, at, change
from tests.live_world import COLLECTION, EXPOSED, NONE, query
from wsflask.errors import Refusal
from wsflask.feed.base import Change, HistoryLost, Touch
from wsflask.live.subscriber import Subscriber
from wsflask.live.view import Loaded, row_of
from wsflask.tasks import spawn


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def process(database: Database) -> Process:
    return Process(database)


def come_back(process: Process, start_seq: str, **more: Any) -> tuple[Client, Subscriber]:
    client, name = Client(), query().name(b"secret")
    ws: Any = client
    subscriber = process.views.attach(ws, query(), {"start_seq": start_seq, "view": name}, **more)
    process.views.wait(subscriber)
    process.views.send(subscriber)
    return client, subscriber


def test_who_comes_back_gets_what_differs(process: Process, database: Database) -> None:
    process.follow(change(2, "U", "a", total=2), change(3, "D", "c"), change(4, "I", "b"))
    database.answer = ({"_id": "a", "total": 2}, {"_id": "b"}, {"_id": "d"})
    client, subscriber = come_back(process, at(1), held={"a": "a", "c": "c", "d": "d"})

    assert subscriber.state == "resumed"
    assert client.ops == [("R", "c"), ("U", "a"), ("I", "b")]
    assert [one["seq"] for one in client.inbox] == [at(1), at(1), at(4)]


@pytest.mark.parametrize("says", [True, False])
def test_who_comes_back_to_a_view_that_is_ahead_gets_its_rows_anew(process: Process, *, says: bool) -> None:
    """The feed looked the document up after its next change, which then shows nothing new here."""
    process.subscribe(Client())
    process.follow(change(2, "U", "a", total=3))
    client, subscriber = come_back(process, at(2), held={"a": "a", "b": "b"} if says else None)
    process.follow(change(3, "U", "a", total=3))

    assert (subscriber.state, client.ops) == ("resumed", [("U", "a")])
    assert client.inbox[0]["message"]["total"] == 3


def test_who_comes_back_without_its_ids_to_a_view_that_a_row_left_early_gets_all(process: Process) -> None:
    process.subscribe(Client())
    process.follow(change(2, "U", "a", status="gone"), Change(at(3), "U", COLLECTION, "b", None))
    client, subscriber = come_back(process, at(3))

    assert (subscriber.state, client.ops) == ("reset", [("L", "a")])


@pytest.mark.parametrize("start_seq", [at(0), at(99), ""])
def test_who_comes_back_from_where_nothing_is_known_gets_all(process: Process, start_seq: str) -> None:
    client, subscriber = come_back(process, start_seq, held={"a": "a"})

    assert subscriber.state == "reset"
    assert client.ops == [("L", "a"), ("L", "b")]


def test_who_comes_back_to_another_view_gets_all(process: Process) -> None:
    client: Any = Client()
    subscriber = process.subscribe(client, start_seq=at(1), view="another")

    assert (subscriber.state, client.ops) == ("reset", [("L", "a"), ("L", "b")])


def test_rows_of_no_exact_moment_are_nothing_to_go_on_from(process: Process, database: Database) -> None:
    process.views._loading._find = lambda view: Loaded({"a": row_of(view.query, {"_id": "a"}, NONE)})
    client, subscriber = come_back(process, at(1), held={"a": "a"})

    assert (subscriber.state, client.ops) == ("reset", [("L", "a")])
    assert client.inbox[-1]["seq"] == ""


def test_what_changed_before_the_process_began_is_asked_of_the_history(process: Process) -> None:
    asked = []

    def history(document_class: Any, since: str, until: str, limit: int) -> list[Touch]:
        asked.append((document_class, since, until))
        return [Touch(at(1), "U", "a")]

    process.views.begin(at(5))
    for _ in range(2):
        process.views.resuming.reach_back(EXPOSED, at(0), history)
    assert asked == [(EXPOSED.document_class, at(0), at(5))]
    client, subscriber = come_back(process, at(0), held={"a": "a", "b": "b"})
    assert (subscriber.state, client.ops) == ("resumed", [("U", "a")])


@pytest.mark.parametrize("error", [HistoryLost("gone"), OperationFailure("not allowed")])
def test_where_the_history_does_not_tell_all_rows_are_loaded(process: Process, error: Exception) -> None:
    def history(*_: Any) -> list[Touch]:
        raise error

    process.views.begin(at(5))
    process.views.resuming.reach_back(EXPOSED, at(2), history)
    client, subscriber = come_back(process, at(2), held={"a": "a"})

    assert (subscriber.state, client.ops) == ("reset", [("L", "a"), ("L", "b")])


def test_who_comes_back_while_the_database_is_away_is_refused_and_loses_nothing(process: Process) -> None:
    """A reset would have him load everything again."""
    told = [AutoReconnect("no primary"), [Touch(at(4), "U", "a")]]

    def history(*_: Any) -> Any:
        found = told.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    process.views.begin(at(5))
    with pytest.raises(AutoReconnect):
        process.views.resuming.reach_back(EXPOSED, at(2), history)
    process.views.resuming.reach_back(EXPOSED, at(2), history)
    client, subscriber = come_back(process, at(2), held={"a": "a", "b": "b"})

    assert (subscriber.state, client.ops) == ("resumed", [("U", "a")])


def test_one_who_waits_for_anothers_look_into_the_history_is_refused_in_time(process: Process) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def history(*_: Any) -> list[Touch]:
        begun.set()
        goes_on.wait(10)
        return []

    process.views.begin(at(5))
    first = spawn("first", process.views.resuming.reach_back, EXPOSED, at(2), history)
    begun.wait(10)
    with pytest.raises(Refusal, match="unavailable"):
        process.views.resuming.reach_back(EXPOSED, at(2), history, 0.05)
    goes_on.set()
    first.join(10)
