"""How services are given to a server, and what they can rely on."""

from __future__ import annotations

import json
from typing import Any, cast

import flask_login
import gevent
import pytest
from flask import Flask

from tests.harness import Database, wait_until
from tests.harness.links import MemoryLink
from wsflask.connection import Connection
from wsflask.documents import Publication
from wsflask.errors import ConfigError, Refusal
from wsflask.hub import Recipients
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.server import WebSocketServer
from wsflask.service import Service
from wsflask.transport.crew import Crew


class Echo(Service):
    channel = "echo"

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        return message


class Other(Service):
    channel = "other"


class NeedsMore(Service):
    channel = "more"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


def application(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="k" * 32, **config)
    flask_login.LoginManager(app)
    return app


def server_with(*services: Any, **config: Any) -> WebSocketServer:
    return WebSocketServer(application(**config), services=services)


# --- given


def test_a_service_is_given_as_class_instance_or_import_name() -> None:
    more = NeedsMore(3)

    server = server_with(Echo, more, f"{__name__}:Other")

    assert server.channels() == ["echo", "more", "other"]
    assert [type(service) for service in server.services] == [Echo, NeedsMore, Other]
    assert all(service.server is server for service in server.services)
    assert more.size == 3


@pytest.mark.parametrize("name", [f"{__name__}:Echo", f"{__name__}.Echo"])
def test_services_can_be_named_in_the_configuration(name: str) -> None:
    server = WebSocketServer(application(WSFLASK_SERVICES=[name]))

    assert server.channels() == ["echo"]


def test_services_given_in_code_replace_those_of_the_configuration() -> None:
    server = WebSocketServer(application(WSFLASK_SERVICES=[f"{__name__}:Echo"]), services=[Other])

    assert server.channels() == ["other"]


class Nameless(Service):
    pass


class Loud(Service):
    channel = "Loud"


class Taken(Service):
    channel = "error"


class Same(Service):
    channel = "echo"


