"""What runs on the hosts: three mongods, gunicorn on two of them, nginx."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.faults.app import SETTINGS, URI
from wsflask.embedded import find_mongod

from .network import HOSTS, Host, Trouble, check_machine, connect, disconnect

__all__ = ["FRONT", "database_uri", "down", "is_up", "up"]

_ROOT = Path(__file__).resolve().parent.parent.parent
_PORTS = (27017, 27018, 27019)
_NAME = "machines"
#: Seconds that anything may take to start; bytes of disk that three mongods need.
_START, _DISK = 60.0, 2 * 1024**3
#: How clients notice that a host is gone: after 1.5 intervals of silence, and 5 s in which a question is not answered.
_SETTINGS = {"WSFLASK_PING_INTERVAL": 5.0, "WSFLASK_PING_TIMEOUT": 5.0, "WSFLASK_RECONNECT_SPREAD": 2.0}
FRONT = f"{HOSTS['front'].address}:80"


def database_uri(database: str = _NAME) -> str:
    """Return the URI of the replica set."""
    hosts = ",".join(f"{HOSTS['db'].address}:{port}" for port in _PORTS)
    return f"mongodb://{hosts}/{database}?replicaSet={_NAME}"


def up(folder: Path, *, workers: int) -> None:
    """Make the hosts, and start everything.

    The members of the replica set are three on one host, not one on each: what is tried out is an application host
    that is gone. With a member on it the same cut would be an election too.
    """
    if is_up(folder):
        raise Trouble("it is up already; end it with: python -m examples.machines down")
    check_machine()
    if shutil.disk_usage(folder.parent).free < _DISK:
        raise Trouble(f"three mongods need 2 GB in {folder}, which has less; name another one with --folder")
    disconnect()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        connect()
        _start_database(folder)
        _initiate()
        for name in ("app1", "app2"):
            _start_application(folder, HOSTS[name], workers)
        _start_front(folder)
        for address in (f"{HOSTS['app1'].address}:8101", f"{HOSTS['app2'].address}:8101", FRONT):
            _await_answer(address, folder)
    except BaseException:
        down(folder)
        raise


def is_up(folder: Path) -> bool:
    """Return whether processes of an earlier `up` run."""
    return any(_is_ours(pid) for pid in _pids(folder))


def down(folder: Path) -> None:
    """End everything, and take the hosts away; nothing happens when nothing is there."""
    pids = [pid for pid in _pids(folder) if _is_ours(pid)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (pids := [pid for pid in pids if _is_ours(pid)]):
            time.sleep(0.05)
    disconnect()
    shutil.rmtree(folder, ignore_errors=True)


def _start_database(folder: Path) -> None:
    program = find_mongod()
    for port in _PORTS:
        data = folder / str(port)
        data.mkdir()
        command = [program, "--dbpath", str(data), "--port", str(port), "--bind_ip", "0.0.0.0", "--nounixsocket"]
        command += ["--replSet", _NAME, "--oplogSize", "200", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--journalCommitInterval", "1", "--quiet", "--logpath", str(data / "mongod.log")]
        _start(folder, HOSTS["db"], command)


def _initiate() -> None:
    """Make the mongods one replica set, and wait for its primary."""
    address = HOSTS["db"].address
    members = [{"_id": number, "host": f"{address}:{port}"} for number, port in enumerate(_PORTS)]
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        member: MongoClient[Any] = MongoClient(
            address, _PORTS[0], directConnection=True, serverSelectionTimeoutMS=500
        )
        with member:
            try:
                member.admin.command("replSetInitiate", {"_id": _NAME, "members": members})
            except OperationFailure as error:
                if error.code == 74:  # the others do not answer yet
                    time.sleep(0.1)
                    continue
                if error.code != 23:  # there is one already
                    raise
            except PyMongoError:
                time.sleep(0.1)
                continue
        every: MongoClient[Any] = MongoClient(database_uri(), serverSelectionTimeoutMS=30_000)
        with every:
            every.admin.command("ping")
            return
    raise Trouble(f"no mongod answered on {address}; see the logs in the folder")


def _start_application(folder: Path, host: Host, workers: int) -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", "python:wsflask.gunicorn", "-w", str(workers)]
    command += ["--bind", f"{host.address}:8101", "tests.faults.app:app"]
    settings = "\n".join(f"{name}={value}" for name, value in _SETTINGS.items())
    _start(folder, host, command, {URI: database_uri(), SETTINGS: settings, "PYTHONPATH": str(_ROOT)})


def _start_front(folder: Path) -> None:
    addresses = {name: host.address for name, host in HOSTS.items()}
    text = (Path(__file__).parent / "nginx.conf").read_text()
    path = folder / "nginx.conf"
    path.write_text(text.format(folder=folder, user="user root;", **addresses))
    _start(folder, HOSTS["front"], ["nginx", "-p", str(folder), "-c", str(path), "-e", str(folder / "nginx.log")])


def _start(folder: Path, host: Host, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Start a process on a host that outlives this one, and note its id."""
    log = (folder / f"{host.name}.log").open("ab")
    process = subprocess.Popen(
        host.command(*command),
        cwd=_ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    (folder / "pids").write_text(json.dumps([*_pids(folder), process.pid]))


def _pids(folder: Path) -> list[int]:
    try:
        pids: list[int] = json.loads((folder / "pids").read_text())
    except FileNotFoundError:
        return []
    return pids


def _is_ours(pid: int) -> bool:
    """Return whether the process runs, in one of our namespaces: its number may be another's by now."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        inode = Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return False
    spaces = [Path("/run/netns", host.namespace) for host in HOSTS.values()]
    return state != "Z" and inode in {space.stat().st_ino for space in spaces if space.exists()}


def _await_answer(address: str, folder: Path) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{address}/", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    logs = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.log")))
    raise Trouble(f"{address} does not answer; the logs:\n{logs}")
