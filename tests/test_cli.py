"""The commands `serve`, `doctor` and `notify`, run as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT, Database, Servers, wait_until
from wsflask.cli.databases import redacted
from wsflask.cli.places import RunningDemo, cache_folder, running_demo_uri, secret_key
from wsflask.embedded import find_mongod, free_port, start_child, stop_child

APP = """
from gevent import monkey
monkey.patch_all()
import mongoengine
from flask import Flask
from flask_login import LoginManager
from wsflask import WebSocketServer
mongoengine.connect(host="{uri}")
app = Flask(__name__)
app.config["SECRET_KEY"] = {key}
app.config["WSFLASK_NOTIFICATION_LABELS"] = {{10: "success", 77: "weather"}}
LoginManager(app)
app.register_blueprint(WebSocketServer(services=[]).blueprint)
app.add_url_rule("/", view_func=lambda: "the desk")
"""


class Command:
    """`wsflask` in a folder with an application, a home and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WSFLASK_")}
        self.env |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}

    def write_app(self, uri: str, *, key: str = repr("k" * 32), name: str = "desk.py") -> None:
        (self.folder / name).write_text(APP.format(uri=uri, key=key))

    def run(self, *arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "wsflask", *arguments]
        ended = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        output = ended.stdout + ended.stderr
        assert ended.returncode == status, output
        return output


@pytest.fixture
def wsflask(tmp_path: Path) -> Command:
    """The command, in an empty folder."""
    return Command(tmp_path)


@pytest.mark.parametrize("command", ["demo", "serve", "doctor", "explain", "notify", "bench"])
def test_each_command_explains_itself_with_examples(wsflask: Command, command: str) -> None:
    shown = wsflask.run(command, "--help")

    assert "Examples:" in shown
    assert f"wsflask {command}" in shown


def test_a_notification_reaches_everyone_users_and_groups(wsflask: Command, database: Database) -> None:
    wsflask.env["WSFLASK_MONGODB_URI"] = database.uri

    wsflask.run("notify", "--to", "user:5", "--to", "ann", "--to", "group:pilots", "--category", "warning", "Wind")
    wsflask.run("notify", "--to", "everyone", "Rain")

    wind, rain = database["wsflask_notifications"].find({}, sort=[("created_dt", 1)])
    assert (wind["message"], wind["category"], wind["users"]) == ("Wind", 30, ["5", "ann"])
    assert (wind["groups"], wind["everyone"]) == (["pilots"], False)
    assert (rain["message"], rain["category"], rain["everyone"]) == ("Rain", 10, True)


def test_a_notification_takes_the_connection_and_the_labels_of_an_application(
    wsflask: Command, database: Database
) -> None:
    wsflask.write_app(database.uri)

    wsflask.run("notify", "--app", "desk:app", "--to", "everyone", "--category", "weather", "Fog")

    assert database["wsflask_notifications"].find_one({})["category"] == 77


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--to", "role:pilots", "Hi"), 2, "'role:pilots' is none of: everyone, user:ID, group:NAME, ID"),
        (("--to", "user:", "Hi"), 2, "'user:' is none of"),
        (("--to", "ann", "--category", "loud", "Hi"), 1, "the categories are success, info, warning, error"),
        (("--to", "ann", "x" * 10_001), 1, "the notification is not valid"),
        (("Hi",), 2, "Missing option '--to'"),
    ],
)
def test_a_wrong_notification_is_refused_with_a_sentence(
    wsflask: Command, database: Database, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    wsflask.env["WSFLASK_MONGODB_URI"] = database.uri

    assert sentence in wsflask.run("notify", *arguments, status=status)
    assert database["wsflask_notifications"].count_documents({}) == 0


def test_without_any_database_notify_says_how_to_name_one(wsflask: Command) -> None:
    assert "set WSFLASK_MONGODB_URI" in wsflask.run("notify", "--to", "ann", "Hi", status=1)


def test_a_database_that_does_not_answer_is_named_without_its_password(wsflask: Command) -> None:
    uri = f"mongodb://ann:hush@127.0.0.1:{free_port()}/desk?authSource=admin"

    shown = wsflask.run("notify", "--mongodb-uri", uri, "--to", "ann", "Hi", status=1)

    assert "cannot be reached" in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://ann:hush@db/desk?tlsCertificateKeyFilePassword=x", "mongodb://…@db/desk"),
        ("mongodb+srv://ann@db/desk", "mongodb+srv://…@db/desk"),
        ("see mongodb://db:1,db:2/desk for more", "see mongodb://db:1,db:2/desk for more"),
    ],
)
def test_uris_are_shown_without_secrets(uri: str, shown: str) -> None:
    assert redacted(uri) == shown


