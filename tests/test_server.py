"""The whole way of a message, on every web server: sign in, connect, ask, be told, be closed."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import mongoengine
import pytest
import websocket

from tests import harness
from tests.apps.echo import CONFIG, URI, Echo, Person
from tests.harness import MS, WebServer, WebSocketClient, login, wait_until
from tests.harness.raw import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    RawClient,
    client_close,
    client_frame,
    handshake_request,
    server_frames,
)
from wsflask.embedded import EmbeddedMongo
from wsflask.hub import Recipients

APP = "tests.apps.echo:app"
#: Where the redis-server of these tests is.
REDIS = "ECHO_REDIS_URL"
#: Each way to serve the application: by name, how it is started with an environment.
SERVERS: dict[str, Callable[[harness.Servers, dict[str, str]], WebServer]] = {
    "gunicorn": lambda servers, env: servers.gunicorn(APP, workers=2, env=env),
    "gunicorn-redis": lambda servers, env: servers.gunicorn(APP, workers=2, env=through_redis(env)),
    "gunicorn-threaded": lambda servers, env: servers.gunicorn(APP, workers=2, env=threaded(env)),
    "pywsgi": lambda servers, env: servers.pywsgi(APP, env=env),
    "werkzeug": lambda servers, env: servers.werkzeug(APP, env=env),
}


def with_settings(env: dict[str, str], **settings: Any) -> dict[str, str]:
    """Return the environment with more `WSFLASK_*` settings in it."""
    config = json.loads(env[CONFIG]) | {f"WSFLASK_{name}": value for name, value in settings.items()}
    return env | {CONFIG: json.dumps(config)}


def through_redis(env: dict[str, str]) -> dict[str, str]:
    """Return the environment with Redis between the database and the workers."""
    harness.require_program("redis-server")
    return with_settings(env, FEED="redis", REDIS_URL=env[REDIS])


def threaded(env: dict[str, str], **settings: Any) -> dict[str, str]:
    """Return the environment with a greenlet or thread for each connection."""
    return with_settings(env, TRANSPORT="threaded", **settings)


@dataclass
class Site:
    """A running application, and how to come to it."""

    server: WebServer
    kind: str = ""
    _cookies: dict[str, str] = field(default_factory=dict)

    @property
    def workers(self) -> int:
        return 2 if self.kind.startswith("gunicorn") else 1

    def sign_in(self, user: str, **fields: str) -> str:
        """Return the cookie of a new session."""
        return login(self.server.base_url, user, **fields)

    def cookie(self, user: str) -> str:
        """Return the cookie of the user's first session."""
        if user not in self._cookies:
            self._cookies[user] = self.sign_in(user)
        return self._cookies[user]

    def raw(self, user: str | None, *, then: bytes = b"", **options: Any) -> RawClient:
        """Return an open connection by hand."""
        client = RawClient(self.server.port, **options)
        client.open(self.server.port, None if user is None else self.cookie(user), then=then)
        return client

    def ask(self, request: bytes) -> tuple[int, str, bytes]:
        """Return status, head and body of the answer to a request that is no handshake."""
        with RawClient(self.server.port) as client:
            client.socket.sendall(request)
            head = client.read_head().decode()
            (length,) = (line.split(":")[1] for line in head.lower().split("\r\n") if "content-length" in line)
            while len(client.rest) < int(length):
                client.rest += client.socket.recv(65536)
            return int(head.split()[1]), head, client.rest


@pytest.fixture(scope="module")
def environment(mongo: EmbeddedMongo, redis_server: harness.RedisServer) -> dict[str, str]:
    """The environment of an application on a database of this module's tests."""
    return {URI: mongo.uri_of(f"test_{uuid4().hex[:12]}"), CONFIG: "{}", REDIS: redis_server.url}


