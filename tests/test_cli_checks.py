"""What the doctor makes of what it has found."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.harness import ROOT, Database, RedisServer, data_folder
from wsflask.cli import checks, probe
from wsflask.testing import ReplicaSet

WORKER = {"is_patched": True, "has_wsflask": True, "has_login": True, "key_length": 64, "key_digest": "one"}
SERVER = {"replica_set": "rs0", "is_sharded": False, "has_primary": True, "write_concern": {"w": "majority"}}


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({}, "ok replica set rs0 with a primary"),
        ({"replica_set": None}, "warn a standalone server has none"),
        ({"replica_set": None, "is_sharded": True}, "ok a sharded cluster"),
        ({"has_primary": False}, "fail replica set rs0 has no primary"),
    ],
)
def test_change_streams_need_a_replica_set_with_a_primary(changed: dict[str, Any], finding: str) -> None:
    assert shown(checks._replica_set({**SERVER, **changed})).startswith(finding)


@pytest.mark.parametrize(
    ("concern", "finding"),
    [
        ({"w": "majority"}, "ok w: majority"),
        ({}, "ok the server's default"),
        ({"w": 1, "j": True}, "ok w: 1, j: True"),
        ({"w": 1}, "warn w: 1: changes arrive up to 100 ms later"),
        ({"w": 0}, "fail w: 0: failed writes go unnoticed"),
    ],
)
def test_a_write_concern_is_majority_or_journaled(concern: dict[str, Any], finding: str) -> None:
    assert shown(checks._write_concern({**SERVER, "write_concern": concern})).startswith(finding)


@pytest.mark.parametrize(
    ("waits", "findings"),
    [
        (None, []),
        ({"client": 7.0, "catch_up": 1.0, "oplog": 2}, ["ok a frozen primary is left soon"]),
        ({"client": 7.0}, ["ok a frozen primary is left soon"]),  # an account that may not ask
        ({"client": 30.0}, ["warn a frozen primary stops writes for 17 s or longer; add connectTimeoutMS=5000&"]),
        (
            {"client": 7.0, "catch_up": math.inf, "oplog": 5},
            ["warn a frozen primary stops writes for 17 s or longer; set the set's settings.catchUpTimeoutMillis to "],
        ),
    ],
)
def test_a_frozen_primary_is_left_soon(waits: dict[str, float] | None, findings: list[str]) -> None:
    found = [shown(each) for each in checks._failover(waits)]

    assert len(found) == len(findings)
    assert all(text.startswith(start) for text, start in zip(found, findings, strict=True))


@pytest.mark.slow
def test_a_replica_set_is_asked_how_long_it_waits() -> None:
    folder, bare = data_folder(), {"client": 30.0, "catch_up": math.inf, "oplog": 5}
    arguments = ("--setParameter", "oplogNetworkTimeoutBufferSeconds=2")
    options = "&connectTimeoutMS=5000&heartbeatFrequencyMS=2000"

    def told(uri: str) -> dict[str, float]:
        with MongoClient[Any](uri) as client:
            return probe.describe_client(client)["failover"]  # type: ignore[no-any-return]

    with ReplicaSet(Path(folder, "defaults"), members=2) as mongo:
        assert told(mongo.uri_of("x")) == bare
        assert told(mongo.uri_of("x") + options) == {**bare, "client": 7.0}
    with ReplicaSet(
        Path(folder, "set"), members=2, arguments=arguments, settings={"catchUpTimeoutMillis": 1000}
    ) as mongo:
        assert told(mongo.uri_of("x") + options) == {"client": 7.0, "catch_up": 1.0, "oplog": 2}
    shutil.rmtree(folder, ignore_errors=True)


REDIS = {"feed": "redis", "version": "7.0.15", "policy": "noeviction", "limit": 0, "most": 100, "milliseconds": 0.2}


@pytest.mark.parametrize(
    ("changed", "findings"),
    [
        ({}, ["ok Redis 7.0.15 answers in 0.2 ms"]),
        ({"error": "it cannot be reached"}, ["fail it cannot be reached"]),
        ({"version": "6.0.16"}, ["fail Redis 6.0.16; 6.2 or later"]),
        ({"policy": "allkeys-lru"}, ["ok Redis", "warn allkeys-lru may evict the changes"]),
        ({"limit": 199}, ["ok Redis", "warn maxmemory is 199 bytes"]),
        ({"limit": 200}, ["ok Redis"]),
        ({"feed": "auto"}, ["ok Redis", "ok carries what is not kept"]),
    ],
)
def test_redis_is_there_new_enough_and_has_room(changed: dict[str, Any], findings: list[str]) -> None:
    found = [shown(each) for each in checks._redis({**REDIS, **changed})]

    assert len(found) == len(findings)
    assert all(text.startswith(start) for text, start in zip(found, findings, strict=True))


def test_the_application_s_redis_is_asked(
    database: Database, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def findings(**config: str) -> list[str]:
        monkeypatch.setenv("ECHO_MONGODB_URI", database.uri)
        monkeypatch.setenv("ECHO_CONFIG", json.dumps(config))
        return [shown(each) for each in checks.check_redis("tests.apps.echo:app")]

    away = findings(WSFLASK_FEED="redis", WSFLASK_REDIS_URL="redis://ann:hush@127.0.0.1:1")

    assert findings() == []
    assert findings(WSFLASK_FEED="redis", WSFLASK_REDIS_URL=redis.url)[0].startswith("ok Redis")
    assert away[0].startswith("fail it cannot be reached")
    assert "hush" not in away[0]


@pytest.mark.parametrize(
    ("worker", "plain", "is_late", "finding"),
    [
        (True, True, False, "ok patched by the application itself"),
        (True, False, False, "ok patched by gunicorn's worker"),
        (True, True, True, "warn the module patches after other imports"),
        (False, False, False, "fail the application undoes the patch"),
    ],
)
def test_the_patch_comes_first(worker: bool, plain: bool, is_late: bool, finding: str) -> None:
    found = checks._patched({"is_patched": worker}, {"is_patched": plain}, is_late=is_late)

    assert shown(found).startswith(finding)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({}, "ok desk:app has a WebSocketServer and Flask-Login"),
        ({"has_login": False}, "fail desk:app has no Flask-Login"),
        ({"has_wsflask": False}, "fail desk:app has no WebSocketServer"),
    ],
)
def test_an_application_has_a_server_and_a_login(changed: dict[str, Any], finding: str) -> None:
    assert shown(checks._registered("desk:app", {**WORKER, **changed})).startswith(finding)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({}, "ok set, and the same in every process"),
        ({"key_length": 0}, "fail not set"),
        ({"key_length": 5}, "warn shorter than 16 characters"),
        ({"key_digest": "another"}, "fail another one at each start"),
    ],
)
def test_a_secret_key_is_long_and_shared(changed: dict[str, Any], finding: str) -> None:
    assert shown(checks._secret_key({**WORKER, **changed}, WORKER)).startswith(finding)


@pytest.mark.parametrize(("limit", "finding"), [(1024, "warn 1024 a process, fewer"), (17_000, "ok 17000 a process")])
def test_a_process_may_open_a_file_for_each_connection(limit: int, finding: str) -> None:
    script = (
        f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (min({limit}, 1024), {limit}))\n"
        "from wsflask.cli.checks import check_file_limit\nfound = check_file_limit(); print(found.level, found.text)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    if "not allowed to raise" in ended.stderr:
        pytest.skip("this account may not open that many files")

    assert ended.stdout.startswith(finding), ended.stderr


def shown(finding: checks.Finding) -> str:
    """Return a finding as one line."""
    return f"{finding.level} {finding.text}"
