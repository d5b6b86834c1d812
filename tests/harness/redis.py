"""A Redis of one's own: started, frozen, killed, started empty."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from wsflask.embedded.children import free_port, start_child, stop_child
from wsflask.testing.processes import freeze, thaw
from wsflask.testing.waiting import wait_until

from .basics import require_program

__all__ = ["RedisServer"]


class RedisServer:
    """A redis-server on 127.0.0.1 that keeps nothing on disk."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Any:
        """A client of its own, without the types of a driver that may answer in two protocols."""
        return Redis.from_url(self.url)

    @property
    def pid(self) -> int | None:
        """Its process; None: it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        program = require_program("redis-server")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = start_child([*command, *self._arguments], output=subprocess.DEVNULL)
        wait_until(self._answers, what="an answer of redis-server")

    def _answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        """End it as a power cut does; what it held is gone."""
        process, self._process = self._process, None
        if process is not None:
            stop_child(process, timeout=0)

    def freeze(self) -> None:
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process is not None
        thaw(self._process.pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