@pytest.fixture
def publish(environment: dict[str, str]) -> Iterator[Callable[..., None]]:
    """Publish from this process, which serves nothing; it is connected to the database meanwhile."""
    mongoengine.disconnect_all()
    mongoengine.connect(host=environment[URI], uuidRepresentation="standard", tz_aware=True)
    yield Echo().publish
    mongoengine.disconnect_all()


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Site]:
    """The application, served in one of the ways."""
    with harness.Servers() as servers:
        site = Site(SERVERS[request.param](servers, environment), request.param)
        yield site
        failures = [part[:2000] for part in site.server.log().split("Traceback (most recent call last)")[1:]]
        assert [failure for failure in failures if "secret of /etc/passwd" not in failure] == []


@pytest.fixture
def connect(site: Site, sockets: harness.Sockets) -> Callable[..., WebSocketClient]:
    """Connect as a user, in the form v1 unless `plain`; the greeting is taken."""

    def connect(user: str = "ada", *, cookie: str | None = None, plain: bool = False) -> WebSocketClient:
        return greeted(sockets, site, cookie or site.cookie(user), plain=plain)

    return connect


def greeted(sockets: harness.Sockets, site: Site, cookie: str, *, plain: bool = False) -> WebSocketClient:
    """Return a client that has its greeting."""
    subprotocols = () if plain else ("wsflask.v1",)
    client = sockets.connect(site.server.ws_url, cookie=cookie, subprotocols=subprotocols)
    client.expect("echo")
    return client


def on_every_worker(site: Site, connect: Callable[..., WebSocketClient], user: str) -> list[WebSocketClient]:
    """Return clients of a user, one on each worker."""
    clients: dict[int, WebSocketClient] = {}
    for _ in range(200):
        client = connect(user)
        if clients.setdefault(client.request("echo", {"action": "pid"})["payload"], client) is not client:
            client.cut()
        if len(clients) == site.workers:
            return list(clients.values())
    raise AssertionError(f"only the workers {list(clients)} took connections")


# --- the two forms


def test_a_client_without_subprotocol_gets_exactly_channel_and_payload(site: Site) -> None:
    asked = {"channel": "echo", "payload": {"a": ["ü", None]}, "id": "7"}

    with site.raw("ada", then=client_frame(json.dumps(asked).encode())) as client:
        frames = client.read_frames(2)

    assert [payload for _, payload in frames] == [
        b'{"channel":"echo","payload":{"hello":"ada"}}',
        '{"channel":"echo","payload":{"a":["ü",null]}}'.encode(),
    ]


def test_a_v1_client_is_welcomed_and_gets_its_ids_back(site: Site, sockets: harness.Sockets) -> None:
    client = sockets.connect(site.server.ws_url, cookie=site.cookie("ada"))

    welcome = client.receive()
    stream = client.receive()
    greeting = client.receive()
    reply = client.request("echo", [1])

    assert stream is not None
    assert (stream["channel"], stream["payload"]["state"]) == ("stream", "loaded")
    assert client.subprotocol == "wsflask.v1"
    assert welcome is not None
    assert welcome["channel"] == "welcome"
    assert welcome["payload"]["channels"] == ["echo"]
    assert welcome["payload"]["protocol"] == "wsflask.v1"
    assert greeting == {"channel": "echo", "payload": {"hello": "ada"}}
    assert reply == {"channel": "echo", "payload": [1], "id": reply["id"]}


def test_requests_are_refused_with_a_code_and_the_socket_stays(connect: Callable[..., WebSocketClient]) -> None:
    client = connect()

    codes = [
        client.request("echo", {"action": "refuse", "code": "conflict"})["payload"]["code"],
        client.request("nobody", 1)["payload"]["code"],
    ]
    for text in ("{", '{"channel":"echo"}', '{"channel":"echo","payload":' + "[" * 40 + "]" * 40 + "}"):
        client.send_text(text)
        codes.append(client.expect("error")["payload"]["code"])

    assert codes == ["conflict", "unknown_channel", "bad_json", "bad_envelope", "too_deep"]
    assert client.request("echo", "still here")["payload"] == "still here"


