"""The embedded mongod: found, started, kept, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

from tests.harness import ROOT, Database, children_of, fast_folder, is_running, wait_until
from wsflask.embedded import EmbeddedMongo, find_mongod, free_port, start_child, stop_child
from wsflask.errors import ConfigError


@pytest.fixture
def folder() -> Iterator[Path]:
    """A fresh folder for the data of a server."""
    with tempfile.TemporaryDirectory(prefix="wsflask-embedded-", dir=fast_folder()) as path:
        yield Path(path)


def test_a_fresh_database_takes_majority_writes_and_has_change_streams(database: Database) -> None:
    with database.client[database.name].watch(max_await_time_ms=100) as stream:
        database["things"].insert_one({"_id": 1})
        change = wait_until(stream.try_next)

    assert change["documentKey"] == {"_id": 1}


def _program(folder: Path, body: str) -> str:
    path = folder / "mongod"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (
            "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file: No",
            "the system library libcurl.so.4 is missing; install it with: apt-get install libcurl4",
        ),
        (
            "mongod: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by mongod)",
            "it needs GLIBC_2.34; put a mongod made for this system on PATH",
        ),
        ("Illegal instruction", "cannot be started: Illegal instruction"),
        ("", "it ended with status 127"),
    ],
)
def test_a_mongod_that_cannot_start_gets_one_sentence(tmp_path: Path, stderr: str, sentence: str) -> None:
    program = _program(tmp_path, f'echo "{stderr.replace("`", chr(92) + "`")}" >&2; exit 127')

    with pytest.raises(ConfigError) as caught:
        find_mongod(program)

    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no program /nowhere/mongod"):
        find_mongod("/nowhere/mongod")


def test_a_broken_mongod_on_path_gives_way_to_the_one_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = _program(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    try:
        found = find_mongod()
    except ConfigError:
        pytest.skip("the wheel has no mongod for this platform")

    assert found != broken


def test_data_are_kept_from_one_run_to_the_next_on_another_port(folder: Path) -> None:
    ports = []
    for run in range(2):
        with EmbeddedMongo(folder) as server:
            client: pymongo.MongoClient[dict[str, int]] = pymongo.MongoClient(server.uri)
            ports.append(server.port)
            client.kept.runs.insert_one({"_id": run})
            assert client.kept.runs.count_documents({}) == run + 1
            client.close()

    assert ports[0] != ports[1]


def test_a_folder_in_use_is_refused_with_a_sentence_until_its_server_ends(folder: Path) -> None:
    with EmbeddedMongo(folder), pytest.raises(ConfigError, match="in use by another wsflask"):
        EmbeddedMongo(folder).start()

    second = EmbeddedMongo(folder)
    second.start()
    second.stop(timeout=0)


def test_a_taken_port_is_named(folder: Path) -> None:
    with EmbeddedMongo(folder / "one") as first, pytest.raises(ConfigError, match=f"{first.port} is taken"):
        EmbeddedMongo(folder / "two", port=first.port).start()


def test_stopping_twice_is_harmless_and_the_server_is_gone(folder: Path) -> None:
    server = EmbeddedMongo(folder)
    server.start()
    pid = server.pid
    assert pid is not None

    server.stop()
    server.stop()

    assert server.pid is None
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_mongod_dies_with_a_parent_that_is_killed(folder: Path) -> None:
    script = (
        "import sys, time\nfrom wsflask.embedded import EmbeddedMongo\n"
        f"EmbeddedMongo({str(folder)!r}).start()\nprint('up', flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    (pid,) = children_of(parent.pid)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: not is_running(pid), what="the end of mongod")


def test_a_child_that_ignores_the_polite_signal_is_killed() -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    with tempfile.TemporaryFile() as output:
        child = start_child([sys.executable, "-c", script], output=output)
        wait_until(lambda: os.pread(output.fileno(), 9, 0))

        assert stop_child(child, timeout=0.2) == -signal.SIGKILL


def test_a_free_port_is_free() -> None:
    port = free_port()

    assert 1024 < port < 65536
