"""What README.md tells to write works as it is written."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from tests.harness import ROOT, Database, Servers, Sockets, login
from tests.harness.pages import block, write_application


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the application of the README, as `ui.py`."""
    write_application(tmp_path)
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