def test_a_failure_of_the_service_tells_nothing_of_itself(site: Site, connect: Callable[..., WebSocketClient]) -> None:
    client = connect()

    error = client.request("echo", {"action": "fail"})

    assert error["payload"] == {"code": "internal", "message": "Something went wrong on the server."}
    assert client.request("echo", "still here")["payload"] == "still here"
    wait_until(lambda: "secret of /etc/passwd" in site.server.log(), what="the failure in the log")


def test_a_ping_of_either_kind_is_answered(connect: Callable[..., WebSocketClient]) -> None:
    client = connect()

    client.send("ping", {})
    client.send_bytes(b"rfc", websocket.ABNF.OPCODE_PING)

    assert client.expect("pong") == {"channel": "pong", "payload": {}}
    assert client.request("echo", 1)["payload"] == 1


def test_thirty_kilobytes_come_back_twenty_times(connect: Callable[..., WebSocketClient]) -> None:
    client = connect()
    large = "x" * 30_000

    for number in range(20):
        client.send("echo", [number, large], id=str(number))
    replies = [client.expect("echo")["payload"] for _ in range(20)]

    assert replies == [[number, large] for number in range(20)]


# --- limits


def test_messages_beyond_the_rate_are_refused_and_then_closed_4003(connect: Callable[..., WebSocketClient]) -> None:
    client = connect("quick")

    for number in range(60 + 20 + 10):
        client.send("echo", number)

    assert client.expect_close() == 4003
    refused = [message for message in client.messages if message["channel"] == "error"]
    assert {message["payload"]["code"] for message in refused} == {"rate_limited"}
    assert len(refused) == 20


def test_twenty_bad_messages_close_4508(connect: Callable[..., WebSocketClient]) -> None:
    client = connect()

    for _ in range(20):
        client.send_text("{")

    assert client.expect_close() == 4508


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (client_frame(b"x", 2), 1003),
        (client_frame(b"\xff"), 1007),
        (client_frame(b"x" * 65_537), 1009),
        (client_frame(b"x", mask=None), 1002),
        (client_frame(b"x", rsv=0x40), 1002),
        (client_close(1005), 1002),
        (client_close(), None),
        (client_close(1000, b"bye"), 1000),
        (client_close(4321), 4321),
    ],
    ids=["binary", "UTF-8", "size", "mask", "compressed", "close code", "no code", "normal", "own code"],
)
def test_the_socket_closes_with_the_right_code_and_ends(site: Site, frame: bytes, code: int | None) -> None:
    with site.raw("ada", then=frame) as client:
        frames, rest = server_frames(client.read_to_end())

    assert rest == b""
    assert frames[-1][0] == CLOSE
    assert frames[-1][1][:2] == (b"" if code is None else code.to_bytes(2, "big"))


def test_compression_is_not_taken_up(site: Site) -> None:
    with RawClient(site.server.port) as client:
        client.socket.sendall(
            handshake_request(
                site.server.port,
                cookie=site.cookie("ada"),
                headers={"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
            )
        )
        head = client.read_head()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in head.lower()


def test_too_many_connections_of_a_user_are_closed_4504(site: Site) -> None:
    clients = [site.raw("many") for _ in range(20 * site.workers + 1)]

    first = [client.read_frames(1)[0] for client in clients]
    for client in clients:
        client.close()

    refused = [payload for opcode, payload in first if opcode == CLOSE]
    assert refused
    assert {payload[:2] for payload in refused} == {(4504).to_bytes(2, "big")}
    with site.raw("other") as other:
        assert other.read_frames(1)[0][0] == TEXT


# --- the handshake


def test_without_a_session_the_socket_is_accepted_and_closed_4501_before_any_service(site: Site) -> None:
    with site.raw(None) as client:
        frames, rest = server_frames(client.read_to_end())

    assert (frames, rest) == ([(CLOSE, (4501).to_bytes(2, "big") + b"sign in")], b"")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Origin": "http://evil.com"}, 403),
        ({"Origin": "http://127.0.0.1.evil.com"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Upgrade": None, "Connection": None}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Content-Length": "3"}, 400),
    ],
    ids=str,
)
def test_a_bad_handshake_is_refused_in_a_line(site: Site, changes: dict[str, str | None], status: int) -> None:
    request = handshake_request(site.server.port, cookie=site.cookie("ada"), headers=changes)

    got, head, body = site.ask(request + (b"abc" if "Content-Length" in changes else b""))

    assert got == status
    assert 0 < len(body) <= 200
    assert ("Sec-WebSocket-Version: 13" in head) == (status == 426)


