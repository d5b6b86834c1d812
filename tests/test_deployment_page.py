"""What docs/deployment.md tells to write works as it is written."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from websocket import WebSocketBadStatusException

from tests.harness import (
    ROOT,
    Database,
    Servers,
    Sockets,
    WebServer,
    WebSocketClient,
    login,
    require_program,
    wait_until,
)
from tests.harness.pages import block, write_application
from wsflask.embedded import free_port

PAGE = "docs/deployment.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the application of the README, `ui.py`, and the page's `wsgi.py` in front of it."""
    write_application(tmp_path)
    with (tmp_path / "ui.py").open("a") as file:
        file.write("\ncreate_app = lambda: app\n")
    (tmp_path / "wsgi.py").write_text(block(PAGE, "python", "from ui import create_app"))
    return tmp_path


@pytest.fixture
def env(folder: Path, database: Database) -> dict[str, str]:
    """The environment of that application."""
    return {"URI": database.uri, "PYTHONPATH": f"{folder}:{ROOT}"}


def check_deploy(server: WebServer, sockets: Sockets) -> None:
    """Fail unless a client gets in, and a goodbye at the end."""
    ann = sockets.connect(server.ws_url, cookie=login(server.base_url, "5"))
    ann.expect("welcome")

    server.signal(signal.SIGTERM)

    assert ann.expect_close() == 1012
    assert [message["payload"]["reason"] for message in ann.messages if message["channel"] == "goodbye"] == ["restart"]
    assert server.process.wait(10) == 0


