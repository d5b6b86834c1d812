"""The kit that applications test their own services with, used as its documentation says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT
from wsflask.testing.places import Places
from wsflask.testing.sockets import fits

#: A project of somebody who uses wsflask: an application with a service of its own, and its tests.
_PROJECT = {
    "shop.py": """
import os

from gevent import monkey

if __name__ != "__main__" and os.environ.get("SHOP_SERVED"):
    monkey.patch_all()

import flask_login
import mongoengine
from flask import Flask, redirect, request

from wsflask import Broadcaster, Clipboard, Notifier, Service, WebSocketServer


class User(mongoengine.Document, flask_login.UserMixin):
    name = mongoengine.StringField()


class Order(mongoengine.Document):
    buyer = mongoengine.StringField()
    total = mongoengine.IntField()


class Chat(Service):
    channel = "chat"

    def on_message(self, ws, user, message):
        self.publish({"from": user.name, "text": message["text"]})
        return {"said": True}


def create_app():
    app = Flask("shop")
    app.secret_key = "a secret"
    manager = flask_login.LoginManager(app)
    manager.user_loader(lambda user_id: User.objects(id=user_id).first())
    server = WebSocketServer(app, services=[Notifier, Clipboard, Broadcaster, Chat])
    server.expose(Order, fields=["buyer", "total"], acl=lambda user: [{"fn": "buyer", "op": "==", "val": user.name}])

    @app.get("/name")
    def name():
        return flask_login.current_user.name if flask_login.current_user.is_authenticated else "nobody"

    @app.post("/login")
    def login():
        flask_login.login_user(User.objects.get(name=request.form["username"]))
        return redirect("/name")

    @app.post("/logout")
    def logout():
        flask_login.logout_user()
        return redirect("/name")

    return app


if os.environ.get("SHOP_SERVED"):
    mongoengine.connect(host=os.environ["SHOP_SERVED"], uuidRepresentation="standard")
    app = create_app()
""",
    "conftest.py": """
import pytest

from shop import User, create_app

pytest_plugins = ["wsflask.testing.plugin"]


@pytest.fixture
def app(wsflask_database):
    return create_app()


@pytest.fixture
def ada(wsflask_database):
    return User(name="ada").save()
""",
    "test_shop.py": """
import pytest

from shop import Order, User
from wsflask import Notification, Notifier
from wsflask.testing import Faults, Proxy


def test_a_notification_arrives(live_server, ada):
    client = live_server.client()
    client.login(ada)
    ws = client.connect()
    ws.expect("notifications", {"unread": 0})

    Notifier.notify(Notification(message="Hello", users=[ada.get_id()]))

    arrival = ws.expect("notifications", {"unread": 1})
    assert arrival["payload"]["last"]["label"] == "Hello"


def test_orders_are_live_for_their_buyer_alone(live_server, ada):
    client = live_server.client()
    client.login(ada)
    ws = client.connect()
    answer = ws.request("documents", {"action": "subscribe", "data": {"class_name": "Order"}})
    assert answer["payload"]["rows"] == 0

    Order(buyer="bob", total=1).save()
    Order(buyer="ada", total=2).save()

    assert ws.expect("documents", {"op": "I"})["payload"]["message"]["total"] == 2
    ws.expect_none("documents", timeout=0.3)


def test_tabs_of_two_people_hear_the_chat(live_server, ada):
    bob = User(name="bob").save()
    tabs = []
    for user in (ada, bob):
        client = live_server.client()
        client.login(user)
        tabs.append(client.connect())

    reply = tabs[0].request("chat", {"text": "hi"})

    assert reply["payload"] == {"said": True}
    for tab in tabs:
        tab.expect("chat", {"from": "ada", "text": "hi"})


def test_who_is_not_signed_in_is_closed(live_server):
    assert live_server.client().connect().expect_close() == 4501


def test_a_logout_closes_the_sockets(live_server, ada):
    client = live_server.client()
    client.login(ada)
    ws = client.connect()
    ws.expect("clipboard", [])
    assert client.get("/name").text == "ada"

    client.logout()

    assert ws.expect_close(timeout=5) == 4501
    assert client.get("/name").text == "nobody"


def test_the_form_signs_in_too(live_server, ada):
    client = live_server.client()

    answer = client.post("/login", {"username": "ada"})

    assert answer.status == 302
    client.connect().expect("notifications", {"unread": 0})


