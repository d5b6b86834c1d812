"""A mongod as a replica set of one member, kept in a folder."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from ..errors import ConfigError
from .binary import find_mongod
from .children import free_port, start_child, stop_child

try:
    import fcntl
except ImportError:  # Windows: mongod's own lock has to do
    fcntl = None  # type: ignore[assignment]

__all__ = ["EmbeddedMongo"]

_REPLICA_SET = "wsflask"
#: Seconds from the start to a writable primary; half a second is usual, a busy machine takes longer.
_START = 60.0
#: Seconds a folder may stay locked by a server that is just ending.
_LOCK = 3.0
#: mongod's exit statuses for a taken port, and mongo's code for a member without a configuration.
_PORT_TAKEN, _NOT_INITIATED = 48, 94
#: Bytes mongod preallocates, with some room; less free disk gets a sentence instead of a crash.
_DISK = 500 * 1024 * 1024


class EmbeddedMongo:
    """Own a mongod whose data lie in `folder`: a replica set of one member, which has change streams.

    Start it from the main thread: on Linux it then dies with this process, however that ends. Use it as a
    context manager, or call `start()` and `stop()`. Only 127.0.0.1 can reach it; it asks for no password.

    Args:
        folder: created when missing; what lies in it from an earlier run is used again, also on another port.
        port: None picks a free one.
        mongod: path of the program; None looks at PATH, then at the PyPI wheel.
        oplog_megabytes: how much history change streams can be resumed from.
        arguments: further arguments of mongod.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        port: int | None = None,
        mongod: str | None = None,
        oplog_megabytes: int = 50,
        arguments: Sequence[str] = (),
    ) -> None:
        self.folder = Path(folder).absolute()
        self.port = port or 0
        self._fixed_port = port is not None
        self._mongod = mongod
        self._arguments = ("--oplogSize", str(oplog_megabytes), *arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def uri(self) -> str:
        """The server's URI, without a database."""
        return self.uri_of("")

    def uri_of(self, database: str) -> str:
        """Return the URI of one database."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?replicaSet={_REPLICA_SET}"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs, else None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """Where this run's log lies."""
        return self.folder / "mongod.log"

    def start(self) -> None:
        """Start the server, and return when it takes writes. May switch.

        Raises:
            ConfigError: it cannot be started; the sentence says why and what to do.
        """
        if self.pid is not None:
            return
        program = find_mongod(self._mongod)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder)
        try:
            self._check_disk()
            self._start_on_a_port(program)
        except BaseException:
            self.stop(timeout=0)
            raise

    def stop(self, *, timeout: float = 10.0) -> None:
        """End the server: in good order, or after `timeout` seconds (0: at once) by force. May switch."""
        process, self._process = self._process, None
        if process is not None:
            stop_child(process, timeout=timeout)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check_disk(self) -> None:
        if not (self.folder / "journal").is_dir() and shutil.disk_usage(self.folder).free < _DISK:
            raise ConfigError(f"mongod needs {_DISK >> 20} MB in {self.folder}, which has less; free some")

    def _start_on_a_port(self, program: str) -> None:
        attempts = 1 if self._fixed_port else 5
        for left in reversed(range(attempts)):
            if not self._fixed_port:
                self.port = free_port()
            self._process = self._spawn(program)
            try:
                self._await_primary(self._process)
                return
            except ConfigError:
                # Somebody took the port between the look and the start.
                if self._process.poll() != _PORT_TAKEN or not left:
                    raise

    def _spawn(self, program: str) -> subprocess.Popen[bytes]:
        self.log_path.unlink(missing_ok=True)
        command = [program, "--dbpath", str(self.folder), "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        command += ["--nounixsocket", "--logpath", str(self.log_path), "--quiet", "--replSet", _REPLICA_SET]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--journalCommitInterval", "1", *self._arguments]
        # The server inherits the lock: the folder is free when it has ended, even if it should outlive us.
        keep = (self._lock.fileno(),) if self._lock is not None else ()
        return start_child(command, output=subprocess.DEVNULL, keep_open=keep)

    def _await_primary(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START
        client: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500, connect=False
        )
        with client:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    reason = _meaning(process.returncode, self.port)
                    raise ConfigError(f"mongod ended at once, {reason}; see {self.log_path}")
                try:
                    # Another server may have the port: ours ends then, and this one must be left alone.
                    if client.admin.command("serverStatus")["pid"] == process.pid:
                        if client.admin.command("hello").get("isWritablePrimary"):
                            return
                        self._configure(client)
                except PyMongoError:
                    pass  # it does not listen yet, or is just reading its configuration
                time.sleep(0.02)
        raise ConfigError(f"mongod did not become primary within {_START:.0f} s; see {self.log_path}")

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        """Make the server the only member of its replica set, under the port it has now."""
        host = f"127.0.0.1:{self.port}"
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != _NOT_INITIATED:
                raise
            config = {"_id": _REPLICA_SET, "members": [{"_id": 0, "host": host}]}
            client.admin.command("replSetInitiate", config)
            return
        if config["members"][0]["host"] != host:
            config["members"][0]["host"] = host
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)


def _meaning(status: int, port: int) -> str:
    if status == _PORT_TAKEN:
        return f"because port {port} is taken"
    return f"with status {status}"


def _locked(folder: Path) -> IO[bytes]:
    """Return an open file that locks `folder` until every process that holds it has ended. May switch."""
    lock = (folder / "wsflask.lock").open("ab")
    if fcntl is None:
        return lock
    deadline = time.monotonic() + _LOCK
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError:
            if time.monotonic() > deadline:
                lock.close()
                raise ConfigError(
                    f"the database in {folder} is in use by another wsflask; stop that one first"
                ) from None
            time.sleep(0.1)
