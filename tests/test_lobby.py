"""Where handshakes wait for their turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import flask_login
import gevent
import gevent.event
import pytest
from flask import Blueprint, Flask, abort, request
from gevent.pywsgi import WSGIServer

from tests.harness import Commands, wait_until
from tests.harness.raw import RawClient
from wsflask.server import WebSocketServer

HEADERS = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Lounge:
    """An application whose handshakes come one at a time, and who has come as far as its hooks."""

    def __init__(self, *, prefix: str = "", **settings: Any) -> None:
        self.app = Flask("lounge")
        self.app.config.update(SECRET_KEY="k" * 32, WSFLASK_HANDSHAKES_AT_ONCE=1, **settings)
        self.begun: list[str] = []
        login = flask_login.LoginManager(self.app)
        login.request_loader(self._load)
        #: Until it rings nobody's user is found.
        self.bell = gevent.event.Event()
        self.bell.set()

        self.app.add_url_rule("/", view_func=lambda: "a page")

        @self.app.before_request
        def note() -> None:
            self.begun.append(request.path)
            if "Unwanted" in request.headers:
                abort(401)

        self.server = WebSocketServer(services=[])
        if prefix:
            parent = Blueprint("parent", __name__, url_prefix=prefix)
            parent.register_blueprint(self.server.blueprint)
            self.app.register_blueprint(parent)
        else:
            self.server.init_app(self.app)

    def _load(self, _: Any) -> Any:
        self.bell.wait(5.0)
        return SimpleNamespace(get_id=lambda: "ann", is_authenticated=True)

    def shake(self, path: str = "/wsflask/ws", *, sock: Any = None, **headers: str) -> int:
        """Return the status of a handshake that the application refuses, if it gets it."""
        given = {"gunicorn.socket": sock} if sock is not None else {}
        client = self.app.test_client()
        return client.get(path, headers=HEADERS | {"Unwanted": "1"} | headers, environ_overrides=given).status_code


@pytest.fixture
def lounge(commands: Commands) -> Iterator[Lounge]:
    lounge = Lounge()
    yield lounge
    lounge.server.stop()


def test_a_handshake_waits_before_the_application_has_begun_with_it(lounge: Lounge) -> None:
    turn = lounge.server.gate.enter(0.0)
    waiting = gevent.spawn(lounge.shake)
    assert wait_until(lambda: len(lounge.server.gate) == 1)

    assert lounge.app.test_client().get("/").status_code == 200  # other requests do not wait
    assert lounge.begun == ["/"]
    assert turn
    turn.end()

    assert waiting.get(timeout=5.0) == 401
    assert lounge.begun[-1] == "/wsflask/ws"


def test_who_is_refused_by_the_application_gives_its_place_back(lounge: Lounge) -> None:
    assert [lounge.shake() for _ in range(3)] == [401, 401, 401]
    assert lounge.server.gate.enter(0.0)


def test_the_lobby_is_where_the_blueprint_is(commands: Commands) -> None:
    lounge = Lounge(prefix="/inner/")
    turn = lounge.server.gate.enter(0.0)
    waiting = gevent.spawn(lounge.shake, "/inner/wsflask/ws")
    assert wait_until(lambda: len(lounge.server.gate) == 1)
    assert lounge.begun == []
    assert turn
    turn.end()
    assert waiting.get(timeout=5.0) == 401


def test_of_those_who_left_the_application_hears_nothing(lounge: Lounge) -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        turn = lounge.server.gate.enter(0.0)
        waiting = gevent.spawn(lounge.shake, sock=ours)
        assert wait_until(lambda: len(lounge.server.gate) == 1)
        theirs.close()
        assert turn
        turn.end()

        assert waiting.get(timeout=5.0) == 503
        assert lounge.begun == []
    assert lounge.shake() == 401  # the place is free again


def test_who_waits_while_the_server_ends_is_told_so_at_once(lounge: Lounge) -> None:
    turn = lounge.server.gate.enter(0.0)
    waiting = [gevent.spawn(lounge.shake) for _ in range(3)]
    assert wait_until(lambda: len(lounge.server.gate) == 3)
    lounge.server.drain()
    assert gevent.spawn(lounge.shake).get(timeout=5.0) == 503  # without a wait
    assert turn
    turn.end()

    assert [each.get(timeout=5.0) for each in waiting] == [503, 503, 503]
    assert lounge.begun == []


def test_who_comes_past_the_lobby_waits_all_the_same(commands: Commands) -> None:
    lounge, path = Lounge(), "//wsflask/ws"  # which werkzeug takes for the same
    lounge.bell.clear()
    with serving(lounge) as port:
        first = RawClient(port)
        first.ask(port, path)
        assert wait_until(lambda: lounge.begun)
        second = RawClient(port)
        second.ask(port, path)
        assert wait_until(lambda: len(lounge.server.gate) == 1)
        lounge.bell.set()
        with first, second:
            assert first.read_head().startswith(b"HTTP/1.1 101 ")
            assert second.read_head().startswith(b"HTTP/1.1 101 ")
            assert wait_until(lambda: len(lounge.server.hub) == 2)


def test_two_lobbies_on_one_path_are_one(commands: Commands) -> None:
    lounge = Lounge()
    other = Blueprint("other", __name__)
    other.register_blueprint(lounge.server.blueprint, name="again")
    lounge.app.register_blueprint(other)

    assert lounge.shake() == 401
    assert lounge.server.gate.enter(0.0)


def test_what_is_no_handshake_takes_no_place(lounge: Lounge) -> None:
    """Its body may come byte by byte, and a hook may wait for all of it."""
    turn = lounge.server.gate.enter(0.0)
    assert turn

    client, headers = lounge.app.test_client(), HEADERS | {"Unwanted": "1"}
    assert client.post("/wsflask/ws", headers=headers, data=b"x").status_code == 401
    assert client.get("/wsflask/ws", headers=headers | {"Upgrade": "h2c"}).status_code == 401


def test_as_many_get_in_as_there_is_room_for(commands: Commands) -> None:
    lounge = Lounge(WSFLASK_MAX_CONNECTIONS=3)
    lounge.bell.clear()
    with serving(lounge) as port:
        clients = [RawClient(port) for _ in range(4)]
        clients[0].ask(port)
        assert wait_until(lambda: lounge.begun)
        for client in clients[1:]:
            client.ask(port)
        assert wait_until(lambda: len(lounge.server.gate) == 3)
        lounge.bell.set()
        heads = [client.read_head()[:12] for client in clients]
        assert wait_until(lambda: len(lounge.server.hub) == heads.count(b"HTTP/1.1 101"))
        for client in clients:
            client.close()

    assert heads[0] == b"HTTP/1.1 101"  # those who waited behind it took no room from it
    assert heads.count(b"HTTP/1.1 101") >= 3


@contextmanager
def serving(lounge: Lounge) -> Iterator[int]:
    """Serve the application with pywsgi; yield the port."""
    http = WSGIServer(("127.0.0.1", 0), lounge.app, log=None)
    http.start()
    try:
        yield http.server_port or 0
    finally:
        wait_until(lambda: not len(lounge.server.hub))
        lounge.server.stop()
        http.stop()


@pytest.mark.parametrize("transport", ["parked", "threaded"])
def test_a_socket_that_lives_keeps_nobody_waiting(transport: str, commands: Commands) -> None:
    lounge = Lounge(WSFLASK_TRANSPORT=transport)
    with serving(lounge) as port:
        clients = [RawClient(port) for _ in range(3)]
        for client in clients:
            client.open(port, None)
        assert wait_until(lambda: len(lounge.server.hub) == 3)
        assert lounge.server.gate.enter(0.0)
        for client in clients:
            client.close()
