"""Fixtures that every test may use."""

from gevent import monkey

monkey.patch_all()

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import mongoengine
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import harness
from tests.harness.shares import run_share
from wsflask import outage
from wsflask.embedded import EmbeddedMongo
from wsflask.errors import ConfigError


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Take part in a run that several processes share (`scripts/run_tests.py`)."""
    folder = os.environ.get("WSFLASK_TEST_SHARES")
    if folder is None or session.config.option.collectonly or session.testsfailed:
        return None
    run_share(session, Path(folder))
    return True


@pytest.fixture(scope="session")
def mongo() -> Iterator[EmbeddedMongo]:
    """A mongod (replica set) for the whole run; `mongo.uri_of(name)` is the URI of one of its databases."""
    folder = harness.data_folder()
    server = EmbeddedMongo(folder, mongod=os.environ.get("WSFLASK_MONGOD"))
    try:
        server.start()
    except ConfigError as error:
        shutil.rmtree(folder, ignore_errors=True)
        harness.missing(f"mongod: {error}")
    yield server
    server.stop(timeout=0)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(mongo: EmbeddedMongo) -> Iterator[harness.Database]:
    """A fresh database: MongoEngine's alias "default" is connected to it; it is dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    harness.disconnect()
    client = mongoengine.connect(host=mongo.uri_of(name), uuidRepresentation="standard", tz_aware=True)
    yield harness.Database(name=name, uri=mongo.uri_of(name), client=client)
    client.drop_database(name)
    harness.disconnect()


@pytest.fixture
def commands(mongo: EmbeddedMongo) -> Iterator[harness.Commands]:
    """The commands of a fresh database: MongoEngine's alias "default" is connected to it; it is dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    counted = harness.Commands()
    harness.disconnect()
    client = mongoengine.connect(host=mongo.uri_of(name), uuidRepresentation="standard", event_listeners=[counted])
    yield counted
    client.drop_database(name)
    harness.disconnect()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[harness.RedisServer]:
    """A redis-server for the whole run, if there is one on this machine: see `redis`."""
    server = harness.RedisServer()
    if shutil.which("redis-server"):
        server.start()
    yield server
    server.kill()


@pytest.fixture
def redis(redis_server: harness.RedisServer) -> harness.RedisServer:
    """A redis-server; what it holds of each database has a name of its own."""
    harness.require_program("redis-server")
    return redis_server


@pytest.fixture
def servers() -> Iterator[harness.Servers]:
    """Start web servers: `servers.gunicorn("module:app", workers=2, env={…})`; they end with the test."""
    with harness.Servers(harness.ROOT) as started:
        yield started


@pytest.fixture
def sockets() -> Iterator[harness.Sockets]:
    """Open websocket clients: `sockets.connect(url, cookie=…)`; they are closed with the test."""
    with harness.Sockets() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of one module; they share playwright's greenlets (mark `leaves_greenlets`)."""
    with sync_playwright() as playwright:
        path = harness.require_program("chromium", "chromium-browser", "google-chrome")
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(autouse=True)
def log_tells_all() -> None:
    """Have the first of each warning of an outage logged, whatever the tests before have said."""
    outage.forget()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a greenlet or a child process behind (mark `leaves_greenlets` exempts it)."""
    before = harness.Leftovers.now()
    yield
    if request.node.get_closest_marker("leaves_greenlets") is None:
        left = harness.Leftovers.since(before, timeout=3.0)
        assert not left, "left behind: " + ", ".join(left)