@pytest.mark.parametrize("upgrade", ["websocket", None])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_is_405(site: Site, method: str, upgrade: str | None) -> None:
    headers = {"Upgrade": upgrade, "Connection": "Upgrade" if upgrade else None, "Content-Length": "0"}

    status, head, body = site.ask(handshake_request(site.server.port, method=method, headers=headers))

    assert status == 405
    (allowed,) = (line for line in head.split("\r\n") if line.startswith("Allow:"))
    assert "GET" in allowed
    assert method not in allowed
    assert len(body) <= 200


def test_http_1_0_is_refused(site: Site) -> None:
    request = handshake_request(site.server.port, cookie=site.cookie("ada"), version="HTTP/1.0")

    assert site.ask(request)[0] == 400


def test_a_missing_origin_without_a_cookie_is_only_not_signed_in(site: Site) -> None:
    with RawClient(site.server.port) as client:
        client.socket.sendall(handshake_request(site.server.port, headers={"Origin": None}))
        head = client.read_head()
        frames, _ = server_frames(client.read_to_end())

    assert head.startswith(b"HTTP/1.1 101 ")
    assert frames[0][1][:2] == (4501).to_bytes(2, "big")


def test_what_a_client_sends_right_after_the_101_is_not_lost(site: Site) -> None:
    hello = client_frame(b'{"channel":"echo","payload":"first"}')

    for _ in range(50):
        with site.raw("ada", then=hello) as client:
            frames = client.read_frames(2)
            assert [json.loads(payload)["payload"] for _, payload in frames] == [{"hello": "ada"}, "first"]
            client.socket.sendall(client_close(1000))
            assert client.read_frames(1)[0][0] == CLOSE


@pytest.mark.parametrize(
    "last",
    [client_close(1000), client_frame(b"x", 2), client_frame(b"x", mask=None)],
    ids=["close", "binary", "broken"],
)
@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "a moment later"])
def test_nothing_after_the_end_is_read_as_http(site: Site, last: bytes, *, together: bool) -> None:
    smuggled = f"GET /?smuggled HTTP/1.1\r\nHost: 127.0.0.1:{site.server.port}\r\n\r\n".encode()

    with site.raw("ada", then=last + smuggled if together else last) as client:
        if not together:
            client.read_frames(2)
            try:
                client.socket.sendall(smuggled)
            except OSError:
                pass  # The server was faster: all the better.
        answer = client.read_to_end()

    frames, rest = server_frames(answer)
    assert rest == b""
    assert {opcode for opcode, _ in frames} <= {TEXT, CLOSE}
    assert "smuggled" not in site.server.log()


def test_connections_leave_no_file_descriptors_behind(site: Site) -> None:
    def descriptors() -> int:
        pids = site.server.workers() if site.workers == 2 else [site.server.process.pid]
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)

    site.raw("ada").close()
    before = descriptors()
    for number in range(30):
        with site.raw("ada") as client:
            client.read_frames(1)
            if number % 3 == 0:
                client.socket.sendall(client_close(1000))
                client.read_to_end()
            elif number % 3 == 1:
                client.socket.sendall(client_frame(b"x", 2))
                client.read_to_end()

    wait_until(lambda: descriptors() <= before + 2, what=f"{before} descriptors again")


