"""What README.md and docs/deployment.md tell to write works as it is written."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from tests.harness import ROOT, Database, Servers, Sockets, login, require_program
from wsflask.embedded import free_port

#: The application that the reader is supposed to have.
APPLICATION = """
from gevent import monkey

monkey.patch_all()

import os

from flask import render_template_string
from tests.apps.desk import Flight, User, create_app

app = create_app(os.environ["URI"])

{snippet}

app.add_url_rule("/page", view_func=lambda: render_template_string({page!r}))
"""


def block(document: str, language: str, containing: str) -> str:
    """Return the block of a document that has this text in it."""
    text = (ROOT / document).read_text()
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (found,) = (each for each in blocks if containing in each)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the application of the README, as `ui.py`."""
    snippet = block("README.md", "python", "WebSocketServer(")
    page = block("README.md", "html", "connect()")
    (tmp_path / "ui.py").write_text(APPLICATION.format(snippet=snippet, page=page))
    return tmp_path


def test_the_readme_puts_wsflask_into_an_application(
    folder: Path, database: Database, servers: Servers, sockets: Sockets
) -> None:
    env = {"URI": database.uri, "PYTHONPATH": f"{folder}:{ROOT}"}
    server = servers.gunicorn("ui:app", workers=2, env=env)
    ann = sockets.connect(server.ws_url, cookie=login(server.base_url, "5.pilots"))
    database["flights"].insert_one({"_id": 1, "flight": "UA 1545", "gate": "C71", "status": "delayed"})

    scope = [{"fn": "status", "op": "==", "val": "delayed"}]
    request = {"action": "subscribe", "data": {"class_name": "Flight", "data_scope": scope}}
    reply = ann.request("documents", request)

    assert reply["payload"]["rows"] == 1
    loaded = ann.expect("documents", where=lambda it: it["payload"].get("op") == "L")
    assert loaded["payload"]["message"] == {"_id": 1, "flight": "UA 1545", "gate": "C71", "status": "delayed"}

    more = block("README.md", "python", "Notification(message=")
    connected = f"import mongoengine; from tests.apps.desk import Flight; mongoengine.connect(host={database.uri!r})\n"
    servers.run_python(connected + more, env=env)

    arrival = ann.expect("notifications", where=lambda it: "last" in it["payload"])
    assert arrival["payload"]["last"]["label"] == "Gate C71 is closed"
    moved = ann.expect("documents", where=lambda it: it["payload"].get("op") == "U")
    assert moved["payload"]["message"]["gate"] == "C75"


def test_the_page_of_the_readme_finds_the_client(folder: Path, database: Database, servers: Servers) -> None:
    server = servers.gunicorn("ui:app", env={"URI": database.uri, "PYTHONPATH": f"{folder}:{ROOT}"})

    with urllib.request.urlopen(f"{server.base_url}/page", timeout=10) as answer:
        (path,) = re.findall(r'from "(.*?)"', answer.read().decode())
    with urllib.request.urlopen(server.base_url + path, timeout=10) as answer:
        assert "export { connect" in answer.read().decode()


def test_websockets_pass_nginx_as_the_deployment_guide_configures_it(
    folder: Path, database: Database, servers: Servers, sockets: Sockets
) -> None:
    nginx = require_program("nginx")
    server = servers.gunicorn("ui:app", workers=2, env={"URI": database.uri, "PYTHONPATH": f"{folder}:{ROOT}"})
    port = free_port()
    site = block("docs/deployment.md", "nginx", "proxy_pass")
    site = site.replace("443 ssl", f"127.0.0.1:{port}").replace("unix:/run/ui/ui.sock", f"127.0.0.1:{server.port}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr warn; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site} }}"
    )
    front = servers.start([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"], port=port)

    ann = sockets.connect(front.ws_url, cookie=login(front.base_url, "5"))

    assert ann.expect("welcome")["payload"]["protocol"] == "wsflask.v1"
    assert ann.request("notifications", {"action": "list"})["payload"]["notifications"] == []
    server.stop(timeout=10)
    assert ann.expect_close() == 1012
