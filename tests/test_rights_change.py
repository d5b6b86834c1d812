"""A change of a user counts at once, for every connection, in every worker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import flask
import flask_login
import gevent
import mongoengine
import pytest
from flask import Flask
from mongoengine import BooleanField, Document, ListField, StringField
from pymongo.errors import AutoReconnect

from tests import harness
from tests.apps.echo import CONFIG, URI, Person
from tests.harness import MS, Commands, Database, login, wait_until
from tests.harness.links import MemoryLink
from wsflask.connection import Connection
from wsflask.documents import Notification
from wsflask.embedded import EmbeddedMongo
from wsflask.feed.base import Gap
from wsflask.hub import Recipients
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.server import WebSocketServer
from wsflask.service import Service
from wsflask.services.notifier import Notifier
from wsflask.tasks import spawn

#: Seconds within which a change has to count.
SOON = 1000 * MS


class Member(Document, flask_login.UserMixin):
    """A user; his token is his id for Flask-Login, if he has one."""

    meta = {"collection": "test_members", "strict": False, "allow_inheritance": True}

    name = StringField(primary_key=True)
    title = StringField()
    groups = ListField(StringField())
    active = BooleanField(default=True)
    token = StringField()

    @property
    def is_active(self) -> bool:
        return bool(self.active)

    def get_id(self) -> str:
        return str(self.token or self.name)


class Guest(flask_login.UserMixin):
    """A user who is no document."""

    def __init__(self, name: str, *groups: str) -> None:
        self.id = name
        self.groups = groups


class Judge(Service):
    """Notes whose rights it has to judge, and does what a test says."""

    channel = "judge"

    def __init__(self) -> None:
        super().__init__()
        self.judged: list[tuple[Connection, Any, frozenset[str]]] = []
        self.on_judging: Callable[[], None] = lambda: None
        self.on_greeting: Callable[[], None] = lambda: None
        self.on_saying: Callable[[], None] = lambda: None

    def on_connect(self, ws: Connection, user: Any) -> None:
        self.on_greeting()

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        self.on_saying()

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        self.judged.append((ws, user, ws.groups))
        assert flask.current_app.name == "guild"
        self.on_judging()

    def of(self, ws: Connection) -> list[Any]:
        """Return the titles with which the connection was judged."""
        return [user.title for judged, user, _ in self.judged if judged is ws]


class Seat(MemoryLink):
    """A socket in memory; work beside the caller is done there."""

    def beside(self, work: Callable[[], None]) -> None:
        spawn("seat", work)


class Guild:
    """One worker: its server, feed and database are real, the sockets are not."""

    def __init__(self, *services: Service, **settings: Any) -> None:
        app = Flask("guild")
        app.config.update({"SECRET_KEY": "k" * 32, **settings})
        self.login = flask_login.LoginManager(app)
        self.login.user_loader(lambda name: Member.objects(name=name).first())
        self.judge = Judge()
        self.server = WebSocketServer(app, services=[*services, self.judge])
        self.people = self.server._people

    def identity(self, user: Any) -> Identity:
        """Return who a handshake of the user belongs to, as it finds out now."""
        return self.server.sessions._identity(user, user.get_id(), f"s-{user.get_id()}")

    def enter(self, user: Any, *, identity: Identity | None = None) -> Connection:
        """Return the connection of a client that is connected and greeted, in quiet."""
        connection = self.server.handler(Seat(), identity=identity or self.identity(user))
        connection._link.owner = connection
        connection.start()
        return connection

    def settle(self) -> None:
        """Wait until the first clients were judged, as those are who come while the feed begins to be followed."""
        wait_until(lambda: self.people._since[True] and (not self.people._classes or self.people._since[False]))
        gevent.sleep(250 * MS)
        self.judge.judged.clear()


@pytest.fixture
def guild(database: Database) -> Iterator[Guild]:
    guild = Guild()
    guild.server.start()
    yield guild
    guild.server.stop()


def member(name: str = "ada", **fields: Any) -> Member:
    user = Member(name=name, **fields)
    user.save()
    return user


def link_of(connection: Connection) -> MemoryLink:
    link = connection._link
    assert isinstance(link, MemoryLink)
    return link


# --- the identity and the index by groups


def test_a_change_of_the_document_counts_on_every_connection_of_the_user_and_no_other(guild: Guild) -> None:
    ada, bob = member(groups=["staff"]), member("bob", groups=["staff"])
    first, second, other = guild.enter(ada), guild.enter(ada), guild.enter(bob)
    guild.settle()

    started = time.monotonic()
    Member._get_collection().update_one({"_id": "ada"}, {"$set": {"title": "boss", "groups": ["crew"]}})
    wait_until(lambda: len(guild.judge.judged) == 2)
    took = time.monotonic() - started

    assert took < SOON
    assert guild.judge.of(first) == guild.judge.of(second) == ["boss"]
    assert {groups for _, _, groups in guild.judge.judged} == {frozenset({"crew"})}
    assert first.user.title == "boss"
    assert first.identity.session_id == "s-ada"
    hub = guild.server.hub
    assert hub.select(Recipients(groups=("crew",))) == [first, second]
    assert hub.select(Recipients(groups=("staff",))) == [other]
    for connection in (first, second, other):
        connection.peer_gone()
    assert hub._by_group == {}


def test_a_change_that_leaves_the_user_as_he_was_is_told_to_nobody(guild: Guild) -> None:
    ada = guild.enter(member())
    guild.settle()

    Member._get_collection().update_one({"_id": "ada"}, {"$set": {"unknown": 1}})
    wait_until(lambda: ("ada", False) in guild.people._lately)
    gevent.sleep(0.3)

    assert guild.judge.judged == []
    assert ada.is_open


def test_rights_that_were_said_to_have_changed_are_judged_although_the_document_is_the_same(guild: Guild) -> None:
    user = member()
    ada = guild.enter(user)
    guild.settle()

    guild.server.rights_changed(user)
    wait_until(lambda: len(guild.judge.judged) == 1)
    WebSocketServer.rights_changed("ada")
    wait_until(lambda: len(guild.judge.judged) == 2)

    assert ada.is_open


def test_a_user_who_is_no_document_is_loaded_by_the_application(guild: Guild) -> None:
    guild.login.user_loader(lambda name: Guest(name, "crew"))
    eve = guild.enter(Guest("eve", "staff"))
    guild.settle()
    known = guild.server.hub.connections_of("eve")

    guild.server.rights_changed("eve")
    wait_until(lambda: guild.judge.judged)

    assert known == (eve,)
    assert eve.groups == {"crew"}
    assert guild.server.hub.select(Recipients(groups=("crew",))) == [eve]


@pytest.mark.parametrize("by_key", [False, True])
def test_a_user_is_found_by_the_key_of_his_document_too(guild: Guild, *, by_key: bool) -> None:
    """Flask-Login may know him by another id."""
    user = member(token="t1")
    ada, bob = guild.enter(user), guild.enter(member("bob"))
    guild.settle()

    if by_key:
        guild.server.rights_changed("ada")
    else:
        Member.objects(name="ada").update(title="boss")
    wait_until(lambda: guild.judge.judged)

    assert [ws for ws, _, _ in guild.judge.judged] == [ada]
    assert bob.is_open


def test_what_waits_for_one_who_has_left_its_group_is_dropped(guild: Guild) -> None:
    slow, other = guild.enter(member(groups=["staff", "crew"])), guild.enter(member("bob", groups=["staff"]))
    guild.settle()
    link_of(slow).capacity = 0
    guild.judge.publish("of the staff", to=Recipients(groups=("staff",)), keep=60)
    wait_until(lambda: slow.waiting_bytes and b"of the staff" in link_of(other).taken)

    Member._get_collection().update_one({"_id": "ada"}, {"$set": {"groups": ["crew"]}})
    wait_until(lambda: not slow.is_open)
    link_of(slow).take(1 << 20)

    assert slow.close_code == 4002
    assert b"of the staff" not in link_of(slow).taken
    assert other.is_open


def test_what_waits_for_one_who_has_joined_a_group_stays(guild: Guild) -> None:
    slow = guild.enter(member(groups=["staff"]))
    guild.settle()
    link_of(slow).capacity = 0
    guild.judge.publish("of the staff", to=Recipients(groups=("staff",)), keep=60)
    wait_until(lambda: slow.waiting_bytes)

    Member._get_collection().update_one({"_id": "ada"}, {"$set": {"groups": ["crew", "staff"]}})
    wait_until(lambda: guild.judge.judged)
    link_of(slow).take(1 << 20)

    assert slow.is_open
    assert b"of the staff" in link_of(slow).taken
    slow.peer_gone()


# --- who may not stay


def test_who_is_inactive_deleted_or_has_another_id_is_closed_4501(guild: Guild) -> None:
    names = ("ada", "bob", "cleo", "dora")
    connections = [guild.enter(member(name, token="t1" if name == "cleo" else None)) for name in names]
    guild.settle()

    started = time.monotonic()
    Member.objects(name="ada").update(active=False)
    Member.objects(name="bob").delete()
    Member.objects(name="cleo").update(token="t2")
    wait_until(lambda: all(connection.close_code for connection in connections[:3]))

    assert time.monotonic() - started < SOON
    assert [connection.close_code for connection in connections] == [4501, 4501, 4501, 0]
    assert guild.judge.judged == []


def test_what_waits_for_one_who_may_not_stay_never_leaves(guild: Guild) -> None:
    ada = guild.enter(member())
    guild.settle()
    link = link_of(ada)
    link.capacity = 10
    for number in range(5):
        ada.send(Message("judge", number))

    Member.objects(name="ada").update(active=False)
    wait_until(lambda: ada.close_code)
    link.take(10_000)

    assert ada.close_code == 4501
    assert [payload for opcode, payload in link.frames() if opcode == 1] == [Message("judge", 0).text("plain")]


def test_what_waits_in_a_connection_that_is_closing_never_leaves_either(guild: Guild) -> None:
    ada, other = (guild.enter(user) for user in [member()] * 2)
    guild.settle()
    link = link_of(other)
    link.capacity = 0
    other.send(Message("judge", 1))
    other.close(1012, "restart")

    Member.objects(name="ada").update(title="boss")
    wait_until(lambda: guild.judge.of(ada))
    link.take(10_000)

    assert [opcode for opcode, _ in link.frames()] == [8]


# --- those who are coming


def test_who_waits_to_be_let_in_comes_in_as_he_is_now(guild: Guild) -> None:
    user = member()
    guild.enter(member("bob"))
    guild.settle()
    link = MemoryLink()
    arriving = guild.server._make(link, guild.identity(user), "v1", "", is_compressed=False)
    guild.server.hub.arriving[arriving] = None

    Member.objects(name="ada").update(title="boss")
    wait_until(lambda: arriving.user.title == "boss")
    Member.objects(name="ada").update(active=False)
    wait_until(lambda: arriving.close_code)

    assert arriving.close_code == 4501
    assert guild.judge.judged == []
    assert guild.server.hub.arriving == {}


@pytest.mark.parametrize("way", ["document", "request"])
def test_whose_handshake_had_loaded_him_before_the_change_is_judged_when_he_comes_in(guild: Guild, way: str) -> None:
    user = member()
    guild.enter(member("bob"))
    guild.settle()
    identity = guild.identity(user)

    if way == "document":
        Member.objects(name="ada").update(title="boss")
    else:
        Member._get_collection().update_one({"_id": "ada"}, {"$set": {"title": "boss"}})
        guild.server.rights_changed("ada")
    wait_until(lambda: ("ada", way == "request") in guild.people._lately)
    gevent.sleep(0.2)
    ada = guild.enter(user, identity=identity)
    wait_until(lambda: guild.judge.of(ada))

    assert ada.user.title == "boss"
    assert ada.identity.loaded == 0


def test_a_handshake_from_after_the_change_costs_no_further_query(commands: Commands) -> None:
    guild = Guild()
    guild.server.start()
    guild.enter(member("bob"))
    guild.settle()
    member()
    wait_until(lambda: ("ada", False) in guild.people._lately)
    gevent.sleep(0.2)
    commands.clear()

    guild.enter(Member.objects(name="ada").first())
    gevent.sleep(0.2)

    assert commands.on("test_members") == ["find"]
    guild.server.stop()


def test_more_changes_than_are_remembered_have_newcomers_loaded_again(
    guild: Guild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsflask.people._REMEMBERED", 2)
    user = member()
    guild.enter(member("bob"))
    guild.settle()
    identity = guild.identity(user)

    for name in ("ada", "cleo", "dora"):
        Member(name=name, title="boss").save()
    wait_until(lambda: ("dora", False) in guild.people._lately)
    gevent.sleep(0.2)
    ada = guild.enter(user, identity=identity)

    wait_until(lambda: guild.judge.of(ada) == ["boss"])
    assert len(guild.people._lately) == 2


def test_a_change_between_the_handshake_of_the_first_client_and_the_feed_is_seen(database: Database) -> None:
    """Nobody follows the users' class before one of them has come."""
    guild = Guild()
    user = member()
    identity = guild.identity(user)
    Member.objects(name="ada").update(title="boss")
    guild.server.start()

    ada = guild.enter(user, identity=identity)

    wait_until(lambda: ada.user.title == "boss")
    guild.settle()
    guild.server.stop()


