"""Who a handshake belongs to, and which cookies still open a socket."""

from __future__ import annotations

import datetime
import logging
import math
import socket
import time
from dataclasses import replace
from typing import Any

import flask
import flask_login
import gevent
import pymongo
import pytest
from flask import Flask
from flask.testing import FlaskClient
from mongoengine import BooleanField, Document, StringField
from pymongo.errors import NetworkTimeout

from tests.harness import Commands, Database, wait_until
from tests.harness.links import MemoryLink
from tests.harness.raw import CLOSE, client_frame
from wsflask.connection import Connection
from wsflask.documents import EndedSession
from wsflask.errors import ConfigError
from wsflask.identity import Identity
from wsflask.server import WebSocketServer


class Staff(Document, flask_login.UserMixin):
    meta = {"collection": "test_staff", "allow_inheritance": True}

    name = StringField(primary_key=True)
    title = StringField()
    active = BooleanField(default=True)
    groups: Any = ("staff", 7, "crew")

    @property
    def is_active(self) -> bool:
        return bool(self.active)


class Boss(Staff):
    pass


class Named(Document, flask_login.UserMixin):
    """A user with an id of Flask-Login's that is not his primary key."""

    meta = {"collection": "test_named"}

    name = StringField(primary_key=True)
    token = StringField()

    def get_id(self) -> str:
        return str(self.token)


class Simple(flask_login.UserMixin):
    """A user who is no document."""

    def __init__(self, name: str) -> None:
        self.id = name


class Site:
    """An application with sign-in, a server on it, and browsers."""

    def __init__(self, *, groups: Any = None) -> None:
        self.app = Flask(__name__)
        self.app.config.update(SECRET_KEY="k" * 32)
        self.login = flask_login.LoginManager(self.app)
        self.login.user_loader(lambda name: Staff.objects(name=name).first())

        @self.app.route("/login/<name>")
        def login(name: str) -> str:
            flask_login.login_user(Staff(name=name).save(), remember="remember" in flask.request.args)
            return "fine"

        @self.app.route("/logout")
        def logout() -> str:
            flask_login.logout_user()
            return "fine"

        @self.app.route("/")
        def page() -> str:
            return "fine"

        self.server = WebSocketServer(self.app, services=[], groups=groups)

    def browser(self, user: str | None = None) -> FlaskClient:
        """Return a browser, signed in as a user."""
        browser = self.app.test_client()
        if user is not None:
            browser.get(f"/login/{user}")
        return browser

    def admit(self, cookie: str = "", **headers: str) -> Any:
        """Return the response that refuses a handshake with this cookie, else None with the identity in `g`."""
        given = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://localhost", **headers}
        given |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Cookie": cookie}
        with self.app.test_request_context("/wsflask/ws", headers=given):
            assert flask.request.endpoint == "wsflask.websocket"
            refusal = self.app.preprocess_request()
            return refusal if refusal is not None else flask.g._wsflask_identity

    def identify(self, cookie: str) -> Identity | None:
        """Return whom a handshake with this cookie belongs to, if its session has not ended."""
        found = self.admit(cookie)
        assert found is None or isinstance(found, Identity)
        if found is None or EndedSession.ended_among({found.session_id}):
            return None
        return found

    def enter(self, identity: Any) -> tuple[Connection, MemoryLink]:
        """Return the connection of a client that has just been let through its handshake, and its link."""
        link = MemoryLink()
        connection = self.server.accept(link, identity, {"HTTP_SEC_WEBSOCKET_PROTOCOL": "wsflask.v1"})
        assert isinstance(connection, Connection)
        return connection, link

    def unnamed(self, user: str) -> str:
        """Return the cookie of a session from before wsflask was there."""
        Staff(name=user).save()
        browser = self.app.test_client()
        with browser.session_transaction() as session:
            session.update(_user_id=user, _fresh=True)
        return cookie_of(browser)