# --- published


def test_a_publication_reaches_the_clients_of_every_worker(site: Site, connect: Callable[..., WebSocketClient]) -> None:
    clients = on_every_worker(site, connect, "ada")

    clients[0].send("echo", {"action": "publish", "payload": {"n": 1}})

    assert [client.expect("echo")["payload"] for client in clients] == [{"n": 1}] * site.workers


def test_another_process_publishes_to_users_and_groups(
    site: Site, connect: Callable[..., WebSocketClient], publish: Callable[..., None]
) -> None:
    crew = f"crew-{site.kind}"
    ada, bob = connect("ada"), connect("bob")
    cleo = connect(cookie=site.sign_in("cleo", groups=crew))

    both = Recipients(users=("ada",), groups=(crew,))
    recipients: list[Recipients | str] = ["bob", both, Recipients(groups=("none",))]
    for number, to in enumerate(recipients):
        publish(number, to=to)
    publish("all")
    got: list[list[Any]] = [[], [], []]
    for client, messages in zip((ada, bob, cleo), got, strict=True):
        while "all" not in messages:
            messages.append(client.expect("echo")["payload"])

    assert got == [[1, "all"], [0, "all"], [1, "all"]]


def test_publications_of_one_writer_arrive_in_order(
    site: Site, connect: Callable[..., WebSocketClient], publish: Callable[..., None]
) -> None:
    clients = on_every_worker(site, connect, "ada")

    for number in range(50):
        publish(number)

    for client in clients:
        assert [client.expect("echo")["payload"] for _ in range(50)] == list(range(50))


# --- sessions


def test_logout_closes_the_sessions_sockets_on_every_worker_and_no_others(
    site: Site, connect: Callable[..., WebSocketClient]
) -> None:
    cookie, other = site.sign_in("dora"), site.sign_in("dora")
    ending = on_every_worker(site, lambda _: connect(cookie=cookie), "dora")
    staying = [connect(cookie=other), connect("ada")]

    started = time.monotonic()
    site.ask(handshake_request(site.server.port, path="/logout", cookie=cookie, headers={"Upgrade": None}))
    codes = [client.expect_close() for client in ending]
    took = time.monotonic() - started

    assert codes == [4501] * site.workers
    assert took < 1000 * MS
    assert [client.request("echo", "here")["payload"] for client in staying] == ["here", "here"]
    with RawClient(site.server.port) as replay:
        replay.open(site.server.port, cookie)
        frames, _ = server_frames(replay.read_to_end())
    assert [payload[:2] for _, payload in frames] == [(4501).to_bytes(2, "big")]


# --- slow readers


def _read_all(client: RawClient, numbers: list[int], last: int) -> None:
    """Read the numbers of a burst to the last, failing on a corrupt frame."""
    rest = b""
    while not numbers or numbers[-1] != last:
        data = client.socket.recv(1 << 18)
        if not data:
            return
        frames, rest = server_frames(rest + data)
        for opcode, payload in frames:
            assert opcode == TEXT
            if payload.startswith(b'{"channel":"echo","payload":{"number":'):
                numbers.append(int(payload[38:50].partition(b",")[0]))


