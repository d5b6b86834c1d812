"""The views of a process without a database: who waits for which load, and what happens when one fails."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from tests import harness
from tests.live_process import ANN, BEN, Client, Database, Process, at, change
from tests.live_world import COLLECTION, query
from wsflask.errors import Refusal
from wsflask.feed.base import Change
from wsflask.live.subscriber import Stage
from wsflask.protocol.codes import CloseCode
from wsflask.tasks import spawn


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def process(database: Database) -> Process:
    return Process(database)


# --- loads


def test_those_who_come_while_a_load_is_under_way_share_it(process: Process, database: Database) -> None:
    database.goes_on.clear()
    clients = [Client() for _ in range(100)]
    tasks = [spawn("subscribe", process.subscribe, client) for client in clients]
    harness.wait_until(lambda: process.watching == 100 and database.queries == 1)
    process.follow(change(2, "D", "a"), change(3, "I", "c"))
    database.goes_on.set()

    assert all(task.join(harness.PATIENCE) for task in tasks)
    assert database.queries == 1
    assert all(client.ops == [("L", "b"), ("L", "c")] for client in clients)
    assert [client.inbox[-1]["seq"] for client in clients] == [at(3)] * 100
    assert [one.stage for one in process.views.watchers] == [Stage.LIVE] * 100


def test_those_who_come_soon_after_a_load_get_its_rows_as_they_are_now(process: Process, database: Database) -> None:
    process.subscribe(Client())
    process.follow(change(2, "U", "a", total=5), change(3, "D", "b"))
    late = Client()
    process.subscribe(late)

    assert database.queries == 1
    assert [one["message"]["total"] for one in late.inbox] == [5]
    assert late.inbox[-1]["seq"] == at(3)


def test_a_gap_while_a_load_is_under_way_has_the_query_run_again(process: Process, database: Database) -> None:
    database.goes_on.clear()
    client = Client()
    task = spawn("subscribe", process.subscribe, client)
    harness.wait_until(lambda: database.queries == 1)
    database.answer = ({"_id": "b"},)
    process.views.begin(at(5))
    database.goes_on.set()

    assert task.join(harness.PATIENCE)
    assert database.queries == 2
    assert client.ops == [("L", "b")]
    assert client.inbox[-1]["seq"] == at(5)


def test_a_gap_of_another_collection_changes_nothing(process: Process, database: Database) -> None:
    client = Client()
    process.subscribe(client)
    process.views.begin(at(5), "others")

    assert database.queries == 1
    assert client.ops == [("L", "a"), ("L", "b")]


def test_a_load_that_fails_is_told_to_who_asked_and_leaves_nothing(process: Process, database: Database) -> None:
    for error in (AutoReconnect("no primary"), Refusal("too_big")):
        database.answer = error
        with pytest.raises(type(error)):
            process.subscribe(Client())
    assert len(process.views) == process.watching == 0


def test_a_mistake_in_a_load_is_logged_and_told(
    process: Process, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.answer = ZeroDivisionError("a bug")

    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError):
        process.subscribe(Client())
    assert "could not be made" in caplog.text


def test_a_load_that_takes_too_long_is_refused_as_unavailable(database: Database) -> None:
    process = Process(database, database_timeout=0.02)
    database.goes_on.clear()

    with pytest.raises(Refusal, match="unavailable"):
        process.subscribe(Client())
    assert process.watching == 0
    database.goes_on.set()
    harness.wait_until(lambda: not process.views.index.rows)


def test_rows_that_were_lost_are_loaded_again_until_the_database_answers(process: Process, database: Database) -> None:
    client = Client()
    process.subscribe(client)
    client.inbox.clear()
    database.answer = AutoReconnect("no primary")
    process.views.begin(at(5))
    harness.wait_until(lambda: database.queries == 3)

    database.answer = ({"_id": "b"},)
    harness.wait_until(lambda: client.ops == ["reset", ("L", "b")])
    assert client.inbox[0]["rows"] == 1
    assert [one["seq"] for one in client.inbox] == ["", at(5)]


def test_rows_that_were_lost_and_are_too_many_now_end_the_subscription(process: Process, database: Database) -> None:
    client = Client()
    process.subscribe(client)
    database.answer = Refusal("too_big")
    process.views.begin(at(5))

    harness.wait_until(lambda: client.ops[-1] == "end")
    assert client.inbox[-1]["code"] == "too_big"
    assert client.is_open
    assert len(process.views) == process.watching == 0


def test_who_leaves_before_the_lost_rows_are_back_is_not_waited_for(process: Process, database: Database) -> None:
    client: Any = Client()
    process.subscribe(client)
    database.answer = AutoReconnect("no primary")
    process.views.begin(at(5))
    harness.wait_until(lambda: database.queries == 2)
    process.views.detach_all(client)

    harness.wait_until(lambda: len(process.views) == 0)
    assert database.queries <= 3


# --- changes


def test_a_view_that_grows_beyond_what_it_may_hold_ends(database: Database) -> None:
    process, client = Process(database, view_max_rows=3), Client()
    process.subscribe(client)
    process.follow(change(2, "I", "c"), change(3, "I", "d"))

    assert client.ops[2:] == [("I", "c"), ("I", "d"), "end"]
    assert client.inbox[-1]["code"] == "too_big"
    assert len(process.views) == process.watching == 0


def test_a_change_that_cannot_be_shown_loses_that_view_only(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    hurt, well = Client(), Client()
    process.subscribe(hurt)
    process.subscribe(well, ANN)
    broken: Any = type("Broken", (), {"__str__": lambda _: 1 / 0})()

    with caplog.at_level(logging.ERROR):
        process.follow(change(2, "I", "x", total=broken), change(3, "I", "new", owner="ann"))
    harness.wait_until(lambda: "reset" in hurt.ops)
    assert ("I", "new") in well.ops
    assert "could not be shown" in caplog.text


def test_what_is_told_by_hand_bears_the_position_that_it_is_given(process: Process) -> None:
    client = Client()
    process.subscribe(client)
    by_hand = Change("", "U", COLLECTION, "a", {"_id": "a", "total": 7})
    process.follow(by_hand, seq=at(9))
    process.follow(Change("", "U", COLLECTION, "a", {"_id": "a", "total": 8}))

    assert [one["seq"] for one in client.inbox[-2:]] == [at(9), at(1)]
    assert process.views.position == at(1)


# --- sending


def test_what_changes_while_rows_are_sent_follows_them(process: Process) -> None:
    client: Any = Client()
    subscriber = process.views.attach(client, query(), {})
    process.views.wait(subscriber)
    process.follow(change(2, "I", "c"))
    assert client.ops == []

    process.views.send(subscriber)
    process.follow(change(3, "D", "c"))
    assert client.ops == [("L", "a"), ("L", "b"), ("I", "c"), ("D", "c")]


def big(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": str(number), "status": "x" * 40_000, **fields}


def test_a_slow_client_is_waited_for_by_its_own_load_only(process: Process, database: Database) -> None:
    database.answer = [big(number) for number in range(8)]
    slow, quick = Client(), Client()
    may_go_on = threading.Event()
    slow.drains = lambda: may_go_on.wait(0.01)
    task = spawn("subscribe", process.subscribe, slow)
    harness.wait_until(lambda: slow.inbox)

    process.subscribe(quick)
    process.follow(change(2, "I", "new"))
    assert quick.ops[-1] == ("I", "new")
    assert len(slow.inbox) < 8
    may_go_on.set()
    assert task.join(harness.PATIENCE)
    assert slow.ops == quick.ops


def test_a_client_that_is_further_behind_than_the_limit_has_to_come_back(database: Database) -> None:
    process, client = Process(database, feed_backlog=3, view_max_rows=20), Client()
    ws: Any = client
    process.views.wait(process.views.attach(ws, query(), {}))

    for moment in range(2, 26):
        process.follow(change(moment, "U", "a", total=moment))
    assert client.closed_with == CloseCode.POSITION_LOST
    assert process.watching == 0


@pytest.mark.parametrize("ends", [False, True], ids=["moved", "ended"])
def test_nothing_of_the_old_view_is_sent_once_rights_have_changed(
    process: Process, database: Database, *, ends: bool
) -> None:
    database.answer = [*(big(number, owner="ann") for number in range(8)), big(9, owner="ben")]
    slow, may_go_on = Client(), threading.Event()
    slow.drains = lambda: may_go_on.wait(0.01)
    task = spawn("subscribe", process.subscribe, slow)
    harness.wait_until(lambda: slow.inbox)
    (subscriber,) = process.views.watchers

    sent = len(slow.inbox)
    if ends:
        process.views.end(subscriber, "not_found")
    else:
        process.views.move(subscriber, query(BEN), {})
    process.follow(change(2, "U", "1", owner="ann"))
    may_go_on.set()
    assert task.join(harness.PATIENCE)
    harness.wait_until(lambda: slow.ops[-1] in (("L", "9"), "end"))
    assert 0 < sent < 8
    assert slow.ops[sent:] == (["end"] if ends else ["moved", "reset", ("L", "9")])


# --- coming and going


def test_who_subscribes_again_has_one_subscription(process: Process) -> None:
    client: Any = Client()
    first = process.subscribe(client)
    second = process.subscribe(client)
    process.follow(change(2, "D", "a"))

    assert list(process.views.watchers) == [second] != [first]
    assert client.ops[-2:] == [("L", "b"), ("D", "a")]
    assert process.views.detach(client, second.view.name)
    assert not process.views.detach(client, second.view.name)


def test_a_connection_has_only_so_many_subscriptions(database: Database) -> None:
    process, client = Process(database, subscriptions_per_connection=1), Client()
    process.subscribe(client, ANN)
    process.subscribe(client, ANN)

    with pytest.raises(Refusal, match="too_big"):
        process.subscribe(client, BEN)


def test_the_rows_of_all_views_are_bounded(database: Database) -> None:
    process = Process(database, view_rows_in_all=2)
    process.subscribe(Client())

    process.subscribe(Client())
    with pytest.raises(Refusal, match="unavailable"):
        process.subscribe(Client(), ANN)


def test_views_that_nobody_watches_linger_and_then_go(database: Database) -> None:
    process, client = Process(database, views_lingering=1), Client()
    for condition in (ANN, BEN):
        process.subscribe(client, condition)
    process.views.detach_all(client)  # type: ignore[arg-type]
    assert len(process.views) == 1

    process = Process(database, view_linger=0.0)
    process.subscribe(client)
    process.views.detach_all(client)  # type: ignore[arg-type]
    assert len(process.views) == 0


def test_a_connection_that_closes_while_it_subscribes_leaves_nothing(process: Process) -> None:
    client: Any = Client()
    client.is_open = False

    with pytest.raises(Refusal, match="unavailable"):
        process.views.wait(process.views.attach(client, query(), {}))
    assert process.watching == 0