def test_the_doctor_finds_a_good_application_good(wsflask: Command, database: Database) -> None:
    wsflask.write_app(database.uri)

    shown = wsflask.run("doctor", "desk:app")

    levels = {line[6:21].strip(): line[:4].strip() for line in shown.splitlines()}
    assert levels.pop("open files") in ("ok", "warn")
    assert levels == dict.fromkeys(
        ["worker class", "application", "gevent", "SECRET_KEY", "database", "change streams", "write concern"], "ok"
    )


@pytest.mark.parametrize(
    ("key", "finding"),
    [
        ("None", "fail  application"),
        ("__import__('secrets').token_hex()", "fail  SECRET_KEY      another one at each start"),
        ("'short'", "warn  SECRET_KEY      shorter than 16"),
    ],
)
def test_the_doctor_finds_a_secret_key_that_workers_cannot_share(
    wsflask: Command, database: Database, key: str, finding: str
) -> None:
    wsflask.write_app(database.uri, key=key)

    assert finding in wsflask.run("doctor", "desk:app", status=1 if finding.startswith("fail") else 0)


def test_the_doctor_warns_of_a_write_concern_that_delays_changes(wsflask: Command, database: Database) -> None:
    assert "warn  write concern" in wsflask.run("doctor", "--mongodb-uri", f"{database.uri}&w=1")
    assert "fail  write concern" in wsflask.run("doctor", "--mongodb-uri", f"{database.uri}&w=0", status=1)


def test_the_doctor_names_a_missing_database_without_its_password(wsflask: Command) -> None:
    uri = f"mongodb://ann:hush@127.0.0.1:{free_port()}/desk"

    shown = wsflask.run("doctor", "--mongodb-uri", uri, status=1)

    assert "fail  database" in shown
    assert "hush" not in shown


def test_the_doctor_says_why_an_application_cannot_be_imported(wsflask: Command) -> None:
    (wsflask.folder / "desk.py").write_text("raise RuntimeError('no mongodb://ann:hush@db today')")

    shown = wsflask.run("doctor", "desk:app", status=1)

    assert "fail  application" in shown
    assert "RuntimeError: no mongodb://…@db today" in shown


def test_serve_answers_on_its_port_until_it_is_told_to_end(
    wsflask: Command, database: Database, servers: Servers
) -> None:
    wsflask.write_app(database.uri)
    port = free_port()
    command = [sys.executable, "-m", "wsflask", "serve", "desk:app", "--port", str(port)]

    server = servers.start(command, port=port, env=wsflask.env, cwd=wsflask.folder)

    assert len(wait_until(lambda: len(server.workers()) == 2 and server.workers())) == 2
    assert server.stop(timeout=20) == 0


def test_serve_binds_where_it_is_told(wsflask: Command, database: Database, servers: Servers) -> None:
    wsflask.write_app(database.uri)
    port, address = free_port(), str(wsflask.folder / "desk.sock")
    command = [sys.executable, "-m", "wsflask", "serve", "desk:app", "--workers", "1", "--bind", f"unix:{address}"]

    server = servers.start([*command, "--bind", f"127.0.0.1:{port}"], port=port, env=wsflask.env, cwd=wsflask.folder)

    assert Path(address).is_socket()
    assert server.stop(timeout=20) == 0


def test_serve_has_the_settings_of_gunicorn_that_every_deployment_has(wsflask: Command, database: Database) -> None:
    wsflask.write_app(database.uri)
    own = ("--", "--backlog", "77", "--print-config")

    printed = wsflask.run("serve", "desk:app", "--port", str(free_port()), *own)

    shown = dict(line.replace(" ", "").split("=", 1) for line in printed.splitlines() if " = " in line)
    assert shown["worker_class"] == "gevent"
    assert shown["worker_connections"] == "20000"
    assert shown["post_worker_init"] == "<post_worker_init()>"
    assert shown["backlog"] == "77"


