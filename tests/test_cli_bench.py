"""`wsflask bench`, run as an operator runs it against real deployments."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.apps.echo import CONFIG, URI
from tests.harness import ROOT, Servers, Sockets, WebServer, login, require_program, wait_until
from wsflask.cli.sign_in import sign_in
from wsflask.embedded import EmbeddedMongo, free_port
from wsflask.errors import ConfigError

COMMAND = [sys.executable, "-m", "wsflask", "bench"]
FIELDS = {"username": "ann", "password": "open &sesame"}
FORM = ("--login", "/login", "--field", "username=ann", "--field", "password=open &sesame")
SHORT = ("--duration", "0.5", "--rate", "200")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run has left."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output)
        return found


def environment() -> dict[str, str]:
    """Return the environment of the command."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def bench(*arguments: str, given: str = "", under: tuple[str, ...] = ()) -> Ended:
    """Run the command to its end."""
    command = [*under, *COMMAND, *arguments]
    done = subprocess.run(
        command, input=given, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def desk(mongo: EmbeddedMongo) -> Iterator[WebServer]:
    """A UI with a login form and notifications, on two workers."""
    with Servers() as servers:
        env = {"WSFLASK_MONGODB_URI": mongo.uri_of(f"test_{uuid4().hex[:12]}")}
        yield servers.gunicorn("tests.apps.guarded:app", workers=2, env=env)


@pytest.fixture
def echo(mongo: EmbeddedMongo, servers: Servers) -> Callable[..., WebServer]:
    """Start a UI on one worker with these `WSFLASK_*` settings; anybody may sign in."""

    def start(**settings: Any) -> WebServer:
        config = json.dumps({f"WSFLASK_{name}": value for name, value in settings.items()})
        env = {URI: mongo.uri_of(f"test_{uuid4().hex[:12]}"), CONFIG: config}
        return servers.gunicorn("tests.apps.echo:app", env=env)

    return start


def test_the_command_explains_itself_with_examples() -> None:
    shown = bench("--help").output

    assert "Examples:" in shown
    assert "wsflask bench https://ui.example.com" in shown
    assert "[default: 100;" in shown


# --- what is measured


def test_who_signs_in_with_the_form_gets_a_table(desk: WebServer) -> None:
    ended = bench(desk.base_url, *FORM, "-n", "8", *SHORT, "--pings", "40")

    assert (ended.status, ended.errors) == (0, "")
    rows = {line[:20].strip(): line[20:].split() for line in ended.output.splitlines()[3:]}
    assert rows[""] == ["count", "per", "s", "p50", "p99", "max"]
    assert [rows[name][0] for name in ("connected", "handshake", "welcome", "notifications")] == ["8"] * 4
    assert rows["notifications"][2::2] == ["ms"] * 3
    assert int(rows["pings answered"][0]) >= 5
    assert rows["pings unanswered"] == rows["failed"] == rows["lost"] == ["0"]


def test_json_has_all_figures_for_machines(desk: WebServer) -> None:
    cookie = sign_in(desk.base_url, "/login", FIELDS)

    found = bench(desk.ws_url, "--cookie", cookie, "-n", "6", *SHORT, "--pings", "30", "--json").json

    assert found["url"] == desk.ws_url
    assert found["asked"] == {"connections": 6, "rate": 200.0, "duration": 0.5, "pings": 30.0}
    connects, pings, received = found["connects"], found["pings"], found["received"]
    assert (connects["count"], connects["failed"], found["lost"]) == (6, {}, {})
    assert 0 < connects["per_second"] <= 210
    for name in ("handshake_ms", "welcome_ms", "notifications_ms"):
        assert connects[name]["count"] == 6
        assert 0 < connects[name]["p50"] <= connects[name]["p99"] <= connects[name]["max"]
    assert pings["sent"] == pings["round_trip_ms"]["count"] >= 5
    assert (pings["allowed_per_second"], pings["skipped"], pings["refused"]) == (120, 0, {})
    # welcome, the place in each of two streams, the count
    assert received["messages"] == 6 * 4 + pings["sent"]
    assert received["bytes"] > 6 * 200 + pings["sent"] * 20
    assert 0.5 < received["seconds"] < 20


def test_sessions_are_used_in_turn(echo: Callable[..., WebServer]) -> None:
    server = echo(CONNECTIONS_PER_USER=2)
    cookies = f"{login(server.base_url, 'ann')}\n\n{login(server.base_url, 'bob')}\n"

    third = ("--cookie", login(server.base_url, "cyd"))

    two = bench(server.base_url, "--cookies", "-", "-n", "4", *SHORT, given=cookies)
    three = bench(server.base_url, "--cookies", "-", *third, "-n", "7", *SHORT, given=cookies)

    assert two.status == 0, two.output
    assert "connected                    6" in three.output
    assert three.status == 1


def test_a_field_that_is_repeated_signs_in_one_more_user(echo: Callable[..., WebServer]) -> None:
    server = echo(CONNECTIONS_PER_USER=2)
    users = [f"--field=username={name}" for name in ("ann", "bob")]

    ended = bench(server.base_url, "--login", "/login", *users, "--field", "groups=pilots", "-n", "4", *SHORT)

    assert ended.status == 0, ended.errors + ended.output


def test_pings_keep_to_the_limit_that_the_server_tells(echo: Callable[..., WebServer]) -> None:
    server = echo(MESSAGES_PER_SECOND=2, MESSAGE_BURST=2)
    arguments = (server.base_url, "--cookie", login(server.base_url, "ann"), "-n", "3", "--pings", "500")

    shown = bench(*arguments, "--duration", "2")
    found = bench(*arguments, "--duration", "2", "--json").json["pings"]

    assert shown.status == 0
    assert "The server takes 6 messages a second from these; no more were sent." in shown.output
    assert 6 <= found["sent"] <= 13
    assert (found["allowed_per_second"], found["refused"]) == (6, {})


def test_a_connection_that_is_not_pinged_answers_the_server(echo: Callable[..., WebServer]) -> None:
    server = echo(PING_INTERVAL=0.5, PING_TIMEOUT=0.5)

    quiet = ("-n", "2", "--pings", "0", "--duration", "4")
    ended = bench(server.base_url, "--cookie", login(server.base_url, "ann"), *quiet)

    assert ended.status == 0, ended.output
    assert "pings answered               0\n" in ended.output


def test_a_login_and_a_socket_over_tls_need_a_certificate_or_leave(
    mongo: EmbeddedMongo, servers: Servers, tmp_path: Path
) -> None:
    port, folder = free_port(), str(tmp_path)
    openssl = [require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", f"{folder}/key", "-out", f"{folder}/certificate"]
    subprocess.run([*openssl, *files], capture_output=True, check=True)
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "--no-control-socket", "-b", f"127.0.0.1:{port}"]
    command += ["--keyfile", f"{folder}/key", "--certfile", f"{folder}/certificate", "tests.apps.guarded:app"]
    server = WebServer(command, port, {"WSFLASK_MONGODB_URI": mongo.uri_of(f"test_{uuid4().hex[:12]}")})
    try:
        wait_until(lambda: "Booting worker" in server.log(), what=server.log())
        url = f"https://127.0.0.1:{port}"
        refused = bench(url, "-n", "2", *SHORT)
        not_signed_in = bench(url, *FORM, "-n", "2", *SHORT)
        taken = bench(url, *FORM, "--insecure", "-n", "2", *SHORT)
    finally:
        server.stop()
        server.close()

    assert (refused.status, not_signed_in.status) == (1, 1)
    assert "certificate (self-signed certificate): the certificate is not to be trusted" in refused.errors
    assert "cannot be reached: [SSL: CERTIFICATE_VERIFY_FAILED]" in not_signed_in.errors
    assert taken.status == 0, taken.errors


# --- what fails


@pytest.mark.parametrize(
    ("path", "arguments", "sentence"),
    [
        ("", (), "4501 (sign in): no session, or it has ended: sign in; give --cookie"),
        ("", ("--cookie", "session=forged"), "4501 (sign in)"),
        ("", ("--origin", "https://elsewhere"), "403 (This origin is not allowed.): the origin https://elsewhere is"),
        ("/ui", (), "/ui/wsflask/ws: 404: there is no WebSocket at this path; give its own URL"),
        ("/", (*FORM[:4], "--field", "password=wrong"), "4501 (sign in)"),
        ("/", ("--login", "/nowhere", *FORM[2:]), "/nowhere was answered 404 NOT FOUND"),
        ("/", ("--login", "/forbidden", *FORM[2:]), "/forbidden was answered 401 UNAUTHORIZED"),
        ("/", ("--login", "/", *FORM[2:]), "was answered 405 METHOD NOT ALLOWED"),
    ],
)
def test_the_first_failure_ends_it_with_a_sentence(
    desk: WebServer, path: str, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = bench(desk.base_url + path, *arguments, "--json")

    assert (ended.status, ended.output) == (1, "")
    assert sentence in ended.errors


def test_a_server_that_speaks_no_tls_and_one_that_is_not_there_are_told(desk: WebServer) -> None:
    tls, nobody, unknown = (
        bench(url) for url in (f"https://127.0.0.1:{desk.port}", f"http://127.0.0.1:{free_port()}", "http://no.invalid")
    )

    assert "no TLS is spoken there" in tls.errors
    assert "nobody listens on 127.0.0.1:" in nobody.errors
    assert "the host no.invalid is not known" in unknown.errors
    assert (tls.status, nobody.status, unknown.status) == (1, 1, 1)


@pytest.mark.parametrize(
    ("setting", "reason", "meaning"),
    [
        ("MAX_CONNECTIONS", "503", "full (WSFLASK_MAX_CONNECTIONS in each worker)"),
        ("CONNECTIONS_PER_USER", "4504", "more than WSFLASK_CONNECTIONS_PER_USER connections in one worker"),
    ],
)
def test_connections_that_fail_are_counted_by_their_reason(
    echo: Callable[..., WebServer], setting: str, reason: str, meaning: str
) -> None:
    server = echo(**{setting: 3})
    slow = ("-n", "5", "--rate", "5", "--duration", "0.5")  # Handshakes at one time do not see one another.
    arguments = (server.base_url, "--cookie", login(server.base_url, "ann"), *slow)

    shown, machine = bench(*arguments), bench(*arguments, "--json")

    assert (shown.status, machine.status) == (1, 1)
    assert machine.json["connects"]["failed"] == {reason: 2}
    assert f"failed                       2\n  {reason:<18}         2  {meaning}" in shown.output


@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, "1012"), (signal.SIGKILL, "1006")])
def test_connections_that_are_lost_are_counted_by_their_close_code(
    echo: Callable[..., WebServer], sockets: Sockets, end: int, code: str
) -> None:
    server = echo(MESSAGES_PER_SECOND=1000, MESSAGE_BURST=1000)
    cookie = login(server.base_url, "ann")
    other = sockets.connect(server.ws_url, cookie=cookie)
    command = [*COMMAND, server.base_url, "--cookie", cookie, "-n", "4", "--duration", "50", "--json"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as running:
        wait_until(lambda: other.request("echo", {"action": "clients"})["payload"] == 5)
        os.kill(server.workers()[0], end)
        output, _ = running.communicate(timeout=20)

    assert running.returncode == 1
    assert json.loads(output)["lost"] == {code: 4}


def test_what_was_measured_until_it_is_interrupted_is_shown(
    echo: Callable[..., WebServer], sockets: Sockets
) -> None:
    server = echo(MESSAGES_PER_SECOND=1000, MESSAGE_BURST=1000)
    cookie = login(server.base_url, "ann")
    other = sockets.connect(server.ws_url, cookie=cookie)
    command = [*COMMAND, server.base_url, "--cookie", cookie, "-n", "4", "--duration", "50"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as running:
        wait_until(lambda: other.request("echo", {"action": "clients"})["payload"] == 5)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=20)

    assert running.returncode == 1
    assert "connected                    4" in output
    assert "lost                         0" in output


def test_too_few_open_files_are_told_before_anything_is_connected() -> None:
    few = ("sh", "-c", 'ulimit -n 120 && exec "$@"', "sh")

    ended = bench("http://127.0.0.1:1", under=few)

    assert ended.status == 1
    assert "100 connections take 150 open files, and this process may have 120" in ended.errors
    assert "open fewer: -n 70" in ended.errors


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("127.0.0.1:8101",), 1, "is no URL; write the UI's"),
        (("ftp://127.0.0.1",), 1, "is no URL"),
        (("http://ann@127.0.0.1",), 1, "is no URL"),
        (("http://127.0.0.1:port",), 1, "is no URL"),
        (("http://127.0.0.1", "--origin", "https://ü"), 1, "is no origin; write one such as"),
        (("http://127.0.0.1", "--cookie", "eyJ"), 2, "a session is written name=value"),
        (("http://127.0.0.1", "--cookies", "no-such-file"), 2, "No such file"),
        (("http://127.0.0.1", "--login", "/login"), 2, "--login and --field belong together"),
        (("http://127.0.0.1", "--field", "a=b"), 2, "--login and --field belong together"),
        (("http://127.0.0.1", "-n", "0"), 2, "Invalid value for '-n'"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], status: int, sentence: str) -> None:
    ended = bench(*arguments)

    assert ended.status == status
    assert sentence in ended.errors