def test_the_handshake_notes_when_it_began(guild: Guild) -> None:
    member()
    app = flask.Flask.test_client(guild.server._app)  # type: ignore[arg-type]
    began: list[float] = []

    def note() -> str:
        began.append(flask.g._wsflask_began)
        return "not now"

    guild.server._app.before_request_funcs.setdefault(None, []).insert(0, note)  # type: ignore[union-attr]
    before = time.monotonic()
    app.get("/wsflask/ws", headers={"Upgrade": "websocket", "Connection": "Upgrade"})

    assert before <= began[0] <= time.monotonic()


# --- trouble


def test_after_a_gap_everyone_is_looked_at_again(guild: Guild) -> None:
    connections = [guild.enter(member(name)) for name in ("ada", "bob")]
    guild.settle()
    feed = guild.server.feed
    dispatch, feed._dispatch = feed._dispatch, lambda *_: None  # type: ignore[method-assign]
    Member.objects(name="ada").update(title="boss")
    gevent.sleep(0.3)
    feed._dispatch = dispatch  # type: ignore[method-assign]

    changes = [each for each in feed._subscriptions if "Member" in each.name]
    changes[0].lose(Gap(feed.position, "a test"))
    wait_until(lambda: guild.judge.judged)
    gevent.sleep(0.3)

    assert [guild.judge.of(connection) for connection in connections] == [["boss"], []]