def stall(site: Site, *, seconds: float, count: int) -> tuple[list[list[int]], list[tuple[int, bytes]]]:
    """Broadcast `count` messages of 10 KB to nine readers and one that stops reading; return what they got."""
    readers = [site.raw(f"reader{number}") for number in range(9)]
    slow = site.raw("slow", receive_buffer=16 * 1024)
    command = {"action": "burst", "count": count, "size": 10_000, "seconds": seconds}
    got: list[list[int]] = [[] for _ in readers]
    threads = [
        threading.Thread(target=_read_all, args=(reader, numbers, count - 1))
        for reader, numbers in zip(readers, got, strict=True)
    ]
    for thread in threads:
        thread.start()
    slow.socket.sendall(client_frame(json.dumps({"channel": "echo", "payload": command}).encode()))
    started = time.monotonic()
    for thread in threads:
        thread.join(3 * seconds + 20)
        assert not thread.is_alive(), "a reader still waits"
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    late = slow.read_to_end()
    for client in (*readers, slow):
        client.close()
    frames, rest = server_frames(late)
    assert rest == b"", f"{len(rest)} bytes of a frame that never ended"
    return got, frames


@pytest.fixture
def one_worker(
    request: pytest.FixtureRequest, environment: dict[str, str], servers: harness.Servers
) -> Site:
    """The application in one process, served in one of the ways."""
    if request.param == "werkzeug":
        return Site(servers.werkzeug(APP, env=with_settings(environment, OUTBOX_SECONDS=2)), "werkzeug")
    if request.param == "gunicorn-threaded":
        environment = threaded(environment, OUTBOX_SECONDS=2)
    return Site(servers.gunicorn(APP, env=environment), "one")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one_worker", "seconds", "count"),
    [("gunicorn", 10, 3000), ("gunicorn-threaded", 3, 900), ("werkzeug", 3, 900)],
    indirect=["one_worker"],
    ids=["gunicorn", "gunicorn-threaded", "werkzeug"],
)
def test_a_reader_that_stops_keeps_nobody_waiting_and_gets_whole_frames(
    one_worker: Site, seconds: int, count: int
) -> None:
    got, frames = stall(one_worker, seconds=seconds, count=count)

    assert got == [list(range(count))] * 9
    assert frames[-1] == (CLOSE, (4001).to_bytes(2, "big") + b"too slow")
    numbers = [json.loads(payload)["payload"].get("number") for _, payload in frames[1:-1]]
    assert numbers == list(range(len(numbers)))


# --- ends and deaths


@pytest.mark.parametrize("transport", ["auto", "threaded"])
def test_sigterm_says_goodbye_to_every_client_and_ends(
    transport: str, environment: dict[str, str], servers: harness.Servers, sockets: harness.Sockets
) -> None:
    env = with_settings(environment, TRANSPORT=transport)
    site = Site(servers.gunicorn(APP, workers=2, env=env), "gunicorn")
    clients = [greeted(sockets, site, site.cookie("ada"), plain=number % 2 == 0) for number in range(8)]

    site.server.signal(signal.SIGTERM)
    started = time.monotonic()
    codes = [client.expect_close() for client in clients]
    told = time.monotonic() - started
    status = site.server.process.wait(10)

    assert codes == [1012] * 8
    assert told < 1000 * MS
    assert status == 0
    assert time.monotonic() - started < 4000 * MS
    goodbyes = [[message for message in client.messages if message["channel"] == "goodbye"] for client in clients]
    assert goodbyes[0::2] == [[]] * 4
    assert goodbyes[1::2] == [
        [{"channel": "goodbye", "payload": {"reason": "restart", "reconnect": 5.0}}]
    ] * 4  # fmt: skip


def test_a_reload_says_goodbye_and_serves_on(
    environment: dict[str, str], servers: harness.Servers, sockets: harness.Sockets
) -> None:
    site = Site(servers.gunicorn(APP, workers=1, env=environment), "gunicorn")
    client = greeted(sockets, site, site.cookie("ada"))
    pid = client.request("echo", {"action": "pid"})["payload"]

    site.server.signal(signal.SIGHUP)
    code = client.expect_close()
    again = wait_until(lambda: _pid_of_another(sockets, site, pid), what="the new worker")

    assert code == 1012
    assert again != pid