# --- how it is used


def test_a_terminal_is_told_how_far_it_is_and_asked_for_a_password(desk: WebServer) -> None:
    ours, terminal = pty.openpty()
    command = [*COMMAND, desk.base_url, "-n", "5", "--duration", "1.2", *FORM[:4], "--field", "password"]
    try:
        with subprocess.Popen(
            command, env=environment(), stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, start_new_session=True
        ) as running:
            os.close(terminal)
            shown = os.read(ours, 1000)
            os.write(ours, b"open &sesame\n")
            output, _ = running.communicate(timeout=20)
        while b"5 of 5 connected, 0 failed" not in shown:
            shown += os.read(ours, 1000)
    finally:
        os.close(ours)

    assert shown.startswith(b"password:")
    assert b"sesame" not in shown
    assert b"connected                    5" in output
    assert b"of 5 connected" not in output


def test_the_form_is_found_behind_a_redirect_and_its_hidden_inputs_are_sent(desk: WebServer) -> None:
    assert sign_in(desk.base_url, "/moved", FIELDS).startswith("session=")


def test_a_login_that_sets_no_cookie_is_told(servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "from flask import Flask\napp = Flask('plain')\n"
        "app.add_url_rule('/', view_func=lambda: 'fine', methods=['GET', 'POST'])\n"
    )
    server = servers.gunicorn("plain:app", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})

    with pytest.raises(ConfigError, match="set no cookie; is that the login form"):
        sign_in(server.base_url, "/", FIELDS)


def test_a_login_that_does_not_answer_is_told() -> None:
    with pytest.raises(ConfigError, match=r"cannot be reached: .*refused"):
        sign_in(f"http://127.0.0.1:{free_port()}", "/login", FIELDS)