def cookie_of(browser: FlaskClient) -> str:
    """Return the Cookie header that a browser sends."""
    names = ("session", "remember_token")
    found = [(name, browser.get_cookie(name)) for name in names]
    return "; ".join(f"{name}={cookie.value}" for name, cookie in found if cookie is not None)


@pytest.fixture
def site(database: Database) -> Site:
    return Site()


def test_a_signed_in_user_is_identified_with_id_and_groups(site: Site) -> None:
    identity = site.identify(cookie_of(site.browser("ada")))

    assert identity is not None
    assert (identity.user_id, identity.user.name) == ("ada", "ada")
    assert identity.groups == {"staff", "crew"}
    assert len(identity.session_id) > 20


def test_a_function_may_name_the_groups(database: Database) -> None:
    site = Site(groups=lambda user: ["all", f"of-{user.name}"])

    identity = site.identify(cookie_of(site.browser("ada")))

    assert identity is not None
    assert identity.groups == {"all", "of-ada"}


def test_users_in_the_same_groups_share_one_set_in_memory(site: Site) -> None:
    first, second = (site.identify(cookie_of(site.browser(name))) for name in ("ada", "bob"))

    assert first is not None
    assert second is not None
    assert first.groups is second.groups


def test_who_is_not_signed_in_is_nobody(site: Site) -> None:
    assert site.identify("") is None
    assert site.identify(cookie_of(site.browser())) is None
    assert site.identify("session=forged") is None


def test_two_browsers_of_a_user_have_two_sessions(site: Site) -> None:
    first, second = (site.identify(cookie_of(site.browser("ada"))) for _ in range(2))

    assert first is not None
    assert second is not None
    assert first.session_id != second.session_id


def test_a_session_keeps_its_name_over_pages_and_another_sign_in_of_its_user(site: Site) -> None:
    browser = site.browser("ada")
    before = site.identify(cookie_of(browser))
    browser.get("/")
    browser.get("/login/ada")
    after = site.identify(cookie_of(browser))

    assert before is not None
    assert after is not None
    assert before.session_id == after.session_id


def test_a_page_sets_no_cookie_once_the_session_has_its_name(site: Site) -> None:
    assert "Set-Cookie" not in site.browser("ada").get("/").headers


def test_logout_ends_this_session_and_no_other(site: Site) -> None:
    here, there = site.browser("ada"), site.browser("ada")
    replayed = cookie_of(here)

    here.get("/logout")

    assert site.identify(replayed) is None
    assert site.identify(cookie_of(here)) is None
    assert site.identify(cookie_of(there)) is not None


def test_a_sign_in_after_a_logout_is_a_new_session_and_the_old_cookie_stays_refused(site: Site) -> None:
    browser = site.browser("ada")
    replayed = cookie_of(browser)
    old = site.identify(replayed)

    browser.get("/logout")
    browser.get("/login/ada")
    new = site.identify(cookie_of(browser))

    assert old is not None
    assert new is not None
    assert old.session_id != new.session_id
    assert site.identify(replayed) is None


def test_another_users_sign_in_in_the_same_browser_ends_the_session_of_the_first(site: Site) -> None:
    browser = site.browser("ada")
    replayed = cookie_of(browser)

    browser.get("/login/bob")
    identity = site.identify(cookie_of(browser))

    assert site.identify(replayed) is None
    assert identity is not None
    assert identity.user_id == "bob"


def test_a_replayed_cookie_gets_no_fresh_name_from_a_page(site: Site) -> None:
    browser = site.browser("ada")
    replayed = cookie_of(browser)
    browser.get("/logout")

    thief = site.app.test_client()
    thief.set_cookie("session", replayed.partition("=")[2])
    thief.get("/")

    assert site.identify(cookie_of(thief)) is None


