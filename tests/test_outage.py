"""The database goes away, and comes back: real mongods, killed, frozen and stepping down under a real worker."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests import harness
from tests.apps.outpost import URI, client_of
from tests.harness import MS, WebServer, login, wait_until
from wsflask.errors import ConfigError
from wsflask.testing import ReplicaSet, WebSocketClient

#: What a busy machine may take longer.
SLACK = 1500 * MS
GATES = {"action": "subscribe", "data": {"class_name": "OutpostGate"}}


class Outpost:
    """A database, one worker, and tabs."""

    def __init__(self, mongo: ReplicaSet, server: WebServer, sockets: harness.Sockets) -> None:
        self.mongo = mongo
        self.server = server
        self.database: MongoClient[Any] = client_of(mongo.uri_of("outpost"))
        self._sockets = sockets
        self._cookies: dict[str, str] = {}
        self._logged = 0

    def sign_in(self, *users: str) -> None:
        self._cookies |= {user: login(self.server.base_url, user) for user in users}

    def tab(self, user: str) -> WebSocketClient:
        return self._sockets.connect(self.server.ws_url, cookie=self._cookies[user], timeout=40.0)

    def watching(self, user: str) -> WebSocketClient:
        """Return a tab that has been greeted, and watches all gates."""
        tab = self.tab(user)
        tab.expect("clipboard")
        tab.send("documents", GATES, id="gates")
        tab.expect("documents", {"state": "loaded"})
        return tab

    def write(self, name: str) -> None:
        self.database["outpost"]["outpost_gates"].insert_one({"name": name})

    def numbers(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.server.base_url + "/numbers", timeout=10) as answer:
            return dict(json.load(answer))

    def forget_log(self) -> None:
        self._logged = len(self.server.log())

    def log(self) -> list[str]:
        return self.server.log()[self._logged :].splitlines()


def asked(tab: WebSocketClient, channel: str, payload: Any, identity: str) -> tuple[str, float]:
    """Ask; return the code of the refusal, "" for an answer, and after how many seconds it came."""
    began = time.monotonic()
    tab.send(channel, payload, id=identity)
    answer = wait_until(
        lambda: tab.receive() and next((one for one in tab.messages if one.get("id") == identity), None), timeout=30.0
    )
    code = answer["payload"]["code"] if answer["channel"] == "error" else ""
    return code, time.monotonic() - began


@pytest.fixture(params=[1], ids=["alone"])
def mongo(request: pytest.FixtureRequest) -> Iterator[ReplicaSet]:
    folder = harness.data_folder()
    try:
        with ReplicaSet(folder, members=request.param) as started:
            yield started
    except ConfigError as error:
        harness.missing(f"mongod: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def outpost(mongo: ReplicaSet, servers: harness.Servers, sockets: harness.Sockets) -> Iterator[Outpost]:
    server = servers.gunicorn("tests.apps.outpost:app", workers=1, env={URI: mongo.uri_of("outpost")})
    found = Outpost(mongo, server, sockets)
    found.sign_in("ann", "ben", "dbcarl")
    yield found
    found.database.close()


@contextlib.contextmanager
def frozen(mongo: ReplicaSet, number: int = 0) -> Iterator[float]:
    """Have a member frozen; yields when that began."""
    mongo.freeze(number)
    try:
        yield time.monotonic()
    finally:
        mongo.thaw(number)


def killed(mongo: ReplicaSet) -> contextlib.AbstractContextManager[float]:
    """Have the whole database away."""

    @contextlib.contextmanager
    def away() -> Iterator[float]:
        mongo.stop_all()
        try:
            yield time.monotonic()
        finally:
            mongo.start_all()

    return away()


def live_through(outpost: Outpost, away: contextlib.AbstractContextManager[float], seconds: float) -> None:
    """Judge all that is promised while the database is away for so long, and when it is back."""
    ann = outpost.watching("ann")
    waiting = outpost.tab("ann")
    waiting.expect("clipboard")
    before = outpost.numbers()
    outpost.forget_log()

    with away as began:
        first = asked(waiting, "clipboard", {"action": "add", "data": 1, "cmd_id": "one"}, "first")
        ann.expect("health", {"degraded": True})
        told_after = time.monotonic() - began
        answers = [
            asked(ann, "clipboard", {"action": "add", "data": 1, "cmd_id": "one"}, "1"),
            asked(ann, "notifications", {"action": "mark_all_read"}, "2"),
            asked(ann, "documents", {**GATES, "data": {"class_name": "OutpostGate", "limit": 5}}, "3"),
        ]
        newcomers = []
        for user in ("ben", "dbcarl"):
            start = time.monotonic()
            newcomers.append((outpost.tab(user).expect_close(), time.monotonic() - start))
        elsewhere = asked(ann, "nowhere", None, "4")
        while (left := seconds - (time.monotonic() - began)) > 0:
            for tab in (ann, waiting):
                tab.send("pong", {})
            time.sleep(min(left, 5.0))
        during = outpost.numbers()
        lines = outpost.log()
    back = time.monotonic()
    outpost.write("after")
    ann.expect("documents", {"op": "I", "message": {"name": "after"}})
    caught_up_after = time.monotonic() - back
    ann.expect("health", {"degraded": False})
    told_again_after = time.monotonic() - back
    again = asked(ann, "clipboard", {"action": "add", "data": 1, "cmd_id": "one"}, "5")
    clipboard = [one["payload"] for one in ann.messages if one.get("id") == "5"]

    assert told_after < 5 + SLACK
    assert first[0] == "unavailable"
    assert first[1] < 5 + SLACK
    assert [code for code, _ in answers] == ["unavailable"] * 3
    assert max(took for _, took in answers) < 1 + SLACK, "it is known by now that the database is away"
    assert [code for code, _ in newcomers] == [1013, 1013]
    assert max(took for _, took in newcomers) < 1 + SLACK
    assert elsewhere[0] == "unknown_channel", "what needs no database is answered as ever"
    assert elsewhere[1] < SLACK
    assert during["is_degraded"]
    assert during["connections"] == before["connections"], "nobody is closed"
    assert during["cpu"] - before["cpu"] < 0.5 + 0.05 * seconds, "no hot loop"
    assert len(lines) < 12 + seconds / 5, "\n".join(lines)
    assert not [line for line in lines if "Traceback" in line]
    assert caught_up_after < 5 + SLACK
    assert told_again_after < 10
    assert again[0] == ""
    assert [entry["data"] for entry in clipboard[0]] == [1], "applied once, however often it was sent"
    assert ann.close_code is None


def test_a_database_that_is_killed_and_started_again(outpost: Outpost) -> None:
    live_through(outpost, killed(outpost.mongo), 9.0)


def test_a_database_that_is_frozen(outpost: Outpost) -> None:
    live_through(outpost, frozen(outpost.mongo), 9.0)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "seconds"), [("killed", 60.0), ("frozen", 20.0)])
def test_a_database_that_is_away_for_long(outpost: Outpost, fault: str, seconds: float) -> None:
    live_through(outpost, killed(outpost.mongo) if fault == "killed" else frozen(outpost.mongo), seconds)


@pytest.mark.slow
def test_the_port_of_a_database_that_is_away_is_not_besieged(outpost: Outpost) -> None:
    """Counted are the connections to its port: those of the feed and of the application's own pool."""
    outpost.watching("ann")
    port, attempts, is_over = outpost.mongo.ports[0], [0], threading.Event()
    outpost.mongo.stop_all()

    def refuse() -> None:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen(100)
            listening.settimeout(0.1)
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    listening.accept()[0].close()
                    attempts[0] += 1

    door = threading.Thread(target=refuse)
    door.start()
    try:
        time.sleep(30)
    finally:
        is_over.set()
        door.join()
        outpost.mongo.start_all()

    assert 5 < attempts[0] < 30 * 10


