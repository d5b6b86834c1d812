"""A child process that is talked to: a JSON line each way."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..embedded import start_child, stop_child

__all__ = ["TalkingChild"]

#: Seconds an answer may take.
_PATIENCE = 60.0


class TalkingChild:
    """A program that answers each JSON line on its standard input by one on its standard output.

    It ends when its standard input does; started from the main thread it dies with this process.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
    ) -> None:
        everything = {**os.environ, **(env or {})}
        self._process = start_child(command, env=everything, cwd=cwd, is_talked_to=True)
        self._read = b""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, *, timeout: float = _PATIENCE, **message: Any) -> Any:
        """Send a message and return the answer. May switch.

        Raises:
            RuntimeError: the program ended, does not answer, or answers `{"error": …}`.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended: reading tells
        answer = json.loads(self._line(time.monotonic() + timeout))
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"process {self.pid}: {answer['error']}")
        return answer

    def stop(self, *, timeout: float = 5.0) -> None:
        """End it."""
        stop_child(self._process, timeout=timeout)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        parts = [self._read]
        while b"\n" not in parts[-1]:
            ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise RuntimeError(f"process {self.pid} does not answer")
            data = os.read(descriptor, 1 << 18)
            if not data:
                raise RuntimeError(f"process {self.pid} ended with status {self._status()}")
            parts.append(data)
        line, _, self._read = b"".join(parts).partition(b"\n")
        return line

    def _status(self) -> int | None:
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return None
