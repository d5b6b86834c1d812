"""Faults between writers, the relay, Redis and its readers: nothing lost, nothing twice, nothing out of order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import mongoengine
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests import harness
from tests.feed_worker import SECRET
from tests.harness import PATIENCE, Database, RedisServer, wait_until
from wsflask.embedded import EmbeddedMongo
from wsflask.embedded.children import start_child, stop_child
from wsflask.errors import ConfigError
from wsflask.feed.epoch import read_epoch
from wsflask.feed.redis_stream import RedisStream, connect

#: Seconds of writing before and after a fault.
_USUAL = 1.0 * harness.MS * 1000
#: Seconds in which a fault has to be noticed, and changes have to come again.
_NOTICED = 2.0 * harness.MS * 1000


class Worker:
    """A process that follows the feed, and what it has told."""

    def __init__(self, mongodb_uri: str, redis_url: str) -> None:
        command = [sys.executable, "-m", "tests.feed_worker", mongodb_uri, redis_url, "feed_gates"]
        self.process = start_child(command, cwd=harness.ROOT, output=subprocess.PIPE)
        self.told: list[dict[str, Any]] = []
        self.rest: list[str] = []
        self.is_relay = self.follows_redis = False
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        for text in self.process.stdout or ():
            try:
                line = json.loads(text)
            except ValueError:
                self.rest.append(text.decode())
                continue
            if line["kind"] == "state":
                self.is_relay, self.follows_redis = line["is_relay"], line["follows_redis"]
            else:
                self.told.append(line)

    @property
    def ids(self) -> list[int]:
        return [line["id"] for line in self.told]

    def kill(self) -> None:
        self.process.kill()

    def freeze(self) -> None:
        harness.freeze(self.process.pid)

    def thaw(self) -> None:
        harness.thaw(self.process.pid)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        stop_child(self.process, timeout=0)
        self._reader.join(PATIENCE)
        if self.process.stdout:
            self.process.stdout.close()


class World:
    """Workers, and one who writes all the time."""

    def __init__(self, client: MongoClient[dict[str, Any]], uri: str, redis: RedisServer, name: str) -> None:
        self.redis = redis
        self.name = name
        self.client = client
        self.written: dict[int, float] = {}
        self.workers: list[Worker] = []
        self._uri = uri
        self._stopped = False
        self._writer = gevent.spawn(self._write)

    def _write(self) -> None:
        gates = self.client[self.name]["feed_gates"]
        number = 0
        while not self._stopped:
            began = time.monotonic()
            try:
                gates.update_one({"_id": number}, {"$setOnInsert": {"x": "x" * 100}}, upsert=True)
            except PyMongoError:
                gevent.sleep(0.05)
                continue
            self.written[number] = began
            number += 1
            gevent.sleep(0.003)

    def start(self, count: int) -> list[Worker]:
        workers = [Worker(self._uri, self.redis.url) for _ in range(count)]
        self.workers += workers
        wait_until(lambda: all(worker.told and worker.follows_redis for worker in workers), timeout=3 * PATIENCE)
        return workers

    @property
    def relay(self) -> Worker:
        found: list[Worker] = wait_until(lambda: [worker for worker in self.workers if worker.is_relay])
        return found[0]

    def settle(self, *workers: Worker) -> None:
        """Stop writing, and wait until the workers have told everything."""
        self._stopped = True
        self._writer.join(3 * PATIENCE)
        last = max(self.written)
        wait_until(lambda: all(last in worker.ids[-3:] for worker in workers), timeout=2 * PATIENCE, what="the last")

    def check(self, *workers: Worker) -> float:
        """Check what the workers told, and return the longest that any change was under way."""
        longest = 0.0
        for worker in workers:
            assert {line["kind"] for line in worker.told} == {"I"}, worker.rest
            assert worker.ids == list(range(worker.ids[0], max(self.written) + 1))
            seqs = [line["seq"] for line in worker.told]
            assert seqs == sorted(set(seqs))
            # what was written before the worker was there is told late
            delays = [line["at"] - self.written[line["id"]] for line in worker.told[50:]]
            longest = max(longest, *delays)
        return longest

    def stop(self) -> None:
        self._stopped = True
        self._writer.kill()
        for worker in self.workers:
            worker.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def world(database: Database, own_redis: RedisServer) -> Iterator[World]:
    world = World(database.client, database.uri, own_redis, database.name)
    yield world
    world.stop()


def stream_in(world: World) -> RedisStream:
    stream = RedisStream(connect(world.redis.url), SECRET, "a look", world.client.codec_options, 1)
    stream.belong_to(read_epoch(world.client, world.name))
    return stream


def is_whole(world: World) -> bool:
    """Whether every frame in Redis joins the one before."""
    stream = stream_in(world)
    frames = [stream.frame(entry, frozenset()) for entry in stream.after("0-0", most=100_000, wait=None)]
    stream.close()
    assert len(frames) > 10
    return all(frame.since <= before.reached for before, frame in pairwise(frames))


def test_a_relay_that_is_killed_loses_nothing(world: World) -> None:
    world.start(3)
    relay = world.relay
    gevent.sleep(_USUAL)
    relay.kill()
    relay.is_relay = False
    rest = [worker for worker in world.workers if worker is not relay]
    killed = time.monotonic()
    wait_until(lambda: any(worker.is_relay for worker in rest))
    elected = time.monotonic() - killed
    gevent.sleep(_USUAL)
    wait_until(lambda: all(worker.follows_redis for worker in rest))

    world.settle(*rest)
    longest = world.check(*rest)
    print(f"relay killed: changes came again after {longest:.2f} s, another relay wrote after {elected:.2f} s")  # noqa: T201
    assert longest < _NOTICED
    assert is_whole(world)


def test_a_relay_that_wakes_up_appends_nothing(world: World) -> None:
    world.start(2)
    relay = world.relay
    other = next(worker for worker in world.workers if worker is not relay)
    gevent.sleep(_USUAL)
    relay.freeze()
    wait_until(lambda: other.is_relay)
    gevent.sleep(2 * _USUAL)
    relay.thaw()
    gevent.sleep(_USUAL)
    wait_until(lambda: not relay.is_relay and relay.follows_redis)

    world.settle(relay, other)
    assert other.is_relay
    assert world.check(other) < _NOTICED
    world.check(relay)
    assert is_whole(world)


def forget(world: World) -> None:
    world.redis.client.flushall()


def restart(world: World) -> None:
    world.redis.kill()
    gevent.sleep(0.5)
    world.redis.start()


def freeze(world: World) -> None:
    world.redis.freeze()
    gevent.sleep(5 * _USUAL)
    world.redis.thaw()


def take_back(world: World) -> None:
    """Leave what an older replica would have: the last entries are gone."""
    key = stream_in(world).key
    for place, _ in world.redis.client.xrevrange(key, count=50):
        world.redis.client.xdel(key, place)


def trim(world: World) -> None:
    """Take away what a worker has not read yet."""
    slow = next(worker for worker in world.workers if not worker.is_relay)
    slow.freeze()
    gevent.sleep(0.5)
    world.redis.client.xtrim(stream_in(world).key, maxlen=1, approximate=False)
    slow.thaw()


@pytest.mark.parametrize("fault", [forget, restart, freeze, take_back, trim])
def test_whatever_happens_to_redis_nothing_is_lost(world: World, fault: Callable[[World], None]) -> None:
    world.start(3)
    gevent.sleep(_USUAL)
    fault(world)
    gevent.sleep(_USUAL)
    wait_until(lambda: all(worker.follows_redis for worker in world.workers), timeout=2 * PATIENCE)
    gevent.sleep(_USUAL)
    world.settle(*world.workers)

    longest = world.check(*world.workers)
    print(f"{fault.__name__}: the longest that a change was under way: {longest:.2f} s")  # noqa: T201
    assert longest < _NOTICED
    assert sum(worker.is_relay for worker in world.workers) == 1
    assert sum(len(worker.rest) for worker in world.workers) < 20


def test_workers_without_redis_work_and_find_it_later(world: World) -> None:
    world.redis.kill()
    workers = [Worker(world._uri, world.redis.url) for _ in range(2)]
    world.workers += workers
    wait_until(lambda: all(worker.told for worker in workers), timeout=2 * PATIENCE)
    world.redis.start()
    wait_until(lambda: all(worker.follows_redis for worker in workers))
    gevent.sleep(_USUAL)

    world.settle(*workers)
    world.check(*workers)


@pytest.fixture
def own_mongo() -> Iterator[EmbeddedMongo]:
    folder = Path(tempfile.mkdtemp(prefix="wsflask-tests-", dir=harness.fast_folder()))
    server = EmbeddedMongo(folder, mongod=os.environ.get("WSFLASK_MONGOD"))
    try:
        server.start()
    except ConfigError as error:
        harness.missing(f"mongod: {error}")
    yield server
    server.stop(timeout=0)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_primary_that_steps_down_behind_the_relay_loses_nothing(
    own_mongo: EmbeddedMongo, own_redis: RedisServer
) -> None:
    uri = own_mongo.uri_of("step")
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=uri, uuidRepresentation="standard")
    world = World(client, uri, own_redis, "step")
    try:
        world.start(2)
        gevent.sleep(_USUAL)
        client.admin.command("replSetStepDown", 2, force=True)
        before = len(world.written)
        wait_until(lambda: len(world.written) > before + 100, timeout=6 * PATIENCE)
        wait_until(lambda: all(worker.follows_redis for worker in world.workers), timeout=2 * PATIENCE)
        gevent.sleep(_USUAL)

        world.settle(*world.workers)
        world.check(*world.workers)
    finally:
        world.stop()
        mongoengine.disconnect_all()