def test_a_session_from_before_is_served_and_named_by_the_next_page(site: Site) -> None:
    old = site.unnamed("ada")
    unnamed = [site.identify(old), site.identify(old)]
    browser = site.app.test_client()
    browser.set_cookie("session", old.partition("=")[2])
    browser.get("/")
    named = site.identify(cookie_of(browser))

    assert [identity.session_id for identity in unnamed if identity] == ["user:ada", "user:ada"]
    assert named is not None
    assert named.session_id != "user:ada"


def test_the_cookie_of_a_session_from_before_is_refused_after_its_logout(site: Site) -> None:
    old = site.unnamed("ada")
    browser = site.app.test_client()
    browser.set_cookie("session", old.partition("=")[2])

    browser.get("/logout")

    assert site.identify(old) is None


def test_static_files_and_handshakes_name_no_session(site: Site) -> None:
    browser = site.app.test_client()
    browser.set_cookie("session", site.unnamed("ada").partition("=")[2])

    answers = [browser.get(path) for path in ("/static/none.js", "/wsflask/static/none.js")]

    assert all("Set-Cookie" not in answer.headers for answer in answers)


def test_a_remember_cookie_alone_is_a_session_of_its_own_after_a_page(site: Site) -> None:
    browser = site.app.test_client()
    browser.get("/login/ada?remember=1")
    browser.delete_cookie("session")

    browser.get("/")
    identity = site.identify(cookie_of(browser))
    browser.get("/logout")

    assert identity is not None
    assert EndedSession.is_ended(identity.session_id)


def test_tabs_restored_together_from_a_remember_cookie_end_together_and_the_next_ones_live(site: Site) -> None:
    """Each tab's answer sets a cookie, and the browser keeps one of them: the other's socket has to end too."""
    browser = site.app.test_client()
    browser.get("/login/ada?remember=1")
    browser.delete_cookie("session")
    remembered = browser.get_cookie("remember_token")
    assert remembered is not None
    tabs = [site.app.test_client() for _ in range(2)]
    for tab in tabs:
        tab.set_cookie("remember_token", remembered.value)
        tab.get("/")
    cookies = [cookie_of(tab) for tab in tabs]
    before = [site.identify(cookie) for cookie in cookies]

    tabs[1].get("/logout")
    after = [site.identify(cookie) for cookie in cookies]
    tabs[0].delete_cookie("session")
    tabs[0].get("/")

    assert None not in before
    assert after == [None, None]
    assert site.identify(cookie_of(tabs[0])) is not None


def test_a_remember_cookie_that_comes_by_no_page_is_refused_after_a_logout(site: Site) -> None:
    browser = site.app.test_client()
    browser.get("/login/ada?remember=1")
    browser.delete_cookie("session")
    remembered = cookie_of(browser)
    before = site.identify(remembered)

    browser.get("/logout")

    assert before is not None
    assert before.session_id == "user:ada"
    assert site.identify(remembered) is None


def test_who_signs_in_with_every_request_is_not_shut_out_by_a_logout(site: Site) -> None:
    site.login.request_loader(lambda request: Staff.objects(name=request.headers.get("X-Token")).first())
    site.browser("ada").get("/logout")

    identity = site.admit(**{"X-Token": "ada"})

    assert isinstance(identity, Identity)
    assert identity.session_id == "request:ada"


def test_clients_that_come_at_once_are_asked_about_together(commands: Commands) -> None:
    site = Site()
    browsers = [site.browser(f"user{number}") for number in range(40)]
    identities = [site.admit(cookie_of(browser)) for browser in browsers]
    for browser in browsers[:10]:
        browser.get("/logout")
    site.server.start()
    commands.clear()

    connections = [site.enter(identity)[0] for identity in identities]

    wait_until(lambda: len(site.server.hub) == 30)
    assert [connection.close_code for connection in connections] == [4501 if number < 10 else 0 for number in range(40)]
    assert len(commands.on("wsflask_ended_sessions")) <= 2
    site.server.stop()