def _pid_of_another(sockets: harness.Sockets, site: Site, pid: int) -> int | None:
    """Return the process id of the worker that takes a connection, None while the old one or none does."""
    try:
        client = greeted(sockets, site, site.cookie("ada"))
    except (AssertionError, OSError, websocket.WebSocketException):
        return None
    found: int = client.request("echo", {"action": "pid"})["payload"]
    return found if found != pid else None


def test_when_a_worker_is_killed_the_other_goes_on_and_new_clients_are_served(
    environment: dict[str, str], servers: harness.Servers, sockets: harness.Sockets, publish: Callable[..., None]
) -> None:
    site = Site(servers.gunicorn(APP, workers=2, env=environment), "gunicorn")

    def connect(user: str) -> WebSocketClient:
        return greeted(sockets, site, site.cookie(user))

    first, second = on_every_worker(site, connect, "ada")
    pid = first.request("echo", {"action": "pid"})["payload"]
    os.kill(pid, signal.SIGKILL)
    code = first.expect_close()
    publish("after")

    assert code == 1006
    assert second.expect("echo")["payload"] == "after"
    assert second.request("echo", "here")["payload"] == "here"
    again = on_every_worker(site, connect, "bob")
    assert pid not in {client.request("echo", {"action": "pid"})["payload"] for client in again}


@pytest.mark.usefixtures("publish")
def test_a_deactivated_user_is_closed_at_the_next_check_of_sessions(
    environment: dict[str, str], servers: harness.Servers, sockets: harness.Sockets
) -> None:
    env = with_settings(environment, SESSION_CHECK_INTERVAL=0.2)
    site = Site(servers.pywsgi(APP, env=env), "pywsgi")
    eve, ada = (greeted(sockets, site, site.cookie(user)) for user in ("eve", "ada"))

    Person.objects(name="eve").update(active=False)

    assert eve.expect_close() == 4501
    assert ada.request("echo", 1)["payload"] == 1


def test_a_full_server_refuses_with_503(environment: dict[str, str], servers: harness.Servers) -> None:
    site = Site(servers.pywsgi(APP, env=with_settings(environment, MAX_CONNECTIONS=1)), "pywsgi")

    with site.raw("ada") as first:
        first.read_frames(1)
        status, head, body = site.ask(handshake_request(site.server.port, cookie=site.cookie("ada")))

    assert status == 503
    assert "Retry-After: 2" in head
    assert len(body) <= 200


@pytest.mark.parametrize("transport", ["auto", "threaded"])
def test_a_silent_client_is_closed_and_one_that_answers_stays(
    transport: str, environment: dict[str, str], servers: harness.Servers, sockets: harness.Sockets
) -> None:
    env = with_settings(environment, TRANSPORT=transport, PING_INTERVAL=0.5, PING_TIMEOUT=0.5)
    site = Site(servers.pywsgi(APP, env=env), "pywsgi")
    v1 = greeted(sockets, site, site.cookie("ada"))

    with site.raw("ada") as silent, site.raw("ada") as answering:
        answering.read_frames(1)
        answers = []
        for _ in range(3):
            answers += answering.read_frames(1)
            answering.socket.sendall(client_frame(b"", PONG))
        v1.expect("ping")
        v1_code = v1.expect_close()
        frames, _ = server_frames(silent.read_to_end())

    assert answers == [(PING, b"")] * 3
    assert v1_code == 4004
    assert frames[-1] == (CLOSE, (4004).to_bytes(2, "big") + b"no sign of life")


def test_a_client_that_vanishes_is_forgotten(site: Site, connect: Callable[..., WebSocketClient]) -> None:
    """Its socket is reset while messages are on their way."""
    watching = on_every_worker(site, connect, "ada")
    before = [client.request("echo", {"action": "clients"})["payload"] for client in watching]
    for _ in range(5):
        with site.raw("bob") as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def now() -> list[int]:
        time.sleep(0.05)
        return [client.request("echo", {"action": "clients"})["payload"] for client in watching]

    wait_until(lambda: sum(now()) <= sum(before))
