"""Who is here, across gunicorn's workers: killed, frozen, ended, and a store that is away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests import harness
from tests.harness import Servers, Sockets, WebSocketClient, wait_until
from tests.presence_shelves import KINDS
from wsflask.embedded import EmbeddedMongo

CHANNEL = "presence"


class Room:
    """Clients in the room "" and what each was told."""

    def __init__(self, server: harness.WebServer, sockets: Sockets) -> None:
        self.server, self.sockets = server, sockets
        self.cookies: dict[str, str] = {}
        self.clients: dict[str, WebSocketClient] = {}

    def join(self, user: str) -> WebSocketClient:
        """Connect the user's tab, again if it was, and have it join."""
        if user not in self.cookies:
            self.cookies[user] = harness.login(self.server.base_url, user)
        client = self.sockets.connect(self.server.ws_url, cookie=self.cookies[user])
        client.expect("welcome")
        answer = client.request(CHANNEL, {"action": "join", "data": {"room": "", "tab": "t"}})
        assert answer["payload"]["you"] == user, answer
        self.clients[user] = client
        return client

    def known_to(self, user: str) -> set[str]:
        """Return who is here by what the user's client was told."""
        self.read()
        here: set[str] = set()
        for payload in self.told(user):
            if "members" in payload:
                here = {each["user"] for each in payload["members"]}
            else:
                here |= {each["user"] for each in payload["joined"]}
                here -= set(payload["left"])
        return here

    def left(self, user: str) -> list[str]:
        """Return who has left by what the user's client was told."""
        self.read()
        return [name for payload in self.told(user) for name in payload.get("left", ())]

    def told(self, user: str) -> list[dict[str, Any]]:
        return [one["payload"] for one in self.clients[user].messages if one["channel"] == CHANNEL]

    def read(self) -> None:
        for client in self.clients.values():
            while client.receive(0.001) is not None:
                pass

    def lost(self) -> list[str]:
        """Return whose connection has ended."""
        self.read()
        return [user for user, client in self.clients.items() if client.close_code is not None]

    def fill(self) -> None:
        """Have four users and more on each of two workers; everybody knows of all."""
        number = 0
        while number < 12 or min(_connections_of(pid, self.server.port) for pid in self.server.workers()) < 4:
            assert number < 60, "one worker takes them all"
            self.join(f"u{number}")
            number += 1
        wait_until(lambda: all(self.known_to(user) == self.clients.keys() for user in self.clients))


def _connections_of(pid: int, port: int) -> int:
    """Return how many connections to the port a process has."""
    opened = {os.readlink(each.path) for each in os.scandir(f"/proc/{pid}/fd") if os.path.islink(each.path)}
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" and f"socket:[{row[9]}]" in opened for row in rows)


@pytest.fixture(params=KINDS)
def room(
    request: pytest.FixtureRequest,
    database: harness.Database,
    redis_server: harness.RedisServer,
    servers: Servers,
    sockets: Sockets,
) -> Room:
    shelf = KINDS[request.param](redis_server)
    shelf.close()
    config = {f"WSFLASK_{name.upper()}": value for name, value in shelf.settings.items()}
    env = {"WSFLASK_MONGODB_URI": database.uri, "ROOMS_CONFIG": json.dumps(config)}
    return Room(servers.gunicorn("tests.apps.rooms:app", workers=2, env=env, arguments=("--timeout", "120")), sockets)


def test_who_joins_on_one_worker_is_seen_on_the_other(room: Room) -> None:
    room.fill()

    assert len({*room.server.workers()}) == 2
    assert all(room.left(user) == [] for user in room.clients)


def test_of_a_killed_worker_those_leave_who_do_not_come_back(room: Room) -> None:
    room.fill()

    os.kill(room.server.workers()[0], signal.SIGKILL)
    killed = time.monotonic()
    lost = wait_until(room.lost)
    time.sleep(0.3)
    lost = room.lost()
    back, gone = set(lost[::2]), set(lost[1::2])
    for user in lost:
        del room.clients[user]
    for user in back:
        room.join(user)
    observer = next(user for user in room.clients if user not in back)
    wait_until(lambda: gone <= set(room.left(observer)), timeout=20, what=f"{gone} to leave")

    assert gone
    assert back
    assert 5.0 < time.monotonic() - killed < 15.0
    for user in room.clients:
        wait_until(lambda user=user: room.known_to(user) == room.clients.keys())  # type: ignore[misc]
        assert not set(room.left(user)) & (back | room.clients.keys())


def test_a_worker_that_was_frozen_writes_its_entries_again(room: Room) -> None:
    room.fill()
    frozen, other = room.server.workers()

    harness.freeze(frozen)
    try:
        everybody = set(room.clients)
        observer = wait_until(lambda: next((u for u in room.clients if room.left(u)), None), timeout=20)
        absent = set(room.left(observer))
        assert absent < everybody
    finally:
        harness.thaw(frozen)

    wait_until(lambda: all(room.known_to(user) == everybody for user in everybody), what="all of them to be back")
    assert other in room.server.workers()
    assert room.lost() == []


def test_in_a_deploy_nobody_leaves_who_comes_back(room: Room) -> None:
    room.fill()
    before = room.server.workers()

    room.server.signal(signal.SIGHUP)
    told: dict[str, list[str]] = {}
    users = set(room.clients)

    def is_over() -> bool:
        for user in room.lost():
            told.setdefault(user, []).extend(room.left(user))
            with suppress(websocket.WebSocketException, AssertionError):  # it reached the worker that ends
                room.join(user)
        return not set(before) & set(room.server.workers()) and not room.lost()

    wait_until(is_over, timeout=30)
    time.sleep(6)

    assert all(told.get(user, []) + room.left(user) == [] for user in users)


# --- the store


@pytest.fixture
def own_mongo() -> Iterator[EmbeddedMongo]:
    """A mongod to be frozen."""
    folder = harness.data_folder()
    server = EmbeddedMongo(folder, mongod=os.environ.get("WSFLASK_MONGOD"))
    server.start()
    yield server
    server.stop(timeout=0)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_redis() -> Iterator[harness.RedisServer]:
    """A redis-server to be frozen."""
    with harness.RedisServer() as server:
        yield server


@pytest.mark.parametrize("is_redis", [False, True])
def test_nobody_leaves_while_the_store_is_away(
    own_mongo: EmbeddedMongo, own_redis: harness.RedisServer, servers: Servers, sockets: Sockets, is_redis: bool
) -> None:
    config = {"WSFLASK_REDIS_URL": own_redis.url} if is_redis else {}
    env = {"WSFLASK_MONGODB_URI": own_mongo.uri_of("rooms"), "ROOMS_CONFIG": json.dumps(config)}
    room = Room(servers.gunicorn("tests.apps.rooms:app", workers=2, env=env), sockets)
    room.fill()
    pid = own_redis.pid if is_redis else own_mongo.pid
    assert pid is not None

    harness.freeze(pid)
    try:
        time.sleep(14)  # longer than a lease
    finally:
        harness.thaw(pid)
    time.sleep(6)
    assert all(room.left(user) == [] for user in room.clients)

    gone = room.clients.pop("u0")
    gone.close()
    wait_until(lambda: all(room.left(user) == ["u0"] for user in room.clients), timeout=20)