def test_nothing_is_handled_and_nobody_welcomed_before_the_session_was_looked_up(site: Site) -> None:
    browser = site.browser("ada")
    identity = site.admit(cookie_of(browser))
    browser.get("/logout")
    site.server.start()

    connection, link = site.enter(identity)
    connection.bytes_arrived(client_frame(b'{"channel":"echo","payload":1}'))

    wait_until(lambda: connection.close_code)
    assert [opcode for opcode, _ in link.frames()] == [CLOSE]
    assert connection.close_code == 4501
    site.server.stop()


def test_one_who_cannot_be_let_in_keeps_nobody_else_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identities = [site.admit(cookie_of(site.browser(name))) for name in ("ada", "eve", "bob")]
    site.server.start()
    enter = site.server.enter

    def fail_for_eve(connection: Connection) -> None:
        if connection.user_id == "eve":
            raise ValueError("no")
        enter(connection)

    monkeypatch.setattr(site.server, "enter", fail_for_eve)

    connections = [site.enter(identity)[0] for identity in identities]

    wait_until(lambda: len(site.server.hub) == 2)
    wait_until(lambda: connections[1].close_code)
    assert [connection.close_code for connection in connections] == [0, 1011, 0]
    assert wait_until(lambda: all(connection.holds == 0 for connection in connections if connection.is_open))
    assert "could not be let in" in caplog.text
    site.server.stop()


def test_those_who_wait_to_be_let_in_count_towards_the_limit(site: Site) -> None:
    identities = [site.admit(cookie_of(site.browser(name))) for name in ("ada", "bob")]
    site.server.start()
    site.server.settings = replace(site.server.settings, max_connections=2)

    for identity in identities:
        site.enter(identity)
    refusal = site.admit(cookie_of(site.browser("eve")))

    assert refusal.status_code == 503
    wait_until(lambda: len(site.server.hub) == 2)
    assert site.server.hub.arriving == {}
    site.server.stop()


def test_those_who_wait_to_be_let_in_are_sent_away_by_a_drain(site: Site) -> None:
    identity = site.admit(cookie_of(site.browser("ada")))
    site.server.start()

    connection, _ = site.enter(identity)
    site.server.drain()

    assert connection.close_code == 1012
    assert site.server.hub.arriving == {}
    site.server.stop()


def test_who_is_sent_back_while_he_waits_to_be_let_in_is_not_let_in_with_his_old_rights(site: Site) -> None:
    identity = site.admit(cookie_of(site.browser("ada")))
    site.server.start()

    connection, _ = site.enter(identity)
    site.server._relay._relay({"channel": "goodbye", "payload": "{}", "users": ["ada"]})

    assert connection.close_code == 1012
    gevent.sleep(0.05)
    assert len(site.server.hub) == 0
    site.server.stop()


def test_a_hook_of_the_application_may_refuse_a_handshake(database: Database) -> None:
    """The socket is taken over in the view, behind every hook."""
    app = Flask("hooked")
    app.secret_key = "k" * 32
    flask_login.LoginManager(app).user_loader(lambda name: Staff(name=name))
    server = WebSocketServer(services=[])
    server.blueprint.before_request(lambda: ("not from here", 403))
    app.register_blueprint(server.blueprint)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://localhost"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}

    ours, theirs = socket.socketpair()
    theirs.settimeout(0.1)

    with app.test_request_context("/wsflask/ws", headers=headers, environ_overrides={"gunicorn.socket": ours}):
        assert app.preprocess_request() == ("not from here", 403)

    with pytest.raises(TimeoutError):
        theirs.recv(1)  # Nothing was answered on it.
    ours.close()
    theirs.close()


