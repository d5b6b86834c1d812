"""A replica set of mongods on this machine whose members can be killed, frozen and started again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from ..embedded import find_mongod, free_port, start_child, stop_child
from .processes import freeze, is_frozen, thaw

__all__ = ["ReplicaSet"]

_NAME = "wsflask"
#: Seconds until there is a primary.
_START = 60.0


class ReplicaSet:
    """A replica set in `folder`, one member or more; a context manager.

    Start it from the main thread: its members then die with this process. Only 127.0.0.1 can reach it.

    Args:
        arguments: further arguments of each mongod.
        settings: of the set, such as `catchUpTimeoutMillis`.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        members: int = 3,
        oplog_megabytes: int = 50,
        arguments: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.ports = [free_port() for _ in range(members)]
        self._folders = [Path(folder, str(number)) for number in range(members)]
        self._arguments = ["--oplogSize", str(oplog_megabytes), *arguments]
        self._settings = dict(settings or {})
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * members

    def uri_of(self, database: str) -> str:
        """Return the URI of one database."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"mongodb://{hosts}/{database}?replicaSet={_NAME}"

    def start(self) -> None:
        """Start all members, and return when there is a primary. May switch."""
        for number in range(len(self.ports)):
            self.start_member(number)
        members = [{"_id": n, "host": f"127.0.0.1:{port}"} for n, port in enumerate(self.ports)]
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            try:
                self._command(0, "replSetInitiate", {"_id": _NAME, "members": members, "settings": self._settings})
                break
            except OperationFailure as error:
                if error.code == 23:  # there is one already
                    break
                if error.code != 74:  # a member does not listen yet
                    raise
                time.sleep(0.1)
            except PyMongoError:
                time.sleep(0.05)
        self.await_primary()
        # What a majority is has to be known before the first write.
        while time.monotonic() < deadline and any(each not in ("PRIMARY", "SECONDARY") for each in self.states()):
            time.sleep(0.1)

    def start_member(self, number: int) -> None:
        """Start a member that does not run."""
        folder = self._folders[number]
        folder.mkdir(parents=True, exist_ok=True)
        command = [find_mongod(), "--dbpath", str(folder), "--port", str(self.ports[number]), "--bind_ip", "127.0.0.1"]
        command += ["--nounixsocket", "--logpath", str(folder / "mongod.log"), "--logappend", "--quiet"]
        command += ["--replSet", _NAME, "--wiredTigerCacheSizeGB", "0.25", "--journalCommitInterval", "1"]
        self._processes[number] = start_child([*command, *self._arguments], output=subprocess.DEVNULL)

    def primary(self) -> int | None:
        """Return the number of the member that is primary, if one answers that it is."""
        for number in range(len(self.ports)):
            if self._is_running(number):
                try:
                    if self._command(number, "hello").get("isWritablePrimary"):
                        return number
                except PyMongoError:
                    pass
        return None

    def await_primary(self, *, other_than: int | None = None, timeout: float = _START) -> int:
        """Return the primary when there is one. May switch.

        Raises:
            TimeoutError: there is none.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = self.primary()
            if found is not None and found != other_than:
                return found
            time.sleep(0.05)
        raise TimeoutError(f"no primary within {timeout:.0f} s")

    def term(self) -> int:
        """Return the number of the latest election that a member tells of."""
        terms = []
        for number in range(len(self.ports)):
            if self._is_running(number):
                try:
                    terms.append(int(self._command(number, "replSetGetStatus")["term"]))
                except PyMongoError:
                    pass
        return max(terms, default=-1)

    def states(self) -> list[str]:
        """Return what each member is, as the first that answers says."""
        for number in range(len(self.ports)):
            if self._is_running(number):
                try:
                    members = self._command(number, "replSetGetStatus")["members"]
                    return [str(each["stateStr"]) for each in members]
                except PyMongoError:
                    pass
        return ["UNKNOWN"]

    def step_down(self, seconds: int = 10) -> None:
        """Have the primary become a secondary for at least so many seconds."""
        number = self.await_primary()
        try:
            self._command(number, {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 5})
        except AutoReconnect:
            pass  # it may close the connection

    def kill(self, number: int) -> None:
        """Kill a member at once (SIGKILL)."""
        process, self._processes[number] = self._processes[number], None
        if process is not None:
            stop_child(process, timeout=0)

    def stop_all(self) -> None:
        """Kill every member: the database is away."""
        for number in range(len(self.ports)):
            self.kill(number)

    def start_all(self) -> None:
        """Start every member that does not run, and return when there is a primary. May switch."""
        for number in range(len(self.ports)):
            if not self._is_running(number):
                self.start_member(number)
        self.await_primary()

    def freeze(self, number: int) -> None:
        """Stop a member in its tracks (SIGSTOP): it holds its connections, and answers nothing. May switch.

        Raises:
            AssertionError: it did not stop.
        """
        freeze(self._pid(number))

    def thaw(self, number: int) -> None:
        """Let it go on."""
        thaw(self._pid(number))

    def is_frozen(self, number: int) -> bool:
        """Return whether it is stopped in its tracks."""
        return is_frozen(self._pid(number))

    def stop(self) -> None:
        """End all members."""
        self.stop_all()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_running(self, number: int) -> bool:
        process = self._processes[number]
        return process is not None and process.poll() is None

    def _pid(self, number: int) -> int:
        process = self._processes[number]
        if process is None:
            raise ValueError(f"member {number} does not run")
        return process.pid

    def _command(self, number: int, command: Any, value: Any = 1) -> dict[str, Any]:
        client: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1",
            self.ports[number],
            directConnection=True,
            serverSelectionTimeoutMS=500,
            socketTimeoutMS=15_000 if isinstance(command, dict) else 2_000,
        )
        with client:
            return client.admin.command(command) if isinstance(command, dict) else client.admin.command(command, value)