# --- three members


@pytest.mark.parametrize("mongo", [3], indirect=True, ids=["of three"])
@pytest.mark.parametrize(
    ("fault", "at_most"),
    [
        ("steps down", 6.0),
        pytest.param("killed", 20.0, marks=pytest.mark.slow),
        pytest.param("frozen", 30.0, marks=pytest.mark.slow),
    ],
)
def test_a_primary_that_goes_is_followed_by_another(outpost: Outpost, fault: str, at_most: float) -> None:
    ann = outpost.watching("ann")
    primary = outpost.mongo.await_primary()
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        if fault == "steps down":
            with contextlib.suppress(PyMongoError):
                outpost.database.admin.command("replSetStepDown", 20)
        elif fault == "killed":
            outpost.mongo.kill(primary)
            stack.callback(outpost.mongo.start_all)
        else:
            stack.enter_context(frozen(outpost.mongo, primary))
        outpost.mongo.await_primary(other_than=primary, timeout=at_most)
        code, number = "unavailable", 0
        while code == "unavailable" and time.monotonic() - began < at_most:
            number += 1
            code, took = asked(ann, "clipboard", {"action": "add", "data": 1, "cmd_id": "once"}, str(number))
            assert took < 5 + SLACK
        stalled = time.monotonic() - began
        client: MongoClient[Any] = client_of(outpost.mongo.uri_of("outpost"))
        with client:
            client["outpost"]["outpost_gates"].insert_one({"name": fault})
        ann.expect("documents", {"op": "I", "message": {"name": fault}})
    clipboard = next(one["payload"] for one in ann.messages if one.get("id") == str(number))

    assert code == ""
    assert stalled < at_most
    assert [entry["data"] for entry in clipboard] == [1]
    assert ann.close_code is None