def test_a_database_that_fails_sends_clients_away_to_come_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = []

    def freeze(sessions: Any) -> None:
        left.append(pymongo._csot.remaining())
        raise NetworkTimeout("frozen")

    identity = site.admit(cookie_of(site.browser("ada")))
    site.server.start()
    monkeypatch.setattr(EndedSession, "ended_among", freeze)

    connection, _ = site.enter(identity)

    wait_until(lambda: connection.close_code)
    assert connection.close_code == 1013
    assert left[0] == pytest.approx(site.server.settings.database_timeout, abs=0.1)
    assert "sessions could not be checked: NetworkTimeout" in caplog.text
    site.server.stop()


def test_an_inactive_user_is_nobody(site: Site) -> None:
    cookie = cookie_of(site.browser("ada"))
    Staff.objects(name="ada").update(active=False)

    assert site.identify(cookie) is None


def test_a_deleted_user_is_nobody(site: Site) -> None:
    cookie = cookie_of(site.browser("ada"))
    Staff.objects(name="ada").delete()

    assert site.identify(cookie) is None


def test_a_handshake_whose_user_cannot_be_loaded_is_refused_503(site: Site) -> None:
    cookie = cookie_of(site.browser("ada"))

    def fail(name: str) -> Any:
        raise RuntimeError("secret")

    site.login.user_loader(fail)
    refusal = site.admit(cookie)

    assert refusal.status_code == 503
    assert refusal.headers["Retry-After"] == "5"
    assert len(refusal.data) < 200
    assert b"secret" not in refusal.data


def test_a_logout_succeeds_although_its_end_cannot_be_written(
    site: Site, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    browser = site.browser("ada")
    database["wsflask_ended_sessions"].drop()
    database.client[database.name].create_collection("wsflask_ended_sessions", viewOn="other", pipeline=[])

    answer = browser.get("/logout")

    assert answer.status_code == 200
    assert "could not be written" in caplog.text
    assert all(record.levelno >= logging.ERROR for record in caplog.records)


def test_the_server_may_be_registered_under_another_name(database: Database) -> None:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="k" * 32)
    flask_login.LoginManager(app).user_loader(lambda name: None)
    app.register_blueprint(WebSocketServer(services=[]).blueprint, name="realtime", url_prefix="/rt")

    answer = app.test_client().get(
        "/rt/ws",
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Origin": "http://evil.com",
        },
    )

    assert answer.status_code == 403


# --- the cookie expires


def test_an_identity_knows_when_its_cookie_expires(site: Site) -> None:
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=100)

    identity = site.identify(cookie_of(site.browser("ada")))

    assert identity is not None
    assert 98 <= identity.expires - time.monotonic() <= 101


def test_who_was_remembered_and_came_with_a_cookie_that_is_over_is_not_sent_away(site: Site) -> None:
    browser = site.app.test_client()
    browser.get("/login/ada?remember=1")
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=-5)

    identity = site.identify(cookie_of(browser))

    assert identity is not None
    assert identity.expires == math.inf


def test_a_cookie_in_its_last_second_expires_too(site: Site) -> None:
    """Flask reckons in whole seconds: it accepts one that is over by less than one."""
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=0)
    time.sleep(1.01 - time.time() % 1)  # so that the second lasts

    identity = site.identify(cookie_of(site.browser("ada")))

    assert identity is not None
    assert identity.expires <= time.monotonic() + 1


def test_a_user_loader_that_outlasts_the_session_makes_it_no_longer(site: Site) -> None:
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=100)
    cookie = cookie_of(site.browser("ada"))
    with site.app.test_request_context("/wsflask/ws", headers={"Cookie": cookie}):
        flask.g._wsflask_began = time.monotonic() - 105
        site.app.permanent_session_lifetime = datetime.timedelta(seconds=-5)
        identity = site.server.sessions.identify()

    assert identity is not None
    assert identity.expires < time.monotonic()