def test_after_a_gap_in_what_was_said_everyone_is_judged(guild: Guild) -> None:
    connections = [guild.enter(member("ada")), guild.enter(Guest("eve"))]
    guild.login.user_loader(Guest)
    guild.settle()

    changes = [each for each in guild.server.feed._subscriptions if each.name == "relay"]
    changes[0].lose(Gap(guild.server.feed.position, "a test"))

    wait_until(lambda: {ws for ws, _, _ in guild.judge.judged} == set(connections))


@pytest.mark.parametrize("error", [AutoReconnect("secret"), RuntimeError("a bug")], ids=["database", "bug"])
def test_what_fails_is_tried_again_and_logged_once(
    guild: Guild, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = guild.enter(member())
    guild.settle()
    renew, tries = guild.server.sessions.renew, []

    def fail(before: Any) -> Any:
        tries.append(before)
        if len(tries) < 3:
            raise error
        return renew(before)

    monkeypatch.setattr(guild.server.sessions, "renew", fail)
    Member.objects(name="ada").update(title="boss")
    wait_until(lambda: guild.judge.of(ada) == ["boss"])

    lines = [record for record in caplog.records if "that is tried again" in record.getMessage()]
    assert len(lines) == 1
    assert bool(lines[0].exc_info) is isinstance(error, RuntimeError)
    assert "secret" not in caplog.text


def test_a_user_whose_loader_fails_keeps_nobody_waiting_and_is_tried_again(
    guild: Guild, caplog: pytest.LogCaptureFixture
) -> None:
    broken: set[str] = set()

    def load(name: str) -> Guest:
        if name in broken:
            raise ValueError("no")
        return Guest(name, *groups)

    groups: list[str] = []
    guild.login.user_loader(load)
    eve, bob = guild.enter(Guest("eve")), guild.enter(Guest("bob"))
    guild.settle()
    groups.append("crew")
    broken.add("eve")

    for name in ("eve", "bob"):
        guild.server.rights_changed(name)
    wait_until(lambda: bob.groups)
    before = eve.groups
    broken.clear()
    wait_until(lambda: eve.groups)

    assert before == frozenset()
    assert "ValueError" in caplog.text


def test_a_service_that_fails_keeps_no_other_from_judging(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Service):
        channel = "broken"

        def on_rights_changed(self, ws: Connection, user: Any) -> None:
            raise ValueError("no")

    guild = Guild(Broken())
    guild.server.start()
    ada = guild.enter(member())
    guild.settle()

    guild.server.rights_changed("ada")
    wait_until(lambda: guild.judge.judged)

    assert ada.is_open
    assert "Broken.on_rights_changed failed for user 'ada'" in caplog.text
    guild.server.stop()


def test_users_of_another_server_are_looked_at_by_the_check_of_sessions(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Stranger(Document, flask_login.UserMixin):
        meta = {"collection": "strangers", "db_alias": "elsewhere"}
        name = StringField(primary_key=True)

    mongoengine.connect(host="mongodb://127.0.0.1:1/elsewhere", alias="elsewhere", uuidRepresentation="standard")
    guild = Guild(WSFLASK_DATABASE_TIMEOUT=0.5)
    guild.server.start()
    ada = guild.enter(Stranger(name="ada"))

    wait_until(lambda: "counts within WSFLASK_SESSION_CHECK_INTERVAL" in caplog.text)
    gevent.sleep(0.25)

    assert ada.is_open
    guild.server.stop()
    mongoengine.disconnect("elsewhere")


# --- how services are told


def test_one_call_at_a_time_for_a_connection_and_one_for_all_that_came_meanwhile(guild: Guild) -> None:
    ada = guild.enter(member())
    guild.settle()
    go_on = gevent.event.Event()
    guild.judge.on_judging = lambda: go_on.wait() and None

    for title in ("a", "b", "c"):
        Member.objects(name="ada").update(title=title)
        wait_until(lambda title=title: ada.user.title == title)  # type: ignore[misc]
    during = guild.judge.of(ada)
    go_on.set()
    wait_until(lambda: len(guild.judge.judged) == 2)
    wait_until(lambda: not guild.people._renewals._telling)

    assert during == ["a"]
    assert guild.judge.of(ada) == ["a", "c"]


def test_a_message_that_was_under_way_is_judged_anew_behind_it(guild: Guild) -> None:
    ada = guild.enter(member())
    guild.settle()

    def change() -> None:
        Member.objects(name="ada").update(title="boss")
        wait_until(lambda: guild.judge.judged)
        guild.judge.judged.clear()

    guild.judge.on_saying = change
    ada._handler.text_arrived(ada, '{"channel":"judge","payload":1}')

    wait_until(lambda: guild.judge.of(ada) == ["boss"])


def test_a_greeting_that_was_under_way_is_judged_anew_behind_it(guild: Guild) -> None:
    user = member()
    guild.enter(member("bob"))
    guild.settle()

    def change() -> None:
        Member.objects(name="ada").update(title="boss")
        wait_until(lambda: guild.judge.judged)
        guild.judge.judged.clear()

    guild.judge.on_greeting = change
    ada = guild.enter(user)

    wait_until(lambda: guild.judge.of(ada) == ["boss"])


def test_a_killed_greenlet_has_its_client_judged_again(guild: Guild) -> None:
    ada = guild.enter(member())
    guild.settle()
    inside: list[gevent.Greenlet[..., Any]] = []

    def hang() -> None:
        inside.append(gevent.getcurrent())  # type: ignore[arg-type]
        if len(inside) == 1:
            gevent.sleep(10)

    guild.judge.on_judging = hang
    guild.server.rights_changed("ada")
    wait_until(lambda: inside)
    inside[0].kill()

    wait_until(lambda: len(inside) == 2)
    assert ada.is_open


def test_many_who_change_at_once_are_loaded_together(commands: Commands) -> None:
    guild = Guild()
    guild.server.start()
    users = [member(f"user{number}") for number in range(60)]
    connections = [guild.enter(user) for user in users]
    guild.settle()
    commands.clear()

    Member.objects.update(title="boss")
    wait_until(lambda: len(guild.judge.judged) == 60)

    assert all(connection.user.title == "boss" for connection in connections)
    assert len([name for name in commands.on("test_members") if name == "find"]) <= 3
    guild.server.stop()


def test_a_user_who_changes_all_the_time_is_loaded_a_few_times_a_second(commands: Commands) -> None:
    guild = Guild()
    guild.server.start()
    guild.enter(member())
    guild.settle()
    commands.clear()

    started = time.monotonic()
    while time.monotonic() < started + 1:
        Member._get_collection().update_one({"_id": "ada"}, {"$inc": {"unknown": 1}})
        gevent.sleep(0.005)

    assert len([name for name in commands.on("test_members") if name == "find"]) <= 12
    guild.server.stop()


def test_a_server_that_is_stopped_follows_nobody_and_a_second_start_follows_again(guild: Guild) -> None:
    ada = guild.enter(member())
    guild.settle()

    guild.server.stop()
    guild.server.start()
    again = guild.enter(Member.objects(name="ada").first())
    guild.settle()
    Member.objects(name="ada").update(title="boss")

    wait_until(lambda: guild.judge.of(again) == ["boss"])
    assert ada.close_code == 1012


# --- what is counted for groups


def test_unread_notifications_are_those_of_the_groups_one_is_in_now(database: Database) -> None:
    notifier = Notifier()
    guild = Guild(notifier)
    guild.server.start()
    ada = guild.enter(member(groups=["staff"]))
    Notifier.notify(Notification(message="for the staff", groups=["staff"]))
    for number in range(3):
        Notifier.notify(Notification(message=f"for the crew {number}", groups=["crew"]))

    def unread() -> int:
        box = notifier._mailroom.inboxes.of(ada)
        return box.unread if box is not None and box.is_loaded and ada in box.greeted else -1

    wait_until(lambda: unread() == 1)
    Member.objects(name="ada").update(groups=["crew"])
    wait_until(lambda: unread() == 3)
    Notifier.notify(Notification(message="for the staff", groups=["staff"]))
    Notifier.notify(Notification(message="for the crew", groups=["crew"]))
    wait_until(lambda: unread() == 4)

    assert len(notifier._mailroom.inboxes) == 1
    ada.peer_gone()
    wait_until(lambda: len(notifier._mailroom.inboxes) == 0)
    assert notifier._mailroom.inboxes._by_group == {}
    guild.server.stop()


# --- every worker


@pytest.fixture
def environment(mongo: EmbeddedMongo) -> Iterator[dict[str, str]]:
    """The environment of an application; this process is connected to its database."""
    uri = mongo.uri_of(f"test_{uuid4().hex[:12]}")
    harness.disconnect()
    mongoengine.connect(host=uri, uuidRepresentation="standard", tz_aware=True)
    yield {URI: uri, CONFIG: "{}"}
    harness.disconnect()


@pytest.fixture
def tabs(
    environment: dict[str, str], servers: harness.Servers, sockets: harness.Sockets
) -> list[harness.WebSocketClient]:
    """Clients of one user, on each of two workers."""
    server = servers.gunicorn("tests.apps.guild:app", workers=2, env=environment)
    cookie = login(server.base_url, "ada")
    found: dict[int, harness.WebSocketClient] = {}
    for _ in range(200):
        client = sockets.connect(server.ws_url, cookie=cookie)
        pid = client.expect("rights")["payload"]["pid"]
        if found.setdefault(pid, client) is not client:
            client.cut()
        if len(found) == 2:
            time.sleep(0.5)  # What happens at a worker's start is over.
            for tab in found.values():
                while tab.receive(0.05) is not None:
                    pass
            return list(found.values())
    raise AssertionError("only one worker took connections")


def test_a_change_of_rights_reaches_every_worker_within_a_second(tabs: list[harness.WebSocketClient]) -> None:
    started = time.monotonic()
    Person.objects(name="ada").update(title="boss", groups=["crew"])
    told = [tab.expect("rights")["payload"] for tab in tabs]
    took = time.monotonic() - started

    assert [(each["title"], each["groups"]) for each in told] == [("boss", ["crew"])] * 2
    assert took < SOON


def test_a_script_that_serves_nothing_tells_every_worker(
    tabs: list[harness.WebSocketClient], environment: dict[str, str]
) -> None:
    script = "import sys, mongoengine, wsflask; mongoengine.connect(host=sys.argv[1]); "
    script += "wsflask.WebSocketServer.rights_changed('ada')"
    subprocess.run([sys.executable, "-c", script, environment[URI]], cwd=harness.ROOT, check=True)

    assert [tab.expect("rights", timeout=1.0)["payload"]["title"] for tab in tabs] == [None, None]


def test_a_deactivated_user_is_closed_on_every_worker_within_a_second(tabs: list[harness.WebSocketClient]) -> None:
    started = time.monotonic()
    Person.objects(name="ada").update(active=False)

    assert [tab.expect_close() for tab in tabs] == [4501, 4501]
    assert time.monotonic() - started < SOON


def test_a_deleted_user_is_closed_on_every_worker_within_a_second(tabs: list[harness.WebSocketClient]) -> None:
    started = time.monotonic()
    Person.objects(name="ada").delete()

    assert [tab.expect_close() for tab in tabs] == [4501, 4501]
    assert time.monotonic() - started < SOON
