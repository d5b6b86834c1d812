"""An application with sign-in and one service that does what it is told."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import flask_login
import mongoengine
from flask import Flask, request
from mongoengine import BooleanField, Document, ListField, StringField

from wsflask.connection import Connection
from wsflask.errors import Refusal
from wsflask.hub import EVERYONE, Recipients
from wsflask.protocol.messages import Message
from wsflask.server import WebSocketServer
from wsflask.service import Service

#: The database's URI, and settings as JSON; `tests/test_server.py` gives both.
URI, CONFIG = "ECHO_MONGODB_URI", "ECHO_CONFIG"


class Person(Document, flask_login.UserMixin):
    """A user of the application."""

    name = StringField(primary_key=True)
    groups = ListField(StringField())
    title = StringField()
    active = BooleanField(default=True)

    @property
    def is_active(self) -> bool:
        return bool(self.active)


class Echo(Service):
    """Answer with the payload, unless it is an action."""

    channel = "echo"

    def on_connect(self, ws: Connection, user: Any) -> None:
        self.send(ws, {"hello": user.name})

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        if isinstance(message, dict) and "action" in message:
            return getattr(self, f"_{message.pop('action')}")(**message)
        return message

    def _fail(self) -> None:
        raise ValueError("secret of /etc/passwd")

    def _refuse(self, code: str) -> None:
        raise Refusal(code, "secret")

    def _pid(self) -> int:
        return os.getpid()

    def _clients(self) -> int:
        return len(self.server.hub.connections())

    def _sleep(self, seconds: float) -> str:
        time.sleep(seconds)
        return "awake"

    def _hang(self, seconds: float, stubborn: bool = False) -> str:
        """Keep the event loop to oneself; stubbornly: even when the worker is told to end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                sum(range(1000))
            except SystemExit:
                if not stubborn:
                    raise
        return "late"

    def _publish(self, payload: Any, users: list[str] | None = None, groups: list[str] | None = None) -> None:
        everyone = users is None and groups is None
        to = EVERYONE if everyone else Recipients(users=tuple(users or ()), groups=tuple(groups or ()))
        self.publish(payload, to=to)

    def _burst(self, count: int, size: int, seconds: float) -> str:
        """Send `count` messages of `size` bytes to every client of this worker, spread over some seconds."""
        filling = "x" * size
        started = time.monotonic()
        for number in range(count):
            hub = self.server.hub
            hub.send(Message(self.channel, {"number": number, "filling": filling}), hub.connections())
            due = started + seconds * (number + 1) / count
            time.sleep(max(0.0, due - time.monotonic()))
        return "sent"


def create_app(*services: type[Service]) -> Flask:
    """Return the application with these services; its database and settings come from the environment."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "k" * 32
    app.config.update(json.loads(os.environ.get(CONFIG, "{}")))
    mongoengine.connect(host=os.environ[URI], uuidRepresentation="standard", tz_aware=True)
    login = flask_login.LoginManager(app)
    login.user_loader(lambda name: Person.objects(name=name).first())

    @app.route("/login", methods=["GET", "POST"])
    def login_page() -> str:
        if request.method == "POST":
            name = request.form["username"]
            groups = [group for group in request.form.get("groups", "").split(",") if group]
            person = Person(name=name, groups=groups).save()
            flask_login.login_user(person, remember="remember" in request.form)
        return "fine"

    @app.route("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return "fine"

    @app.route("/")
    def page() -> str:
        return str(flask_login.current_user.get_id())

    WebSocketServer(app, services=services)
    return app


if URI in os.environ:
    app = create_app(Echo)
