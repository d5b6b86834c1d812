"""What clients see when a process ends: on each signal, under each server, at each of gunicorn's own occasions."""

from __future__ import annotations

import collections
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
import pytest
import websocket

from tests import harness
from tests.apps.echo import CONFIG, URI
from tests.harness import MS, WebServer, WebSocketClient, is_running, login, wait_until
from tests.harness.raw import CLOSE, RawClient, client_frame, handshake_request, server_frames
from wsflask.embedded import EmbeddedMongo, free_port

APP = "tests.apps.echo:app"
GOODBYE = {"channel": "goodbye", "payload": {"reason": "restart", "reconnect": 5.0}}
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]

#: Asks for more than the kernel takes for one who does not read.
BURST = b'{"channel":"echo","payload":{"action":"burst","count":100,"size":60000,"seconds":0}}'

Start = Callable[..., WebServer]


@pytest.fixture
def environment(mongo: EmbeddedMongo) -> dict[str, str]:
    """The environment of an application on a database of its own."""
    return {URI: mongo.uri_of(f"test_{uuid4().hex[:12]}"), CONFIG: "{}"}


def with_settings(env: dict[str, str], **settings: Any) -> dict[str, str]:
    """Return the environment with `WSFLASK_*` settings in it."""
    return env | {CONFIG: json.dumps({f"WSFLASK_{name}": value for name, value in settings.items()})}


@pytest.fixture(params=["settings", "plain"])
def start(request: pytest.FixtureRequest, environment: dict[str, str], servers: harness.Servers) -> Start:
    """Start gunicorn: with the settings of wsflask.gunicorn, or without a word of it."""

    def start(*arguments: str, workers: int = 2, **settings: Any) -> WebServer:
        env = with_settings(environment, **settings)
        if request.param == "settings":
            return servers.gunicorn(APP, workers=workers, env=env, arguments=arguments)
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", str(workers), "-b", f"127.0.0.1:{port}"]
        command += ["--no-control-socket", "--graceful-timeout", "3"]
        return servers.start([*command, *arguments, APP], port=port, env=env)

    return start


def with_the_settings(test: Any) -> Any:
    """Run a test of what only the settings of wsflask.gunicorn give."""
    return pytest.mark.parametrize("start", ["settings"], indirect=True)(test)


@pytest.fixture
def crowd(sockets: harness.Sockets) -> Callable[..., list[WebSocketClient]]:
    """Open greeted connections; every second one speaks the plain form."""

    def crowd(server: WebServer, count: int = 8) -> list[WebSocketClient]:
        cookie = login(server.base_url, "ada")
        forms = [("wsflask.v1",) if number % 2 == 0 else () for number in range(count)]
        clients = [sockets.connect(server.ws_url, cookie=cookie, subprotocols=form) for form in forms]
        for client in clients:
            client.expect("echo")
        return clients

    return crowd


def check_farewell(clients: list[WebSocketClient], *, within: float = 1000 * MS) -> None:
    """Fail unless all get a goodbye, if they know that word, and close code 1012, soon."""
    deadline = time.monotonic() + within
    codes = [client.expect_close() for client in clients]

    assert codes == [1012] * len(clients)
    assert time.monotonic() < deadline
    goodbyes = [[message for message in client.messages if message["channel"] == "goodbye"] for client in clients]
    assert goodbyes == [[GOODBYE] if client.subprotocol else [] for client in clients]


def pid_of(client: WebSocketClient) -> int:
    """Return the process id of the worker that has the connection."""
    found: int = client.request("echo", {"action": "pid"})["payload"]
    return found


# --- gunicorn


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_that_ends_gunicorn_tells_every_client(
    start: Start, crowd: Callable[..., list[WebSocketClient]], number: int
) -> None:
    server = start()
    clients = crowd(server)

    server.signal(number)

    check_farewell(clients)
    assert server.process.wait(5) == 0