def test_serve_looks_over_no_settings_of_gunicorn_that_lie_in_the_folder(
    wsflask: Command, database: Database, servers: Servers
) -> None:
    wsflask.write_app(database.uri)
    (wsflask.folder / "gunicorn.conf.py").write_text("from wsflask.gunicorn import *\n\nworkers = 3\n")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "desk:app"]

    refused = wsflask.run("serve", "desk:app", "--port", str(port), status=1)
    server = servers.start(command, port=port, env=wsflask.env, cwd=wsflask.folder)

    assert "there is a gunicorn.conf.py in this folder" in refused
    assert len(wait_until(lambda: len(server.workers()) == 3 and server.workers())) == 3
    assert server.stop(timeout=20) == 0


def test_serve_refuses_a_taken_port_and_no_application(wsflask: Command, servers: Servers) -> None:
    port = free_port()
    servers.start([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], port=port)

    assert f"port {port} on 127.0.0.1 cannot be used" in wsflask.run("serve", "a:b", "--port", str(port), status=1)
    assert "write the import name" in wsflask.run("serve", "./wsgi.py", status=1)


def test_the_note_of_a_running_demonstration_counts_only_while_it_runs(tmp_path: Path) -> None:
    with RunningDemo(tmp_path, uri="mongodb://one", url="http://one"):
        assert running_demo_uri(tmp_path) == "mongodb://one"
        with RunningDemo(tmp_path, uri="mongodb://two", url="http://two"):
            assert running_demo_uri(tmp_path) == "mongodb://one"
    assert running_demo_uri(tmp_path) is None

    (tmp_path / "demo.json").write_text('{"uri": "mongodb://of-one-that-was-killed"}')
    assert running_demo_uri(tmp_path) is None


def test_a_cache_that_cannot_be_made_is_named(wsflask: Command) -> None:
    (wsflask.folder / "file").touch()
    wsflask.env["XDG_CACHE_HOME"] = str(wsflask.folder / "file")

    assert "file/wsflask cannot be used (Not a directory); set XDG_CACHE_HOME" in wsflask.run("demo", status=1)


def test_the_cache_is_private_and_the_secret_key_in_it_stays_the_same(tmp_path: Path) -> None:
    folder = cache_folder({"XDG_CACHE_HOME": str(tmp_path)})

    key = secret_key(folder)

    assert folder == tmp_path / "wsflask"
    assert folder.stat().st_mode & 0o077 == 0
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert secret_key(folder) == key
    assert (folder / "secret-key").stat().st_mode & 0o077 == 0


def test_the_doctor_warns_of_a_standalone_server(wsflask: Command, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "data").mkdir()
    command = [find_mongod(os.environ.get("WSFLASK_MONGOD")), "--dbpath", str(tmp_path / "data"), "--port", str(port)]
    server = start_child([*command, "--bind_ip", "127.0.0.1", "--nounixsocket"], output=subprocess.DEVNULL)
    try:
        shown = wsflask.run("doctor", "--mongodb-uri", f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=20000")
    finally:
        stop_child(server, timeout=0)

    assert "warn  change streams  a standalone server has none" in shown
    assert "start mongod with --replSet" in shown


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("monkey.patch_all()\n", "", "ok    gevent          patched by gunicorn's worker; before you use --preload"),
        ("from gevent", "import pymongo\nfrom gevent", "warn  gevent          the module patches after other imports"),
        ("app.register_blueprint", "(lambda server: 0)", "fail  application     desk:app has no WebSocketServer"),
        ("mongoengine.connect(", "dict(", "fail  database        You have not defined a default connection"),
    ],
    ids=["unpatched", "late patch", "no server", "no connection"],
)
def test_the_doctor_looks_at_the_application(
    wsflask: Command, database: Database, old: str, new: str, finding: str
) -> None:
    wsflask.write_app(database.uri)
    path = wsflask.folder / "desk.py"
    path.write_text(path.read_text().replace(old, new))

    assert finding in wsflask.run("doctor", "desk:app", status=1 if finding.startswith("fail") else 0)


def test_a_gunicorn_that_is_too_old_is_named(wsflask: Command) -> None:
    old = wsflask.folder / "gunicorn-20.1.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: gunicorn\nVersion: 20.1.0\n")
    wsflask.env["PYTHONPATH"] = f"{wsflask.folder}:{ROOT}"

    assert "gunicorn 20.1.0 is older than 25.1; pip install 'wsflask[server]'" in wsflask.run("serve", "a:b", status=1)


def test_serve_raises_the_limit_of_open_files() -> None:
    script = (
        "import resource as r; from wsflask.cli.web import raise_file_limit\n"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (256, hard)); raise_file_limit()\n"
        "print(r.getrlimit(r.RLIMIT_NOFILE)[0] == min(hard, 65536))"
    )

    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "True"
