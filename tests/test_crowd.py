"""Many users at once: what they cost the database, and each other."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import flask_login
import gevent
import pytest
from flask import Flask, request

from tests.harness import Commands, wait_until
from tests.harness.raw import server_frames
from tests.harness.stage import Stage
from wsflask.connection import Connection
from wsflask.documents import Notification
from wsflask.identity import Identity
from wsflask.live.broadcaster import Broadcaster
from wsflask.protocol.codes import CloseCode
from wsflask.server import WebSocketServer
from wsflask.services import mailroom
from wsflask.services.clipboard import Clipboard
from wsflask.services.notifier import Notifier
from wsflask.streams.place import Place, query_of
from wsflask.transport.link import Link


class Client(Link):
    """A client that takes everything, and notes it."""

    def __init__(self, user_id: str) -> None:
        self.user = SimpleNamespace(get_id=lambda: user_id)
        self.frames: list[bytes] = []
        self.connection: Connection

    def connect(self, stage: Stage, query: str = "") -> None:
        identity = Identity(self.user, self.user.get_id(), frozenset(), f"session of {self.user.get_id()}")
        self.connection = self.owner = stage.server.handler(self, identity=identity, form="v1", query=query)
        self.connection.start()

    def come_back(self, stage: Stage) -> None:
        """Connect again, from the place that the stream of notifications had when it began."""
        payload = json.loads(next(text for text in self.on("stream") if b'"notifications"' in text))
        place = Place(payload["payload"]["epoch"], payload["seq"])
        self.frames.clear()
        self.connect(stage, query_of({"notifications": place}))

    def on(self, channel: str) -> list[bytes]:
        start = b'{"channel":"%b"' % channel.encode()
        return [data for frame in self.frames for _, data in server_frames(frame)[0] if data.startswith(start)]

    def write(self, data: bytes) -> int:
        self.frames.append(data)
        return len(data)

    def run(self, work: Callable[[], None]) -> None:
        gevent.spawn(work)

    def call_when_writable(self) -> None:
        raise AssertionError("a client takes everything at once")

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def end_writing(self) -> None: ...
    def close(self) -> None: ...


class Crowd(list[Client]):
    """Distinct users with one client each."""

    def connect(self, stage: Stage, *, wave: int) -> None:
        """Connect all, `wave` at the same moment, each greeted by every service."""
        for start in range(0, len(self), wave):
            coming = Crowd(self[start : start + wave])
            for client in coming:
                client.connect(stage)
            wait_until(lambda coming=coming: not any(client.connection.holds for client in coming))  # type: ignore[misc]

    def await_frames(self, count: int) -> None:
        wait_until(lambda: all(len(client.frames) >= count for client in self), what=f"{count} frames each")

    def leave(self) -> None:
        for client in self:
            client.connection.close(CloseCode.NORMAL)
            client.connection.peer_gone()


@pytest.fixture
def crowd() -> Iterator[Callable[[int], Crowd]]:
    made: list[Crowd] = []

    def make(count: int) -> Crowd:
        made.append(Crowd(Client(f"user{number}") for number in range(count)))
        return made[-1]

    yield make
    for each in made:
        each.leave()


@pytest.mark.parametrize("greetings", [100, 1000])
def test_a_thousand_users_who_come_at_once_cost_a_few_queries(
    commands: Commands, crowd: Callable[[int], Crowd], greetings: int
) -> None:
    """Those who are greeted at the same time share the queries, in groups of 500; for clipboards of 100."""
    Notifier.notify(Notification(message="Hello", everyone=True))
    for number in range(0, 1000, 10):
        Clipboard().clipboard_add(f"user{number}", number)
    with Stage(Notifier, Clipboard, Broadcaster, greetings_at_once=greetings) as stage:
        crowd(1).connect(stage, wave=1)
        users = crowd(1000)
        commands.clear()

        users.connect(stage, wave=1000)

        counts = Counter(commands.seen)
        assert {client.on("notifications")[0] for client in users} == {
            b'{"channel":"notifications","payload":{"unread":1,"category":"success"}}'
        }
        assert sum(b'"payload":[]' not in client.on("clipboard")[0] for client in users) == 100
        users.leave()
    del counts["find", "wsflask_ended_sessions"]  # what the relay asks when it starts
    groups = 1000 // min(greetings, 500)
    assert counts["find", "wsflask_notification_states"] == counts["find", "wsflask_notifications"] <= 3 * groups
    assert counts["find", "wsflask_clipboards"] <= max(3 * groups, 1000 // 100 + groups)
    assert set(counts) == {
        ("find", "wsflask_notification_states"),
        ("find", "wsflask_notifications"),
        ("find", "wsflask_clipboards"),
    }


def test_a_notification_to_ten_thousand_users_asks_nothing_and_lets_others_run(
    commands: Commands, crowd: Callable[[int], Crowd]
) -> None:
    turns = 0

    def take_turns() -> None:
        nonlocal turns
        while True:
            time.sleep(1e-6)
            turns += 1

    with Stage(Notifier) as stage:
        users = crowd(10_000)
        users.connect(stage, wave=1000)
        commands.clear()
        other = gevent.spawn(take_turns)

        Notifier.notify(Notification(message="Hello", everyone=True))
        wait_until(lambda: len(users[0].frames) == 5)
        turns = 0
        users.await_frames(5)
        other.kill()

        assert commands.seen == [("insert", "wsflask_notifications")]
        assert len({id(client.frames[4]) for client in users}) == 1
        assert json.loads(users[0].on("notifications")[1])["payload"]["unread"] == 1
        assert turns >= 10_000 // mailroom._TURN // 4
        users.leave()


def test_ten_thousand_users_who_come_back_at_once_are_told_what_they_missed_by_a_few_queries(
    commands: Commands, crowd: Callable[[int], Crowd]
) -> None:
    users = crowd(10_000)
    with Stage(Notifier) as stage:
        users.connect(stage, wave=1000)
        users.leave()
    for number in range(5):
        Notifier.notify(Notification(message=str(number), everyone=True))
    Notifier.notify(Notification(message="alone", users=["user7"]))
    with Stage(Notifier) as stage:
        crowd(1).connect(stage, wave=1)
        commands.clear()

        for client in users:
            client.come_back(stage)
        users.await_frames(9)

        counts = Counter(commands.seen)
        labels = [[_label(text) for text in client.on("notifications")] for client in users]
        assert labels[7] == ["0", "1", "2", "3", "4", "alone", 6]
        assert labels[:7] + labels[8:] == [["0", "1", "2", "3", "4", 5]] * 9999
        assert len({id(client.frames[4]) for client in users}) <= 10
        users.leave()
    assert counts["find", "wsflask_notification_states"] <= 3 * 10_000 // 500
    assert counts["find", "wsflask_notifications"] <= 3 * 10_000 // 500 + 3
    assert len(counts) == 2, counts


def _label(text: bytes) -> Any:
    payload = json.loads(text)["payload"]
    return payload["last"]["label"] if "last" in payload else payload["unread"]


def test_a_thousand_handshakes_at_once_ask_a_few_times_whether_a_session_has_ended(commands: Commands) -> None:
    app = Flask("crowd")
    app.secret_key = "k" * 32
    login = flask_login.LoginManager(app)
    login.request_loader(lambda _: SimpleNamespace(get_id=lambda: request.headers["User"], is_authenticated=True))
    server = WebSocketServer(app, services=[])

    def shake(number: int) -> Identity | None:
        with app.test_request_context("/wsflask/ws", headers={"User": f"user{number}"}):
            return server.sessions.identify()

    shake(0)  # makes the collection's indexes
    commands.clear()
    handshakes = [gevent.spawn(shake, number) for number in range(1000)]
    identities = [handshake.get() for handshake in handshakes]

    assert [identity.user_id if identity else None for identity in identities] == [f"user{n}" for n in range(1000)]
    assert commands.names == ["find"] * len(commands.names)
    assert len(commands.names) <= 10
