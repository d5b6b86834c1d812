"""Fixtures for pytest: write `pytest_plugins = ["wsflask.testing.plugin"]` in the conftest.py at the top."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from uuid import uuid4

import mongoengine
import pytest
from flask import Flask

from ..embedded import EmbeddedMongo
from ..errors import ConfigError
from .live_server import LiveServer
from .servers import Servers
from .sockets import Sockets

__all__ = ["live_server", "wsflask_database", "wsflask_mongo", "wsflask_servers"]


@pytest.fixture(scope="session")
def wsflask_mongo() -> Iterator[EmbeddedMongo]:
    """A mongod, a replica set of one member, for the whole run; without one its tests are skipped.

    The program is that of WSFLASK_MONGOD, else the one on PATH, else the one of the extra `wsflask[testing]`.
    """
    with tempfile.TemporaryDirectory(prefix="wsflask-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedMongo(folder, mongod=os.environ.get("WSFLASK_MONGOD"))
        try:
            server.start()
        except ConfigError as error:
            pytest.skip(f"there is no mongod: {error}")
        yield server
        server.stop(timeout=0)


@pytest.fixture
def wsflask_database(wsflask_mongo: EmbeddedMongo) -> Iterator[str]:
    """The URI of an empty database, to which MongoEngine's alias "default" is connected; dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    uri = wsflask_mongo.uri_of(name)
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=uri, uuidRepresentation="standard", tz_aware=True)
    yield uri
    client.drop_database(name)
    mongoengine.disconnect_all()


@pytest.fixture
def live_server(app: Flask) -> Iterator[LiveServer]:
    """The application of your fixture `app`, behind real sockets; `live_server.client()` is a browser."""
    with LiveServer(app) as server:
        yield server


@pytest.fixture
def wsflask_servers() -> Iterator[Servers]:
    """Start web servers as processes: `wsflask_servers.gunicorn("shop:app", workers=2, env={…})`."""
    with Sockets() as sockets, Servers(sockets=sockets) as servers:
        yield servers