@pytest.mark.parametrize(
    ("services", "sentence"),
    [
        (["no.such.module:Service"], "cannot be imported; write 'package.module:Class'"),
        ([f"{__name__}:Missing"], "cannot be imported; write 'package.module:Class'"),
        ([f"{__name__}:application"], "is not a wsflask.Service; subclass it and name its channel"),
        ([dict], "is not a wsflask.Service; subclass it and name its channel"),
        ([object()], "is not a wsflask.Service; subclass it and name its channel"),
        ([None], "is not a wsflask.Service; subclass it and name its channel"),
        ([Nameless], "Nameless.channel is ''; write a name such as 'orders'"),
        ([Loud], "Loud.channel is 'Loud'; write a name such as 'orders'"),
        ([Taken], "Taken.channel is 'error'; write a name such as 'orders'"),
        ([Echo, Same], "two services have the channel 'echo'; give each its own"),
        (f"{__name__}:Echo", "write a list of service classes"),
        (Echo, "write a list of service classes"),
    ],
    ids=str,
)
def test_a_wrong_service_is_named_with_what_to_write_instead(services: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WebSocketServer(application(), services=services)

    assert sentence in str(caught.value)


def test_a_second_server_on_an_application_is_refused() -> None:
    app = application()
    WebSocketServer(app, services=[])

    with pytest.raises(ConfigError, match="has a WebSocketServer already"):
        WebSocketServer(app, services=[])


def test_an_application_without_a_secret_key_is_refused() -> None:
    app = Flask(__name__)
    flask_login.LoginManager(app)

    with pytest.raises(ConfigError, match="no SECRET_KEY"):
        WebSocketServer(app, services=[])


def test_a_service_without_a_server_says_so() -> None:
    with pytest.raises(ConfigError, match="Echo is not part of a server; give it to WebSocketServer"):
        Echo().server  # noqa: B018 - the property raises


def test_positions_of_a_service_are_not_mixed_with_those_of_publications() -> None:
    with pytest.raises(ConfigError, match="Echo sends positions of its own"):
        Echo().send(cast(Connection, None), {}, seq="7")


def test_the_blueprint_can_be_registered_by_hand() -> None:
    app = application()
    server = WebSocketServer(services=[Echo])

    app.register_blueprint(server.blueprint)

    assert app.extensions["wsflask"] is server
    assert app.test_client().get("/wsflask/ws").status_code == 426


def test_init_app_takes_the_application_later() -> None:
    app = application(WSFLASK_PING_INTERVAL=3)
    server = WebSocketServer(services=[Echo])

    server.init_app(app)

    assert server.settings.ping_interval == 3
    assert server.channels() == ["echo"]


# --- called


class Noted(Service):
    """Notes its calls; fails where it is told to."""

    keeps_publications = False

    def __init__(self, channel: str, told: list[tuple[str, str]], *, fails_in: str = "") -> None:
        super().__init__()
        self.channel = channel
        self.told = told
        self.fails_in = fails_in

    def _note(self, hook: str, ws: Connection) -> None:
        self.told.append((self.channel, hook))
        if hook == self.fails_in:
            raise RuntimeError("secret")

    def on_connect(self, ws: Connection, user: Any) -> None:
        self._note("connect", ws)
        self.send(ws, {"hello": user.name}, seq="7")

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        self._note("message", ws)
        if message == "refuse":
            raise Refusal("forbidden", "the reason")
        if message == "reply":
            ws.reply("early")
            return "late"
        return message

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        self._note("disconnect", ws)


class User:
    name = "Ada"


def connect(server: WebSocketServer, form: str = "v1") -> tuple[Connection, MemoryLink]:
    link = MemoryLink()
    identity = Identity(User(), "ada", frozenset(), "s")
    connection = server.handler(link, "/wsflask/ws", identity=identity, form=form)
    link.owner = connection
    connection.start()
    return connection, link


def say(connection: Connection, channel: str, payload: Any, **more: Any) -> None:
    connection._handler.text_arrived(connection, json.dumps({"channel": channel, "payload": payload, **more}))


def sent(link: MemoryLink) -> list[Any]:
    """Return what the client was sent since the last call, without the welcome."""
    texts = [json.loads(payload) for opcode, payload in link.frames() if opcode == 1]
    link.taken = b""
    return [text for text in texts if text["channel"] != "welcome"]


def test_every_service_greets_and_only_the_named_one_gets_the_message() -> None:
    told: list[tuple[str, str]] = []
    server = server_with(Noted("a", told), Noted("b", told))

    connection, link = connect(server)
    greetings = sent(link)
    say(connection, "b", {"x": 1}, id="9")

    assert told == [("a", "connect"), ("b", "connect"), ("b", "message")]
    assert greetings == [{"channel": channel, "payload": {"hello": "Ada"}, "seq": "7"} for channel in "ab"]
    assert sent(link) == [{"channel": "b", "payload": {"x": 1}, "id": "9"}]


def test_a_client_without_the_subprotocol_gets_channel_and_payload_and_no_welcome() -> None:
    server = server_with(Noted("a", []))

    connection, link = connect(server, "plain")
    say(connection, "a", 1, id="9")

    assert [json.loads(payload) for _, payload in link.frames()] == [
        {"channel": "a", "payload": {"hello": "Ada"}},
        {"channel": "a", "payload": 1},
    ]


def test_the_welcome_comes_first_and_says_what_holds() -> None:
    server = server_with(Noted("a", []), Noted("b", []), WSFLASK_PING_INTERVAL=7)

    _, link = connect(server)

    assert json.loads(link.frames()[0][1]) == {
        "channel": "welcome",
        "payload": {
            "protocol": "wsflask.v1",
            "heartbeat": 7,
            "limits": {"message_bytes": 65536, "messages_per_second": 20.0, "burst": 60, "subscriptions": 100},
            "channels": ["a", "b"],
        },
    }


def test_no_broadcast_overtakes_the_welcome() -> None:
    server = server_with(Echo)
    link = MemoryLink()
    link.runs = False

    connection = server.handler(link, identity=Identity(User(), "ada", frozenset(), "s"), form="v1")
    link.owner = connection
    connection.start()
    server.hub.send(Message("echo", "all"), server.hub.connections())
    link.run_work()

    assert [json.loads(payload)["channel"] for _, payload in link.frames()] == ["welcome", "echo"]


def test_a_reply_is_sent_once() -> None:
    connection, link = connect(server_with(Noted("a", [])))
    sent(link)

    say(connection, "a", "reply", id="1")

    assert sent(link) == [{"channel": "a", "payload": "early", "id": "1"}]


def test_a_request_with_an_id_is_answered_even_with_nothing() -> None:
    connection, link = connect(server_with(Noted("a", [])))
    sent(link)

    say(connection, "a", None, id="2")
    say(connection, "a", None)

    assert sent(link) == [{"channel": "a", "payload": None, "id": "2"}]


def test_what_an_honest_client_is_refused_does_not_close_its_connection() -> None:
    connection, _link = connect(server_with(Noted("a", [])))

    for number in range(30):
        say(connection, "a", "refuse", id=str(number))

    assert connection.is_open


def test_a_refusal_gives_its_code_and_sentence_and_keeps_the_socket() -> None:
    connection, link = connect(server_with(Noted("a", [])))
    sent(link)

    say(connection, "a", "refuse", id="1")
    say(connection, "nobody", 1, id="2")
    say(connection, "error", 1)

    assert [(m["channel"], m["payload"]["code"], m.get("id")) for m in sent(link)] == [
        ("error", "forbidden", "1"),
        ("error", "unknown_channel", "2"),
        ("error", "unknown_channel", None),
    ]
    assert connection.is_open


def test_a_service_that_fails_answers_internal_and_the_text_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    connection, link = connect(server_with(Noted("a", [], fails_in="message"), Noted("b", [])))
    sent(link)

    say(connection, "a", 1, id="1")
    say(connection, "b", 2, id="2")

    error, echo = sent(link)
    assert error == {
        "channel": "error",
        "payload": {"code": "internal", "message": "Something went wrong on the server."},
        "id": "1",
    }
    assert echo["payload"] == 2
    (record,) = caplog.records
    assert record.exc_info
    assert "'ada'" in record.getMessage()


def test_a_service_that_fails_to_greet_lets_the_client_come_back(caplog: pytest.LogCaptureFixture) -> None:
    connection, _ = connect(server_with(Noted("a", [], fails_in="connect")))

    assert connection.close_code == 1013
    assert "Noted.on_connect failed" in caplog.text


def test_no_more_clients_than_the_limit_are_greeted_at_the_same_time() -> None:
    present: list[int] = []

    class Slow(Service):
        channel = "slow"
        inside = 0

        def on_connect(self, ws: Connection, user: Any) -> None:
            self.inside += 1
            present.append(self.inside)
            gevent.sleep(0.001)
            self.inside -= 1

    server = server_with(Slow, WSFLASK_GREETINGS_AT_ONCE=3)
    crew = Crew()

    for _ in range(10):
        link = MemoryLink()
        link.run = crew.run  # type: ignore[method-assign]
        link.owner = server.handler(link, identity=Identity(User(), "ada", frozenset(), "s"))
        server._dispatcher.greet(link.owner)

    wait_until(lambda: len(present) == 10)
    assert max(present) == 3
    gevent.sleep(0.01)
    crew.stop()


def test_every_service_hears_of_the_end_even_when_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, str]] = []
    server = server_with(Noted("a", told, fails_in="disconnect"), Noted("b", told))
    connection, _ = connect(server)

    connection.peer_gone()

    wait_until(lambda: told[-2:] == [("a", "disconnect"), ("b", "disconnect")])
    assert len(server.hub) == 0
    assert "Noted.on_disconnect failed" in caplog.text


