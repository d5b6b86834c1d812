"""A server as a child process, on a core that it has to itself."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Self

from wsflask.embedded import free_port, start_child, stop_child

from .contenders import ROOT, Contender
from .processes import children_of, leaves_of

__all__ = ["Server", "ServerFailed", "leave_the_first_core", "pinned", "raise_file_limit"]

#: Seconds a server may take until it listens, and gunicorn until it has a worker.
_START = 30.0
#: Open files that 10,000 clients need, with a server that takes two for each.
_FILES = 32_768


class ServerFailed(Exception):
    """A server did not start, or ended by itself."""


@cache
def _cores() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def pinned(command: Sequence[str]) -> list[str]:
    """Return the command such that it runs on the first core, where there are two."""
    if len(_cores()) < 2 or shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "--cpu-list", str(_cores()[0]), *command]


def leave_the_first_core() -> None:
    """Keep this process, and what it starts without `pinned`, on the other cores: the generator and MongoDB."""
    if len(_cores()) > 1:
        os.sched_setaffinity(0, _cores()[1:])


def raise_file_limit() -> None:
    """Let this process, and what it starts, open as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((_FILES, max(hard, _FILES)), (hard, hard)):
        with contextlib.suppress(ValueError, OSError):  # only root may raise the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            return


class Server:
    """A running server; a context manager that ends it, with all its processes."""

    def __init__(self, contender: Contender, env: Mapping[str, str] | None = None) -> None:
        self.contender = contender
        self.port = free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
        everything = {**os.environ, "PYTHONPATH": str(ROOT), **contender.env, **(env or {})}
        command = pinned(contender.command(self.port))
        self._process = start_child(command, env=everything, cwd=contender.cwd, output=self._log)
        try:
            self._await()
        except BaseException:
            self.stop()
            raise

    @property
    def pids(self) -> list[int]:
        """The processes whose CPU time and memory are the server's; for gunicorn the worker, not the master."""
        return leaves_of(self._process.pid)

    @property
    def log(self) -> str:
        """The last of what the server has printed."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")[-2000:]

    def stop(self) -> None:
        """End the server's processes, by force: nobody waits for its clients. May be called twice."""
        workers = children_of(self._process.pid) if self._process.poll() is None else []
        stop_child(self._process, timeout=0)
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _await(self) -> None:
        """Return when the port takes connections, and the worker of a gunicorn is there."""
        deadline = time.monotonic() + _START
        is_gunicorn = "gunicorn" in self.contender.command(self.port)
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.contender.title} ended at once: {self.log}")
            if _listens(self.port) and not (is_gunicorn and not children_of(self._process.pid)):
                return
            time.sleep(0.02)
        raise ServerFailed(f"{self.contender.title} does not listen after {_START:.0f} s: {self.log}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