@pytest.mark.parametrize("more", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("program", ["wsflask serve", "gunicorn -c"])
def test_the_commands_serve(
    folder: Path, env: dict[str, str], servers: Servers, sockets: Sockets, program: str, more: list[str]
) -> None:
    port = free_port()
    line = shlex.split(block(PAGE, "console", program))
    if program == "gunicorn -c":
        line[line.index("127.0.0.1:8101")] = f"127.0.0.1:{port}"
    else:
        line += ["--port", str(port), *(["--"] if more else [])]

    server = servers.start([sys.executable, "-m", *line, *more], port=port, env=env, cwd=folder)

    assert len(wait_until(lambda: len(server.workers()) == 4 and server.workers())) == 4
    check_deploy(server, sockets)


def test_the_settings_are_the_beginning_of_a_gunicorn_conf_py(
    folder: Path, env: dict[str, str], servers: Servers, sockets: Sockets
) -> None:
    port = free_port()
    settings = block(PAGE, "python", "from wsflask.gunicorn import *").replace(":8101", f":{port}")
    (folder / "gunicorn.conf.py").write_text(settings)

    server = servers.start([sys.executable, "-m", "gunicorn", "wsgi:app"], port=port, env=env, cwd=folder)

    assert len(wait_until(lambda: len(server.workers()) == 4 and server.workers())) == 4
    check_deploy(server, sockets)


def test_pywsgi_serves_with_one_call_more(
    folder: Path, env: dict[str, str], servers: Servers, sockets: Sockets
) -> None:
    port = free_port()
    (folder / "serve.py").write_text(block(PAGE, "python", "drain_on_signals").replace("8101", str(port)))

    server = servers.start([sys.executable, "serve.py"], port=port, env=env, cwd=folder)

    check_deploy(server, sockets)


def start_nginx(folder: Path, servers: Servers, *backends: WebServer, top: str = "") -> WebServer:
    """Start nginx as the page configures it, without its TLS, in front of one server or two."""
    nginx = require_program("nginx")
    port = free_port()
    one, several = block(PAGE, "nginx", "unix:/run/ui/ui.sock"), block(PAGE, "nginx", "least_conn")
    if len(backends) == 1:
        site = one.replace("unix:/run/ui/ui.sock", f"127.0.0.1:{backends[0].port}")
    else:
        site = one[: one.index("upstream")] + several
        for number, backend in enumerate(backends, 11):
            site = site.replace(f"10.0.0.{number}:8101", f"127.0.0.1:{backend.port}")
    site = site.replace("443 ssl", f"127.0.0.1:{port}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr warn; {top} events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site} }}"
    )
    command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    return servers.start(command, port=port)


def test_websockets_pass_nginx_and_so_does_a_deploy_behind_it(
    folder: Path, env: dict[str, str], servers: Servers, sockets: Sockets
) -> None:
    server = servers.gunicorn("ui:app", workers=2, env=env)
    front = start_nginx(folder, servers, server)

    ann = sockets.connect(front.ws_url, cookie=login(front.base_url, "5"))

    assert ann.expect("welcome")["payload"]["protocol"] == "wsflask.v1"
    assert ann.request("notifications", {"action": "list"})["payload"]["notifications"] == []
    server.signal(signal.SIGHUP)
    assert ann.expect_close() == 1012
    assert wait_until(lambda: _let_in(sockets, front), what="a new worker").expect("welcome")


def _let_in(sockets: Sockets, front: WebServer) -> WebSocketClient | None:
    """Return a client, or None where the worker that ends has refused it with 503."""
    try:
        return sockets.connect(front.ws_url, cookie=login(front.base_url, "5"))
    except WebSocketBadStatusException as refused:
        if refused.status_code != 503:
            raise
        return None


def test_a_machine_that_ends_is_not_asked_again_by_nginx(
    folder: Path, env: dict[str, str], servers: Servers, sockets: Sockets
) -> None:
    machines = [servers.gunicorn("ui:app", env=env) for _ in range(2)]
    front = start_nginx(folder, servers, *machines)
    cookie = login(front.base_url, "5")
    tabs = [sockets.connect(front.ws_url, cookie=cookie) for _ in range(6)]
    for tab in tabs:
        tab.expect("welcome")

    machines[0].signal(signal.SIGTERM)
    wait_until(lambda: 1012 in [_code_of(tab) for tab in tabs])
    others = [sockets.connect(front.ws_url, cookie=cookie) for _ in range(6)]

    for tab in others:
        tab.expect("welcome")
    machines[0].process.wait(10)
    codes = [_code_of(tab) for tab in tabs]
    assert sorted(set(codes)) == [0, 1012]


def _code_of(tab: WebSocketClient) -> int:
    """Return the close code; 0: the connection is open."""
    while tab.receive(0.1) is not None:
        pass
    return tab.close_code or 0


def test_a_reload_of_nginx_leaves_websockets_alone_until_its_own_deadline(
    folder: Path, env: dict[str, str], servers: Servers, sockets: Sockets, database: Database
) -> None:
    server = servers.gunicorn("ui:app", workers=2, env=env)
    front = start_nginx(folder, servers, server, top="worker_shutdown_timeout 2s;")
    cookie = login(front.base_url, "5.pilots")
    ann = sockets.connect(front.ws_url, cookie=cookie)
    scope = [{"fn": "status", "op": "==", "val": "delayed"}]
    data: dict[str, Any] = {"class_name": "Flight", "data_scope": scope}
    view = ann.request("documents", {"action": "subscribe", "data": data})["payload"]["view"]
    old = set(front.workers())

    front.signal(signal.SIGHUP)
    wait_until(lambda: set(front.workers()) - old, what="the new workers")
    database["flights"].insert_one({"_id": 1, "flight": "UA 1545", "gate": "C71", "status": "delayed"})
    seen = ann.expect("documents", where=lambda it: it["payload"].get("op") == "I")
    code = ann.expect_close()
    database["flights"].update_one({"_id": 1}, {"$set": {"gate": "C75"}})
    again = sockets.connect(front.ws_url, cookie=cookie)
    data |= {"view": view, "start_seq": seen["payload"]["seq"], "rows": [1]}
    reply = again.request("documents", {"action": "subscribe", "data": data})

    assert code == 1006
    assert reply["payload"]["state"] == "resumed"
    missed = again.expect("documents", where=lambda it: it["payload"].get("op") == "U")
    assert missed["payload"]["message"]["gate"] == "C75"