def test_ping_is_answered_and_pong_is_taken_by_the_server() -> None:
    connection, link = connect(server_with(Echo))
    sent(link)

    say(connection, "ping", {})
    say(connection, "pong", {})

    assert sent(link) == [{"channel": "pong", "payload": {}}]


def test_a_service_that_hooks_nothing_is_silent_and_fails_on_messages(caplog: pytest.LogCaptureFixture) -> None:
    connection, link = connect(server_with(Other))
    greeting = sent(link)

    say(connection, "other", 1)

    assert greeting == []
    assert [message["payload"]["code"] for message in sent(link)] == ["internal"]


# --- limits


def test_more_messages_than_the_rate_are_refused_and_then_closed_4003() -> None:
    server = server_with(Echo, WSFLASK_MESSAGE_BURST=5, WSFLASK_MESSAGES_PER_SECOND=0.001)
    connection, link = connect(server)
    sent(link)

    for number in range(5 + 20):
        say(connection, "echo", number)

    *answers, last = sent(link)
    assert [answer["payload"] for answer in answers[:5]] == [0, 1, 2, 3, 4]
    assert {answer["payload"]["code"] for answer in [*answers[5:], last]} == {"rate_limited"}
    assert connection.close_code == 4003


def test_the_allowance_comes_back_with_time() -> None:
    server = server_with(Echo, WSFLASK_MESSAGE_BURST=2, WSFLASK_MESSAGES_PER_SECOND=1)
    connection, link = connect(server)
    sent(link)
    for number in range(2):
        say(connection, "echo", number)
    sent(link)
    connection.rate._since -= 1.5

    for number in range(2):
        say(connection, "echo", number)

    assert [message["channel"] for message in sent(link)] == ["echo", "error"]


def test_twenty_bad_messages_close_4508() -> None:
    connection, _ = connect(server_with(Echo))
    for _ in range(19):
        connection._handler.text_arrived(connection, "{")
    before = connection.is_open

    connection._handler.text_arrived(connection, "{")

    assert before
    assert connection.close_code == 4508


def test_one_connection_too_many_of_a_user_is_closed_4504() -> None:
    server = server_with(Echo, WSFLASK_CONNECTIONS_PER_USER=2)

    codes = [connect(server)[0].close_code for _ in range(3)]

    assert codes == [0, 0, 4504]
    assert len(server.hub) == 2


def test_a_connection_without_an_identity_is_closed_4501_and_reaches_no_service() -> None:
    told: list[tuple[str, str]] = []
    server = server_with(Noted("a", told))

    connection = server.handler(MemoryLink(), "/wsflask/ws")

    assert connection.close_code == 4501
    assert told == []


# --- published


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (None, (True, [], [])),
        ("ada", (False, ["ada"], [])),
        (Recipients(users=("ada", "bob"), groups=("crew",)), (False, ["ada", "bob"], ["crew"])),
    ],
)
def test_publish_writes_what_every_worker_relays(database: Database, to: Any, expected: Any) -> None:
    service = Echo()

    service.publish({"a": [1, None]}, **({} if to is None else {"to": to}))

    (found,) = Publication.objects
    assert (found.channel, json.loads(found.payload)) == ("echo", {"a": [1, None]})
    assert (found.everyone, list(found.users), list(found.groups)) == expected


def test_a_session_that_ended_during_its_handshake_opens_no_connection() -> None:
    server = server_with(Echo)
    server._relay._end("s")

    connection, _link = connect(server)

    assert (connection.is_open, connection.close_code) == (False, 4501)