@pytest.mark.parametrize(
    "cookie", ["", "x", "a.b", "a.b.c", "a.!.c", "e30.é.c", f"e30.{'_' * 400}.c", "e30.AAAA.c", "e30._____w.c"]
)
def test_a_cookie_of_another_make_tells_nothing_and_harms_nobody(site: Site, cookie: str) -> None:
    site.login.request_loader(lambda _: Staff(name="ada"))

    identity = site.identify(f"session={cookie}")

    assert identity is not None
    assert identity.expires == math.inf


def test_sessions_that_are_kept_elsewhere_do_not_tell_when_they_expire(site: Site) -> None:
    class Elsewhere(flask.sessions.SessionInterface):
        def open_session(self, app: Flask, request: flask.Request) -> Any:
            return flask.sessions.SecureCookieSession({"_user_id": "ada"})

        def save_session(self, *_: Any) -> None:
            pass

    Staff(name="ada").save()
    site.app.session_interface = Elsewhere()

    identity = site.identify("")

    assert identity is not None
    assert identity.expires == math.inf


def test_who_is_connected_when_his_cookie_expires_comes_back_and_is_told_if_his_session_is_over(site: Site) -> None:
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=1)
    cookie = cookie_of(site.browser("ada"))
    identity = site.admit(cookie)
    site.server.start()
    connection, _ = site.enter(identity)
    other, _ = site.enter(Identity(identity.user, "ada", frozenset(), "another"))
    wait_until(lambda: len(site.server.hub) == 2)
    before = connection.close_code

    wait_until(lambda: connection.close_code)

    assert (before, connection.close_code, other.close_code) == (0, 1012, 0)
    wait_until(lambda: site.admit(cookie) is None)
    site.server.stop()


# --- who they are now


def connection_of(identity: Identity | None) -> Connection:
    assert identity is not None
    link = MemoryLink()
    return WebSocketServer(services=[]).handler(link, identity=identity)


def identity_of(user: Any) -> Identity:
    return Identity(user, user.get_id(), frozenset(), f"s-{user.get_id()}")


def renew(site: Site, *users: Any) -> dict[str, Identity | None]:
    """Return who the users are now; none of them may fail."""
    renewed, failures = site.server.sessions.renew({user.get_id(): identity_of(user) for user in users})
    assert failures == {}
    return renewed


def test_users_are_renewed_with_their_groups_and_keep_their_sessions(site: Site) -> None:
    ada = Staff(name="ada").save()
    Staff.objects(name="ada").update(title="boss")

    now = renew(site, ada)["ada"]

    assert now is not None
    assert (now.user.title, now.user_id, now.session_id) == ("boss", "ada", "s-ada")
    assert now.groups == {"staff", "crew"}


def test_inactive_and_deleted_users_and_those_with_another_id_are_nobody_any_more(site: Site) -> None:
    ada, bob, cleo = (Staff(name=name).save() for name in ("ada", "bob", "cleo"))
    dora = Named(name="dora", token="old").save()
    Staff.objects(name="bob").update(active=False)
    Staff.objects(name="cleo").delete()
    Named.objects(name="dora").update(token="new")

    assert [user_id for user_id, now in renew(site, ada, bob, cleo, dora).items() if now] == ["ada"]


def test_a_user_who_has_become_one_of_another_class_is_still_found(site: Site) -> None:
    boss = Boss(name="ada").save()
    Staff._get_collection().update_one({"_id": "ada"}, {"$set": {"_cls": "Staff"}})

    now = renew(site, boss)["ada"]

    assert now is not None
    assert type(now.user) is Staff


def test_users_of_another_kind_are_loaded_by_the_applications_loader(site: Site) -> None:
    known = {"ada"}
    site.login.user_loader(lambda name: Simple(name) if name in known else None)

    renewed = renew(site, Simple("ada"), Simple("bob"))

    assert [user_id for user_id, now in renewed.items() if now] == ["ada"]


