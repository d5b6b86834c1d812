"""The application that has to survive: every service, with holes in which a test can hide a fault."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import flask_login
import gevent
import mongoengine
from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from benchmarks.cookies import SECRET_KEY
from wsflask import Broadcaster, Clipboard, Connection, Notifier, Presence, Service, WebSocketServer
from wsflask.live.subscriber import Subscriber

from .models import Item, Person

__all__ = ["LINGER", "SETTINGS", "TRAPS", "URI", "Chat", "create_app"]

#: The database; a folder in which files are traps; further settings as NAME=VALUE, one a line.
URI, TRAPS, SETTINGS = "FAULTS_MONGODB_URI", "FAULTS_TRAPS", "FAULTS_SETTINGS"
#: Seconds for which a tab that has lost its connection still counts as being here.
LINGER = 5.0


def _springs(name: str) -> bool:
    """Return whether a trap is laid; it springs once, in one worker."""
    folder = os.environ.get(TRAPS)
    try:
        if folder:
            Path(folder, name).unlink()
            return True
    except FileNotFoundError:
        pass
    return False


class Unencodable:
    """What fails when it is to be text."""

    def __str__(self) -> str:
        raise ValueError("an encoder that fails on purpose")


class Chat(Service):
    """A service of one's own: answers, and carries what is published."""

    channel = "chat"

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        if message == "boom":
            raise RuntimeError("a hook that fails on purpose")
        if message == "unencodable":
            return {"what": Unencodable()}
        return {"echo": message}

    def run(self) -> None:
        """Do nothing for ever; a trap ends it."""
        while not _springs("kill-chat"):
            gevent.sleep(0.05)
        raise RuntimeError("the service's greenlet ends on purpose")


class TrappedClipboard(Clipboard):
    """A clipboard whose worker dies between the database's word and the answer, when the trap is laid."""

    def _command(self, user: Any, command: str | None, make: Any) -> Any:
        state = super()._command(user, command, make)
        if command is not None and _springs("before-reply"):
            os.kill(os.getpid(), signal.SIGKILL)
        return state


def _items(user: Person) -> Any:
    return [{"fn": "region", "op": "in", "val": list(user.regions)}] if user.regions else None


def _behind(connection: Connection) -> float:
    """Return the seconds for which an open connection's client has lacked something."""
    outbox = connection._outbox
    return time.monotonic() - outbox.oldest if outbox and connection.is_open else 0.0


def _value(text: str) -> Any:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def create_app() -> Flask:
    """Return the application; the environment says what it is like."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    mongoengine.connect(host=os.environ[URI], uuidRepresentation="standard", tz_aware=True)
    app = Flask(__name__)
    app.config.update(SECRET_KEY=SECRET_KEY, WSFLASK_RECONNECT_SPREAD=1.0, WSFLASK_MESSAGES_PER_SECOND=1000.0)
    given = (line.partition("=") for line in os.environ.get(SETTINGS, "").splitlines() if line)
    app.config.update({name: _value(value) for name, _, value in given})
    manager = flask_login.LoginManager(app)
    manager.user_loader(lambda name: Person.objects(pk=name).first())
    presence = Presence(may_join=lambda user, room: room.startswith("room"), linger=LINGER)
    server = WebSocketServer(app, services=[Notifier, TrappedClipboard, Broadcaster, Chat, presence])
    server.expose(
        Item,
        fields=("number", "region", "version", "text"),
        hidden=("secret",),
        show_hidden=lambda user: bool(user.is_auditor),
        read=_items,
        label="text",
    )

    @app.get("/")
    def page() -> str:
        return "faults"

    @app.get("/state")
    def state() -> ResponseReturnValue:
        """Tell what this worker holds: each answer is another worker's, by chance."""
        gc.collect()
        # By type: to ask a weak proxy for its class fails when its object is gone.
        everything = [each for each in gc.get_objects() if issubclass(type(each), (gevent.Greenlet, Subscriber))]
        greenlets = sum(isinstance(each, gevent.Greenlet) and not each.dead for each in everything)
        subscriptions = sum(isinstance(each, Subscriber) for each in everything)
        counts = {"connections": len(server.hub), "greenlets": greenlets, "subscriptions": subscriptions}
        waiting = max((each.waiting_bytes for each in server.hub.connections()), default=0)
        behind = max(map(_behind, server.hub.connections()), default=0.0)
        return jsonify(pid=os.getpid(), time=time.time(), waiting=waiting, behind=behind, **counts)

    @app.post("/logout")
    @flask_login.login_required
    def logout() -> str:
        flask_login.logout_user()
        return "bye"

    return app


if URI in os.environ:
    app = create_app()
