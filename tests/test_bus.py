"""Messages past the database: heard by all who listen, once, in order, and only ours."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import mongoengine
import pytest
from bson import ObjectId, encode
from pymongo.errors import PyMongoError

from tests import harness
from tests.harness import PATIENCE, Database, RedisServer, wait_until
from wsflask.config import Settings
from wsflask.documents import KeptPublication, Publication
from wsflask.errors import ConfigError
from wsflask.feed import bus as bus_module
from wsflask.feed import create_bus
from wsflask.feed.bus import Bus
from wsflask.hub import Hub, Recipients
from wsflask.service import Service

SECRET = b"of all workers"


class Heard(list[dict[str, Any]]):
    """What a listener heard, and the listener."""

    def __init__(self, url: str, secret: bytes = SECRET) -> None:
        super().__init__()
        self.bus = Bus(url, secret, self.append)

    @property
    def numbers(self) -> list[int]:
        return [message["n"] for message in self]


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def listen(database: Database) -> Iterator[Callable[..., Heard]]:
    started: list[Heard] = []

    def start(redis: RedisServer, **options: Any) -> Heard:
        heard = Heard(redis.url, **options)
        heard.bus.start()
        started.append(heard)
        return heard

    yield start
    for heard in started:
        heard.bus.stop()


Listen = Callable[..., Heard]


def message(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "n": number, **fields}


def test_everybody_who_listens_hears_everything_in_order(listen: Listen, redis: RedisServer) -> None:
    one = listen(redis)
    assert one.bus.publish(message(-1))
    wait_until(lambda: one.numbers == [-1])
    two = listen(redis)

    assert all(one.bus.publish(message(number)) for number in range(500))

    wait_until(lambda: len(one) == 501 and len(two) == 500)
    assert one.numbers == list(range(-1, 500))
    assert two.numbers == list(range(500))


def test_it_is_fast(listen: Listen, redis: RedisServer) -> None:
    heard = listen(redis)
    began = time.monotonic()
    for number in range(50):
        heard.bus.publish(message(number))
        wait_until(lambda: len(heard) > number)  # noqa: B023

    assert time.monotonic() - began < PATIENCE / 5


def test_what_others_write_is_not_heard(
    listen: Listen, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    heard, other = listen(redis), listen(redis, secret=b"another")
    other.bus.publish(message(1))
    key, _ = heard.bus._placed()
    redis.client.xadd(key, {"b": b"x" * 16 + encode({"m": message(2), "t": time.time()})})
    redis.client.xadd(key, {"other": b""})
    heard.bus.publish(message(3))

    wait_until(lambda: heard.numbers == [3])
    assert "none of our workers" in caplog.text


def test_what_was_heard_is_not_heard_again(listen: Listen, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = listen(redis)
    key, _ = heard.bus._placed()
    twice = message(1)
    heard.bus.publish(twice)
    heard.bus.publish(twice)
    for _, fields in redis.client.xrange(key):
        redis.client.xadd(key, fields)
    monkeypatch.setattr("time.time", lambda now=time.time: now() - 8000)
    heard.bus.publish(message(2))
    monkeypatch.undo()
    heard.bus.publish(message(3))

    wait_until(lambda: 3 in heard.numbers)
    assert heard.numbers == [1, 3]
    assert not heard.bus.is_new(twice["_id"])


def test_a_listener_that_fails_hears_the_next(database: Database, redis: RedisServer) -> None:
    heard: list[int] = []

    def hear(message: dict[str, Any]) -> None:
        heard.append(message["n"])
        raise ValueError("a bug")

    bus = Bus(redis.url, SECRET, hear)
    bus.start()
    for number in range(3):
        bus.publish(message(number))
    wait_until(lambda: heard == [0, 1, 2])
    bus.stop()
    bus.stop()


def test_a_database_that_answers_nothing_delays_neither_start_nor_publishing_for_long(redis: RedisServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        harness.disconnect()
        mongoengine.connect(host=f"mongodb://127.0.0.1:{silent.getsockname()[1]}/x", uuidRepresentation="standard")
        bus = Bus(redis.url, SECRET, print)
        began = time.monotonic()
        bus.start()
        started = time.monotonic()
        with pytest.raises(PyMongoError):
            bus.publish(message(1))
        published = time.monotonic()
        bus.stop()
        harness.disconnect()

    assert started - began < 5
    assert published - started < 10


def test_large_messages_are_left_to_the_database(listen: Listen, redis: RedisServer) -> None:
    heard = listen(redis)

    assert not heard.bus.publish(message(1, x="x" * 20_000))
    assert heard.bus.publish(message(2))


def test_redis_holds_only_so_many(listen: Listen, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "_HELD", 100)
    heard = listen(redis)
    for number in range(1000):
        heard.bus.publish(message(number))

    assert redis.client.xlen(heard.bus._placed()[0]) < 300


def test_without_redis_it_says_so_at_once_and_is_there_when_redis_is(
    listen: Listen, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bus_module, "_AWAY", 0.2)
    heard = listen(own_redis)
    assert heard.bus.publish(message(1))
    wait_until(lambda: heard.numbers == [1])
    own_redis.kill()
    began = time.monotonic()

    assert [heard.bus.publish(message(2)) for _ in range(100)] == [False] * 100
    assert time.monotonic() - began < PATIENCE / 5
    own_redis.start()
    wait_until(lambda: heard.bus.publish(message(3)))
    wait_until(lambda: 3 in heard.numbers)
    assert len(caplog.records) < 5


def test_a_frozen_redis_holds_up_one_publication_for_a_second(listen: Listen, own_redis: RedisServer) -> None:
    heard = listen(own_redis)
    heard.bus.publish(message(1))
    own_redis.freeze()
    began = time.monotonic()

    assert [heard.bus.publish(message(2)) for _ in range(100)] == [False] * 100
    own_redis.thaw()
    assert 0.5 < time.monotonic() - began < PATIENCE / 4


def test_one_that_starts_without_redis_listens_later(
    listen: Listen, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.kill()
    heard = listen(own_redis)
    assert "can not be listened to yet" in caplog.text
    own_redis.start()
    time.sleep(0.5)
    wait_until(lambda: heard.bus.publish(message(1)))

    wait_until(lambda: heard.numbers == [1])


def test_there_is_a_bus_where_there_is_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert create_bus(Settings(), SECRET, print) is None
    monkeypatch.setitem(__import__("sys").modules, "wsflask.feed.bus", None)
    with pytest.raises(ConfigError, match="pip install"):
        create_bus(Settings(redis_url="redis://127.0.0.1:1"), SECRET, print)


# --- what services publish


class Desk(Service):
    channel = "desk"


class Host:
    """As much of a server as publishing needs."""

    exposures: Any = None
    feed: Any = None
    secret = SECRET

    def __init__(self, bus: Bus | None) -> None:
        self.bus = bus
        self.hub = Hub()
        self.settings = Settings()

    def render_row(self, template: str, name: str, row: dict[str, Any]) -> str:
        return ""


def test_what_is_not_kept_goes_through_redis(listen: Listen, redis: RedisServer) -> None:
    heard = listen(redis)
    desk = Desk(Host(heard.bus))

    desk.publish({"n": 1}, to=Recipients(users=("ann",), groups=("crew",)))

    wait_until(lambda: len(heard) == 1)
    assert (heard[0]["channel"], heard[0]["payload"], heard[0]["everyone"]) == ("desk", '{"n":1}', False)
    assert (heard[0]["users"], heard[0]["groups"]) == (["ann"], ["crew"])
    assert Publication.objects.count() == 0


def test_what_is_kept_or_in_a_transaction_goes_through_the_database(
    listen: Listen, redis: RedisServer, database: Database
) -> None:
    heard = listen(redis)
    desk = Desk(Host(heard.bus))
    for document_class in (Publication, KeptPublication):
        document_class.ensure_indexes()

    desk.publish(1, keep=60.0)
    with database.client.start_session() as session, session.start_transaction():
        desk.publish(2, session=session)
        session.abort_transaction()
    with database.client.start_session() as session, session.start_transaction():
        desk.publish(3, session=session)
    desk.publish("x" * 20_000)

    assert [each.payload for each in KeptPublication.objects] == ["1"]
    assert [len(each.payload) for each in Publication.objects] == [1, 20_002]
    assert not heard


def test_without_redis_it_goes_through_the_database(
    listen: Listen, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    own_redis.kill()
    desk = Desk(Host(listen(own_redis).bus))

    desk.publish(1)

    assert [each.payload for each in Publication.objects] == ["1"]
