"""A client of the older system, which offers no subprotocol, gets the messages that system documented."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import harness
from wsflask import Notification, Notifier, WebSocketServer
from wsflask.demo import seed
from wsflask.demo.models import Flight

Connect = Callable[[], harness.WebSocketClient]


@pytest.fixture
def connect(database: harness.Database, servers: harness.Servers, sockets: harness.Sockets) -> Connect:
    seed()
    env = {"WSFLASK_MONGODB_URI": database.uri, "SECRET_KEY": "k" * 32, "WSFLASK_DEMO_SPEED": "0"}
    server = servers.gunicorn("wsgi:app", workers=2, env=env)
    cookie = harness.login(server.base_url, "united", password="united")
    return lambda: sockets.connect(server.ws_url, cookie=cookie, subprotocols=())


def receive(client: harness.WebSocketClient, count: int) -> list[Any]:
    return [client.receive() for _ in range(count)]


def test_the_first_messages_are_the_unread_count_and_the_clipboard(connect: Connect) -> None:
    client = connect()

    assert client.subprotocol is None
    assert receive(client, 2) == [
        {"channel": "notifications", "payload": {"unread": 0, "category": "success"}},
        {"channel": "clipboard", "payload": []},
    ]


def test_an_arrival_is_the_documented_message_with_its_keys_in_order(connect: Connect) -> None:
    client = connect()
    receive(client, 2)

    saved = Notifier.notify(Notification(message="Hello, World!", users=["united"]))
    message = client.expect("notifications")

    created = saved.created_dt.strftime("%Y-%m-%dT%H:%M:%S")
    expected = {
        "channel": "notifications",
        "payload": {
            "category": "success",
            "last": {
                "category": "success",
                "data": {
                    "_cls": "Notification",
                    "_id": str(saved.id),
                    "actions": [],
                    "category": 10,
                    "changed_dt": created,
                    "created_dt": created,
                    "message": "Hello, World!",
                },
                "id": str(saved.id),
                "is_read": False,
                "label": "Hello, World!",
                "metainfo": {
                    "changedDatetime": created,
                    "changedUser": None,
                    "createdDatetime": created,
                    "createdUser": None,
                },
            },
            "unread": 1,
        },
    }
    assert json.dumps(message) == json.dumps(expected)


def test_the_clipboard_answers_each_command_with_the_whole_clipboard_in_every_tab(connect: Connect) -> None:
    first, second = connect(), connect()
    receive(first, 2), receive(second, 2)
    flight = Flight.objects(carrier="UA").first()
    states: list[list[Any]] = []

    for action, data in (
        ("clipboard_add", {"seat": "12A"}),
        ("clipboard_load", {"model": "Flight", "ids": [flight.id]}),
        ("clipboard_remove", 1),
        ("clipboard_flush", "whatever"),
    ):
        first.send("clipboard", {"action": action, "data": data})
        seen, other = first.expect("clipboard"), second.expect("clipboard")
        assert seen == other
        assert seen.keys() == {"channel", "payload"}
        states.append(seen["payload"])

    added, loaded, removed, flushed = states
    assert [(entry["id"], entry["kind"], entry["data"]) for entry in added] == [(1, "data", {"seat": "12A"})]
    assert [(entry["id"], entry["kind"]) for entry in loaded] == [(1, "data"), (2, "reference")]
    assert (loaded[1]["model"], loaded[1]["label"], loaded[1]["missing"]) == ("Flight", flight.flight, False)
    assert removed == loaded[1:]
    assert flushed == []


def test_a_refusal_is_in_the_plain_form_too(connect: Connect) -> None:
    client = connect()
    receive(client, 2)

    client.send("clipboard", {"action": "clipboard_remove", "data": 99})

    assert client.receive() == {
        "channel": "error",
        "payload": {"code": "not_found", "message": "There is no such thing, or not for you."},
    }


def test_another_airlines_flight_cannot_be_loaded(connect: Connect) -> None:
    client = connect()
    receive(client, 2)
    foreign = Flight.objects(carrier="B6").first()

    answers = []
    for flight_id in (foreign.id, "no-such-flight"):
        client.send("clipboard", {"action": "load", "data": {"model": "Flight", "ids": [flight_id]}})
        answers.append(client.expect("error"))

    assert answers[0] == answers[1]
    assert answers[0]["payload"]["code"] == "not_found"


def test_a_user_can_be_sent_back_to_sign_on_with_his_present_rights(connect: Connect) -> None:
    tabs = [connect() for _ in range(4)]
    for tab in tabs:
        receive(tab, 2)

    WebSocketServer.disconnect("united")

    assert [tab.expect_close() for tab in tabs] == [1012] * 4