def test_a_message_that_does_not_come_is_told(live_server, ada):
    client = live_server.client()
    client.login(ada)
    ws = client.connect()

    with pytest.raises(AssertionError, match="no message: chat with {'text': 'never'}"):
        ws.expect("chat", {"text": "never"}, timeout=0.3)


def test_a_killed_worker_loses_no_command(wsflask_servers, wsflask_database, ada, app):
    served = wsflask_servers.gunicorn("shop:app", workers=2, env={"SHOP_SERVED": wsflask_database})
    client = served.client(app)
    client.login(ada)
    ws = client.connect()
    ws.expect("clipboard", [])
    add = {"action": "add", "data": "one", "cmd_id": "1"}
    ws.request("clipboard", add)

    for pid in served.workers():
        served.kill_worker(pid)
    ws.expect_close()
    served.await_answers()
    ws.reconnect()

    assert [entry["data"] for entry in ws.request("clipboard", add)["payload"]] == ["one"]


def test_what_was_missed_behind_a_bad_network_comes_once(wsflask_servers, wsflask_database, ada, app):
    served = wsflask_servers.gunicorn("shop:app", env={"SHOP_SERVED": wsflask_database})

    with Proxy(served.port, seed=7) as proxy:
        proxy.set(Faults(delay=(0.0, 0.05), cut_after=2.0, resets=0.3))
        client = served.client(app, port=proxy.port)
        client.login(ada)
        ws = client.connect()
        ws.expect("notifications", {"unread": 0})
        assert ws.expect_close() == 1006

        Notifier.notify(Notification(message="Hello", users=[ada.get_id()]))
        proxy.set(Faults())
        ws.reconnect()

        ws.expect("notifications", {"last": {"label": "Hello"}})
        ws.expect("stream", {"stream": "notifications", "state": "resumed", "missed": 1})
""",
}


def test_the_tests_of_an_application_run(tmp_path: Path) -> None:
    """In a process that nobody has patched, as an application's tests are."""
    for name, text in _PROJECT.items():
        (tmp_path / name).write_text(text)

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert " passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "skipped" not in ended.stdout, ended.stdout


@pytest.mark.parametrize(
    ("value", "pattern", "does_fit"),
    [
        ({"unread": 1, "last": {"id": "a"}}, {"unread": 1}, True),
        ({"unread": 1}, {"unread": True}, False),
        ({"unread": 1}, {"read": 1}, False),
        ({"last": {"id": "a", "label": "b"}}, {"last": {"label": "b"}}, True),
        ([1, 2], [1, 2], True),
        ([1, 2], [1], False),
        (None, {"unread": 1}, False),
        ("a", "a", True),
    ],
)
def test_a_pattern_names_what_counts(value: object, pattern: object, does_fit: bool) -> None:
    assert fits(value, pattern) is does_fit


def _told(state: str, epoch: str, seq: str) -> dict[str, object]:
    payload = {"stream": "publications", "channels": ["chat"], "state": state, "epoch": epoch, "missed": 0}
    return {"channel": "stream", "payload": payload, "seq": seq}


def test_what_was_received_before_is_left_out() -> None:
    places = Places()
    places.take(_told("loaded", "e", "5"))

    taken = [places.take({"channel": "chat", "payload": 0, "seq": seq}) for seq in ("5", "6", "6", "7")]

    assert taken == [False, True, False, True]
    assert places.added_to("ws://h/ws") == "ws://h/ws?resume=publications~e~7"


def test_a_reset_begins_anew_also_at_an_earlier_position() -> None:
    places = Places()
    places.take(_told("loaded", "e", "5"))
    places.take({"channel": "ping", "payload": {}, "seq": "9"})
    assert places.added_to("ws://h/ws?a=b") == "ws://h/ws?a=b&resume=publications~e~9"

    places.take(_told("reset", "f", "3"))

    assert places.take({"channel": "chat", "payload": 0, "seq": "4"})
    assert places.added_to("ws://h/ws") == "ws://h/ws?resume=publications~f~4"


def test_the_examples_of_the_documentation_are_those_that_run() -> None:
    blocks = (ROOT / "docs/testing.md").read_text().split("```python\n")[1:]
    examples = [block.partition("```")[0].rstrip("\n") for block in blocks]

    assert len(examples) == 5
    for example in examples:
        assert any(example in text for text in _PROJECT.values()), example