def test_a_user_who_got_more_from_the_loader_than_a_document_has_gets_it_again(site: Site) -> None:
    def load(name: str) -> Staff | None:
        user: Staff | None = Staff.objects(name=name).first()
        if user is not None:
            user.__dict__["tenant"] = "t1"
        return user

    Staff(name="ada").save()
    site.login.user_loader(load)

    now = renew(site, load("ada"))["ada"]

    assert now is not None
    assert vars(now.user)["tenant"] == "t1"


def test_without_a_loader_users_of_another_kind_stay_who_they_are(site: Site) -> None:
    site.login._user_callback = None

    now = renew(site, Simple("ada"))["ada"]

    assert now is not None
    assert now.user_id == "ada"


def test_a_user_who_cannot_be_loaded_does_not_keep_others_from_it(site: Site) -> None:
    def load(name: str) -> Simple:
        if name == "eve":
            raise ValueError("no")
        return Simple(name)

    site.login.user_loader(load)

    renewed, failures = site.server.sessions.renew({name: identity_of(Simple(name)) for name in ("ada", "eve", "bob")})

    assert list(renewed) == ["ada", "bob"]
    assert list(failures) == ["eve"]


def test_equal_documents_have_equal_fingerprints_and_others_have_not(site: Site) -> None:
    ada = Staff(name="ada").save()
    before = site.identify(cookie_of(site.browser("ada")))
    same = renew(site, ada)["ada"]
    Staff.objects(name="ada").update(title="boss")
    other = renew(site, ada)["ada"]

    assert before is not None
    assert same is not None
    assert other is not None
    assert not before.differs(same)
    assert before.differs(other)


def test_the_same_document_in_other_groups_is_another_identity(site: Site) -> None:
    user = Staff(name="ada")
    before, after = (Identity(user, "ada", frozenset({group}), "s", fingerprint=7) for group in "ab")

    assert before.differs(after)
    assert not before.differs(before.in_session_of(after))


def test_a_user_whose_document_cannot_be_encoded_may_have_changed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise ValueError("no")

    cookie = cookie_of(site.browser("ada"))
    monkeypatch.setattr(Staff, "to_mongo", fail)
    identity = site.identify(cookie)

    assert identity is not None
    assert identity.fingerprint is None


def test_a_hundred_users_of_a_class_cost_one_query_of_the_primary(commands: Commands) -> None:
    site = Site()
    users = [(Boss if number % 2 else Staff)(name=f"user{number}").save() for number in range(100)]
    commands.clear()

    renewed = renew(site, *users)

    assert commands.on("test_staff") == ["find"]
    assert {type(now.user) for now in renewed.values() if now} == {Staff, Boss}


def test_everyone_is_looked_at_once_in_an_interval_some_at_a_time(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsflask.people._CHECKED", 8)
    site = Site()
    site.server.settings = replace(site.server.settings, session_check_interval=0.5)
    users = [Staff(name=f"user{number}", active=number != 13).save() for number in range(20)]
    connections = [connection_of(identity_of(user)) for user in users]
    for connection in connections:
        site.server.hub.add(connection)
    EndedSession.end("s-user17", "user17")
    commands.clear()

    checking = gevent.spawn(site.server._people._check)
    wait_until(lambda: connections[13].close_code and connections[17].close_code)
    wait_until(lambda: len(commands.on("wsflask_ended_sessions")) == 3)
    checking.kill()

    assert [connections[number].close_code for number in (12, 13, 17)] == [0, 4501, 4501]
    assert commands.on("wsflask_ended_sessions") == ["find"] * 3
    assert set(commands.on("test_staff")) == {"find"}
    assert len(commands.on("test_staff")) <= 3


def test_an_application_without_a_login_manager_is_told_so_at_the_first_handshake(database: Database) -> None:
    app = Flask("bare")
    app.secret_key = "k" * 32
    server = WebSocketServer(app, services=[])

    with app.test_request_context(), pytest.raises(ConfigError, match="LoginManager"):
        server.sessions.identify()