def test_a_reload_tells_the_clients_of_the_old_workers_and_new_ones_serve(
    start: Start, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    server = start()
    clients = crowd(server)
    old = set(server.workers())

    server.signal(signal.SIGHUP)

    check_farewell(clients, within=2000 * MS)  # The new workers start first.
    wait_until(lambda: not any(is_running(pid) for pid in old), what="the end of the old workers")
    assert {pid_of(client) for client in crowd(server)[::2]}.isdisjoint(old)


@with_the_settings
@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_a_worker_that_gets_a_signal_by_itself_tells_its_clients(
    start: Start, crowd: Callable[..., list[WebSocketClient]], number: int
) -> None:
    """A terminal that hangs up, or systemd with KillMode=control-group, signals all processes alike."""
    server = start(workers=1)
    clients = crowd(server)
    (worker,) = server.workers()

    os.kill(worker, number)

    check_farewell(clients)


def test_a_worker_that_has_had_its_requests_tells_its_clients(
    start: Start, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    server = start("--max-requests", "30", "--max-requests-jitter", "1", workers=1)
    clients = crowd(server)
    (worker,) = server.workers()

    harness_requests = (login(server.base_url, "eve") for _ in range(30))
    wait_until(lambda: next(harness_requests) and "Autorestarting" in server.log())

    check_farewell(clients)
    wait_until(lambda: not is_running(worker), what="the end of the worker")
    assert pid_of(crowd(server, 1)[0]) != worker


def test_workers_are_replaced_after_different_numbers_of_requests(servers: harness.Servers) -> None:
    """Its own jitter counts where it is given."""
    printed = servers.run_python(
        "import types; from wsflask.gunicorn import post_worker_init\n"
        "def limit(jitter):\n"
        "    cfg = types.SimpleNamespace(max_requests=1000, max_requests_jitter=jitter)\n"
        "    worker = types.SimpleNamespace(cfg=cfg, max_requests=1000, handle_exit=lambda *_: None)\n"
        "    post_worker_init(worker)\n"
        "    return worker.max_requests\n"
        "print([limit(0) for _ in range(200)], {limit(5) for _ in range(20)}, sep='\\n')"
    )

    drawn, given = printed.splitlines()
    limits = json.loads(drawn)
    assert min(limits) >= 1000
    assert max(limits) <= 1500
    assert len(set(limits)) > 100
    assert given == "{1000}"


@pytest.mark.parametrize(
    ("own", "threshold", "is_frozen"),
    [("", 10_000, True), ("gc.set_threshold(50_000)", 50_000, True), ("gc.disable()", 700, False)],
    ids=["as Python has it", "a threshold of its own", "switched off"],
)
def test_a_worker_looks_for_garbage_less_often(
    servers: harness.Servers, own: str, threshold: int, *, is_frozen: bool
) -> None:
    printed = servers.run_python(
        "import gc, types; from wsflask.gunicorn import post_worker_init\n"
        f"gc.set_threshold(700); {own}\n"
        "cfg = types.SimpleNamespace(max_requests=0, max_requests_jitter=0)\n"
        "post_worker_init(types.SimpleNamespace(cfg=cfg, handle_exit=lambda *_: None))\n"
        "print(gc.get_threshold()[0], gc.get_freeze_count() > 1000, sep='\\n')"
    )

    assert printed.split() == [str(threshold), str(is_frozen)]


def test_a_worker_whose_loop_hangs_tells_its_clients_before_it_is_killed(
    start: Start, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    server = start("--timeout", "2", workers=1)
    clients = crowd(server)
    (worker,) = server.workers()

    clients[0].send("echo", {"action": "hang", "seconds": 60})

    check_farewell(clients, within=(2 + 2 + 1) * 1000 * MS)  # gunicorn looks once a second.
    wait_until(lambda: not is_running(worker), what="the end of the worker")
    assert pid_of(crowd(server, 1)[0]) != worker


@with_the_settings
def test_code_that_takes_no_notice_of_its_end_keeps_no_client_from_its_goodbye(
    start: Start, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    server = start("--timeout", "2", workers=1)
    clients = crowd(server)

    clients[0].send("echo", {"action": "hang", "seconds": 60, "stubborn": True})

    check_farewell(clients, within=(2 + 2 + 1) * 1000 * MS)


def test_preloaded_workers_tell_their_clients(
    tmp_path: Path,
    environment: dict[str, str],
    servers: harness.Servers,
    crowd: Callable[..., list[WebSocketClient]],
) -> None:
    (tmp_path / "preloaded.py").write_text(
        "from gevent import monkey\n\nmonkey.patch_all()\n\nfrom tests.apps.echo import app  # noqa\n"
    )
    env = environment | {"PYTHONPATH": f"{tmp_path}:{harness.ROOT}"}
    server = servers.gunicorn("preloaded:app", workers=2, env=env, arguments=["--preload"])
    clients = crowd(server)
    old = set(server.workers())

    server.signal(signal.SIGHUP)
    check_farewell(clients, within=2000 * MS)
    wait_until(lambda: not any(is_running(pid) for pid in old), what="the end of the old workers")
    others = crowd(server)
    server.signal(signal.SIGTERM)

    check_farewell(others)
    assert server.process.wait(5) == 0


def test_handshakes_at_a_worker_that_ends_are_refused(
    environment: dict[str, str], servers: harness.Servers, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    """For up to a second the worker goes on to accept connections."""
    server = servers.gunicorn(APP, workers=1, env=environment)
    clients = crowd(server)
    cookie, (worker,) = login(server.base_url, "ada"), server.workers()
    os.kill(worker, signal.SIGTERM)
    answers: collections.Counter[Any] = collections.Counter()

    while is_running(worker):
        with RawClient(server.port) as client:
            client.socket.settimeout(0.2)
            try:
                client.socket.sendall(handshake_request(server.port, cookie=cookie))
                head = client.read_head().decode()
                closed = 0
                if " 101 " in head:
                    frames, _ = server_frames(client.read_to_end())
                    closed = int.from_bytes(frames[-1][1][:2], "big")
                answers[(head[9:12], "Retry-After" in head, closed)] += 1
            except OSError:
                pass  # It is for the next worker.

    check_farewell(clients)
    assert set(answers) - {("", False, 0)} <= {("503", True, 0), ("101", False, 1012)}
    assert answers[("503", True, 0)] > 0


def stalled(server: WebServer, client: RawClient) -> None:
    """Have a client not read more than has come to it than fits into the kernel's buffers."""
    client.open(server.port, login(server.base_url, "bob"), then=client_frame(BURST))
    wait_until(lambda: b'"number":0' in client.socket.recv(1 << 16, socket.MSG_PEEK), what="the burst")


def numbers_of(frames: list[tuple[int, bytes]]) -> list[int]:
    """Return the numbers of the messages of a burst."""
    payloads = [json.loads(payload)["payload"] for opcode, payload in frames if opcode != CLOSE]
    return [payload["number"] for payload in payloads if "number" in payload]


def test_who_does_not_read_holds_up_no_deploy(
    environment: dict[str, str], servers: harness.Servers, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    """The kernel takes no close frame for him: he sees the connection end, in the middle of what he had not read."""
    server = servers.gunicorn(APP, workers=1, env=with_settings(environment, DRAIN_TIMEOUT=1.5, OUTBOX_BYTES=1 << 23))
    with RawClient(server.port, receive_buffer=4096) as slow:
        stalled(server, slow)
        clients = crowd(server)

        server.signal(signal.SIGTERM)
        started = time.monotonic()
        check_farewell(clients)
        status = server.process.wait(5)
        took = time.monotonic() - started
        frames, rest = server_frames(slow.read_to_end())

    assert status == 0
    assert took < (1.5 + 3.0) * 1000 * MS  # gunicorn itself would wait for ten
    assert 0 < len(numbers_of(frames)) < 100
    assert numbers_of(frames) == list(range(len(numbers_of(frames))))
    assert rest


def test_who_reads_late_gets_whole_frames_and_then_1012(environment: dict[str, str], servers: harness.Servers) -> None:
    server = servers.gunicorn(APP, workers=1, env=with_settings(environment, DRAIN_TIMEOUT=4.0, OUTBOX_BYTES=1 << 23))
    with RawClient(server.port, receive_buffer=4096) as slow:
        stalled(server, slow)

        server.signal(signal.SIGTERM)
        gevent.sleep(2400 * MS)
        frames, rest = server_frames(slow.read_to_end())

    assert rest == b""
    assert frames[-1] == (CLOSE, (1012).to_bytes(2, "big") + b"restart")
    assert 0 < len(numbers_of(frames)) < 100
    assert numbers_of(frames) == list(range(len(numbers_of(frames))))


def test_the_settings_can_be_the_beginning_of_ones_own(
    tmp_path: Path, environment: dict[str, str], servers: harness.Servers, crowd: Callable[..., list[WebSocketClient]]
) -> None:
    own = tmp_path / "own.py"
    own.write_text("from wsflask.gunicorn import *\n\nworkers = 3\naccesslog = '-'\n")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", str(own), "--bind", f"127.0.0.1:{port}", APP]

    server = servers.start(command, port=port, env=environment)
    clients = crowd(server)
    assert len(server.workers()) == 3
    for worker in server.workers():
        os.kill(worker, signal.SIGHUP)

    check_farewell(clients)


# --- gevent.pywsgi

PYWSGI = """
from gevent import monkey; monkey.patch_all()
from gevent.pywsgi import WSGIServer
from {module} import app
http_server = WSGIServer(("127.0.0.1", {port}), app)
app.extensions["wsflask"].drain_on_signals(http_server)
http_server.serve_forever()
"""


@pytest.mark.parametrize("transport", ["auto", "threaded"])
@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_every_signal_ends_pywsgi_and_tells_every_client(
    environment: dict[str, str],
    servers: harness.Servers,
    crowd: Callable[..., list[WebSocketClient]],
    number: int,
    transport: str,
) -> None:
    port = free_port()
    script = PYWSGI.format(module="tests.apps.echo", port=port)
    env = with_settings(environment, TRANSPORT=transport)
    server = servers.start([sys.executable, "-c", script], port=port, env=env)
    clients = crowd(server)

    server.signal(number)

    check_farewell(clients)
    assert server.process.wait(5) == 0
    assert "Traceback" not in server.log()


# --- deploys under load


class Tab:
    """A client that comes back, and counts how its connections ended."""

    def __init__(self, server: WebServer, cookie: str, ends: collections.Counter[Any]) -> None:
        self.answers = 0
        self._server, self._cookie, self._ends = server, cookie, ends
        self._greenlet = gevent.spawn(self._live)

    def _live(self) -> None:
        while True:
            try:
                client = WebSocketClient(self._server.ws_url, cookie=self._cookie)
            except websocket.WebSocketBadStatusException as refused:
                self._ends[f"refused {refused.status_code}"] += 1
                gevent.sleep(0.05)
                continue
            try:
                while client.close_code is None:
                    client.send("echo", self.answers)
                    if (message := client.receive(0.1)) is not None and message["channel"] == "echo":
                        self.answers += 1
                    gevent.sleep(0.02)
            except (websocket.WebSocketException, OSError):
                client.receive(0.5)
            finally:
                client.cut()
            self._ends[client.close_code] += 1

    def stop(self) -> None:
        self._greenlet.kill()


@pytest.fixture
def tabs() -> Iterator[Callable[..., list[Tab]]]:
    """Open tabs, and end them with the test."""
    opened: list[Tab] = []

    def tabs(server: WebServer, count: int, ends: collections.Counter[Any]) -> list[Tab]:
        cookie = login(server.base_url, "ada")
        opened.extend(Tab(server, cookie, ends) for _ in range(count))
        return opened

    yield tabs
    for tab in opened:
        tab.stop()


@pytest.mark.slow
def test_five_rolling_deploys_under_load_end_no_connection_without_a_word(
    environment: dict[str, str], servers: harness.Servers, tabs: Callable[..., list[Tab]]
) -> None:
    server = servers.gunicorn(APP, workers=2, env=with_settings(environment, CONNECTIONS_PER_USER=100))
    ends: collections.Counter[Any] = collections.Counter()
    crowd = tabs(server, 20, ends)
    for _ in range(5):
        wait_until(lambda before=[tab.answers for tab in crowd]: all(  # type: ignore[misc]
            tab.answers > count for tab, count in zip(crowd, before, strict=True)
        ), what="an answer for everyone")  # fmt: skip
        old = set(server.workers())
        server.signal(signal.SIGHUP)
        wait_until(lambda old=old: not any(map(is_running, old)), what="the end of the old workers")  # type: ignore[misc]

    assert ends[1012] >= 5 * 20
    assert set(ends) <= {1012, "refused 503"}
