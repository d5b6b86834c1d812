"""`wsflask demo`: everything comes up with one command, and everything goes down with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

from tests.harness import ROOT, Servers, WebServer, descendants_of, fast_folder, is_running, wait_until
from wsflask.embedded import free_port

pytestmark = pytest.mark.slow

#: mongod, gunicorn, and its two workers.
PROCESSES = 4
DEMO = [sys.executable, "-m", "wsflask", "demo"]


class Desk:
    """The demonstration with a cache of its own."""

    def __init__(self, servers: Servers, cache: Path) -> None:
        self.port = free_port()
        self.env = {"XDG_CACHE_HOME": str(cache), "WSFLASK_MONGODB_URI": ""}
        self._servers = servers

    def start(self, *arguments: str, through: tuple[str, ...] = ()) -> WebServer:
        command = [*through, *DEMO, "--port", str(self.port), *arguments]
        server = self._servers.start(command, port=self.port, env=self.env)
        wait_until(lambda: "Ctrl-C ends it" in server.log(), what="the introduction")
        return server

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wsflask", *arguments]
        env = {**os.environ, **self.env, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def desk(servers: Servers, tmp_path: Path) -> Iterator[Desk]:
    """The demonstration, ready to start; its data lie in memory where there is room."""
    base = fast_folder()
    cache = Path(base) / f"wsflask-demo-{os.getpid()}-{tmp_path.name}" if base else tmp_path / "cache"
    cache.mkdir()
    yield Desk(servers, cache)
    servers.stop()
    subprocess.run(["rm", "-rf", str(cache)], check=True)


def gone(processes: list[int]) -> bool:
    """Return whether none of these processes runs."""
    return not any(map(is_running, processes))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_all_that_was_started(desk: Desk, number: int) -> None:
    server = desk.start()
    processes = descendants_of(server.process.pid)
    assert len(processes) == PROCESSES

    server.signal(number)

    assert server.process.wait(30) == 0
    assert gone(processes)
    assert "nothing is left running" in server.log()


def test_the_end_of_its_parent_ends_all_that_was_started(desk: Desk) -> None:
    parent = desk.start(through=("/bin/sh", "-c", '"$@" & wait', "sh"))
    processes = descendants_of(parent.process.pid)
    assert len(processes) == 1 + PROCESSES

    parent.process.kill()

    wait_until(lambda: gone(processes), timeout=30, what="the end of everything")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_nothing_outlives_a_demo_that_is_killed(desk: Desk) -> None:
    server = desk.start()
    processes = descendants_of(server.process.pid)

    server.process.kill()

    wait_until(lambda: gone(processes), timeout=30, what="the end of everything")
    assert desk.run("notify", "--to", "everyone", "Hi").returncode == 1


def test_it_shows_the_way_in_and_the_other_commands_find_it(desk: Desk) -> None:
    server = desk.start("--speed", "0")

    assert f"Open {server.base_url}/" in server.log()
    assert "supervisor / supervisor" in server.log()
    with urllib.request.urlopen(server.base_url, timeout=10) as page:
        assert "<form" in page.read().decode()
    assert desk.run("doctor").returncode == 0
    assert desk.run("notify", "--to", "united", "Gate C71 is closed").returncode == 0


def test_data_stay_from_one_start_to_the_next_unless_they_are_reset(desk: Desk) -> None:
    def flights(server: WebServer) -> int:
        mongod = next(line for line in server.log().splitlines() if "mongodb://" in line)
        uri = next(word for word in mongod.split() if word.startswith("mongodb://"))
        client: pymongo.MongoClient[dict[str, str]] = pymongo.MongoClient(uri, directConnection=True)
        with client:
            collection = client.get_default_database()["demo_flights"]
            collection.delete_one({})
            return collection.estimated_document_count() + 1

    first = desk.start("--speed", "0")
    before = flights(first)
    first.stop(timeout=30)
    second = desk.start("--speed", "0")
    kept = flights(second)
    second.stop(timeout=30)
    third = desk.start("--speed", "0", "--reset")

    assert before > 100
    assert kept == before - 1
    assert flights(third) == before


def test_a_second_demo_is_told_what_is_in_its_way(desk: Desk) -> None:
    server = desk.start()

    same_port = desk.run("demo", "--port", str(server.port))
    same_data = desk.run("demo", "--port", str(free_port()))

    assert f"port {server.port} on 127.0.0.1 cannot be used" in same_port.stderr
    assert "in use by another wsflask" in same_data.stderr
    assert (same_port.returncode, same_data.returncode) == (1, 1)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [("mongod", "MongoDB has ended; see "), ("gunicorn", "the web server ended with status")],
)
def test_a_demo_that_loses_a_part_says_so_and_ends_the_rest(desk: Desk, program: str, sentence: str) -> None:
    server = desk.start()
    processes = descendants_of(server.process.pid)
    started = [pid for pid in processes if program in Path(f"/proc/{pid}/cmdline").read_text()]

    os.kill(started[0], signal.SIGKILL)

    assert server.process.wait(30) == 1
    assert sentence in server.log()
    wait_until(lambda: gone(processes), what="the end of the workers too")


def test_a_web_server_that_cannot_start_is_shown_with_its_reason(desk: Desk) -> None:
    desk.env["WSFLASK_DEMO_SPEED"] = "fast"
    ended = desk.run("demo", "--port", str(desk.port))

    assert ended.returncode == 1
    assert "WSFLASK_DEMO_SPEED is 'fast'" in ended.stderr
    assert "it has said why above" in ended.stderr
