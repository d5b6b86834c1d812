"""A response that wrote names a position; whoever has read up to it has read what was written."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import flask
import flask_login
import mongoengine
import pymongo
import pytest
from bson import Timestamp
from flask import Flask
from flask.testing import FlaskClient
from mongoengine import Document, IntField
from pymongo import WriteConcern
from pymongo.errors import AutoReconnect

from tests.harness import MS, Commands, Database
from wsflask import written
from wsflask.embedded import EmbeddedMongo
from wsflask.errors import ConfigError
from wsflask.server import WebSocketServer
from wsflask.written import POSITION_HEADER


class Entry(Document):
    meta = {"collection": "test_entries"}

    number = IntField()


class Reader(flask_login.UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


class Site:
    """An application whose views write, and a browser that is signed in."""

    def __init__(self, *, signed_in: bool = True, **config: Any) -> None:
        app = Flask("site")
        app.config.update({"SECRET_KEY": "k" * 32, **config})
        self.login = flask_login.LoginManager(app)
        self.login.user_loader(Reader)
        self.server = WebSocketServer(app, services=[])
        self.status = 200
        self.write_concern: Any = "majority"
        self.alias = "default"

        @app.route("/login", methods=["POST"])
        def login() -> str:
            flask_login.login_user(Reader("ada"))
            return "fine"

        @app.route("/entries", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        def entries() -> tuple[str, int]:
            concern = WriteConcern(w=self.write_concern)
            client: Any = mongoengine.get_connection(self.alias)
            with client.start_session(causal_consistency=True) as session:
                entries = mongoengine.get_db(self.alias).get_collection("entries", write_concern=concern)
                entries.insert_one({"number": 1}, session=session)
                self.written = session.operation_time
            return "fine", self.status

        @app.get("/by-hand")
        def by_hand() -> flask.Response:
            Entry(number=1).save()
            return self.server.stamp(flask.make_response("fine"))

        @app.post("/mine")
        @flask_login.login_required
        def mine() -> str:
            return "fine"

        self.app = app
        self.browser: FlaskClient = app.test_client()
        if signed_in:
            self.browser.post("/login")

    def position(self, method: str = "POST", path: str = "/entries", **more: Any) -> str | None:
        """Return the position that the response names."""
        return self.browser.open(path, method=method, **more).headers.get(POSITION_HEADER)


def time_of(position: str | None) -> Timestamp:
    assert position is not None
    assert len(position) == 20
    return Timestamp(int(position) >> 32, int(position) & 0xFFFFFFFF)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_response_that_may_have_written_names_a_position(database: Database, method: str) -> None:
    assert time_of(Site().position(method)).time == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("write_concern", [1, "majority"])
def test_the_position_is_never_before_the_write(database: Database, write_concern: Any) -> None:
    site = Site()
    site.write_concern = write_concern

    for _ in range(50):
        assert time_of(site.position()) >= site.written


def test_the_write_is_among_the_changes_up_to_the_position_and_positions_only_grow(database: Database) -> None:
    site = Site()
    with database.client[database.name].watch() as stream:
        positions = [time_of(site.position()) for _ in range(10)]
        changes = [stream.next()["clusterTime"] for _ in range(10)]

    assert positions == sorted(positions)
    assert all(change <= position for change, position in zip(changes, positions, strict=True))


def test_a_write_by_another_alias_to_the_same_server_is_covered(database: Database, mongo: EmbeddedMongo) -> None:
    name = f"test_{uuid4().hex[:12]}"
    other = mongoengine.connect(name, alias="other", host=mongo.uri_of(name), uuidRepresentation="standard")
    site = Site()
    site.alias = "other"

    assert time_of(site.position()) >= site.written
    other.drop_database(name)
    mongoengine.disconnect("other")


def test_a_view_that_writes_on_get_is_stamped_by_hand(database: Database) -> None:
    site = Site()

    assert site.position("GET") is None
    assert site.position("GET", "/by-hand") is not None


@pytest.mark.parametrize(("status", "is_told"), [(201, True), (302, True), (400, True), (409, True), (500, False)])
def test_whatever_is_no_failure_of_the_server_may_have_written(
    database: Database, status: int, *, is_told: bool
) -> None:
    site = Site()
    site.status = status

    assert (site.position() is not None) is is_told


def test_who_is_not_signed_in_is_told_nothing_and_costs_nothing(commands: Commands) -> None:
    site = Site(signed_in=False)
    commands.clear()

    assert site.position() is None
    assert "ping" not in commands.names


def test_it_costs_one_command_and_a_get_none(commands: Commands) -> None:
    site = Site()
    commands.clear()

    site.position("GET")
    before = commands.names.count("ping")
    site.position()

    assert (before, commands.names.count("ping")) == (0, 1)


def test_who_signs_in_with_each_request_is_signed_in(database: Database) -> None:
    site = Site(signed_in=False)
    site.login.request_loader(lambda request: Reader("ada") if "X-Token" in request.headers else None)

    assert site.position(path="/mine", headers={"X-Token": "1"}) is not None
    assert site.position(path="/mine") is None


def test_it_can_be_turned_off_but_for_what_is_stamped_by_hand(database: Database) -> None:
    site = Site(WSFLASK_POSITION_HEADER=False)

    assert site.position() is None
    assert site.position("GET", "/by-hand") is not None


def test_the_setting_is_true_or_false(database: Database) -> None:
    with pytest.raises(ConfigError, match="WSFLASK_POSITION_HEADER"):
        Site(WSFLASK_POSITION_HEADER="yes")


def test_a_feed_without_positions_of_the_database_names_none(database: Database) -> None:
    assert Site(WSFLASK_FEED="signals").position() is None


def test_a_standalone_server_knows_no_positions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer has no operation time."""
    site = Site()
    monkeypatch.setattr(pymongo.database.Database, "command", lambda *_, **__: {"ok": 1.0})

    assert site.position() is None


@pytest.mark.parametrize("error", [AutoReconnect("secret"), RuntimeError("secret")], ids=["database", "bug"])
def test_a_database_that_fails_takes_the_header_and_not_the_response(
    database: Database, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(pymongo.database.Database, "command", fail)
    answer = site.browser.post("/entries")

    assert (answer.status_code, answer.data) == (200, b"fine")
    assert POSITION_HEADER not in answer.headers
    assert "tells no position" in caplog.text


def test_an_application_without_the_default_alias_gets_no_header() -> None:
    mongoengine.disconnect_all()
    site = Site(signed_in=False)

    with site.app.test_request_context():
        assert POSITION_HEADER not in site.server.stamp(flask.Response("fine")).headers


def test_a_database_that_does_not_answer_is_waited_for_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mongoengine.disconnect_all()
    mongoengine.connect(host="mongodb://127.0.0.1:1/none", uuidRepresentation="standard")
    monkeypatch.setattr(written, "_PATIENCE", 200 * MS)
    site = Site(signed_in=False)

    started = time.monotonic()
    response = site.server.stamp(flask.Response("fine"))
    took = time.monotonic() - started
    mongoengine.disconnect_all()

    assert POSITION_HEADER not in response.headers
    assert took < 1000 * MS
    assert "tells no position" in caplog.text
