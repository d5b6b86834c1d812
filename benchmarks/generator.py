"""The load generator, driven through its standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .contenders import ROOT, Contender
from .servers import Server

__all__ = ["PROGRAM", "Generator", "GeneratorFailed"]

PROGRAM = ROOT / "benchmarks" / ".build" / "load"

#: Seconds that an answer may be late, after the generator's own deadline for the command.
_GRACE = 10.0
#: How often clients that were turned away come again.
_ATTEMPTS = 3


class GeneratorFailed(Exception):
    """A command had no result: the server stood still, refused, or ended."""


class Generator:
    """A running generator; each method is one of its commands, and returns the figures that it answers.

    Args:
        timeout: seconds that one command may take before it fails.
    """

    def __init__(self, server: Server, *, cookies: Path | None = None, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._server = server
        command = [str(PROGRAM), *_arguments(server.contender, server.port, cookies), "--timeout", f"{timeout:g}"]
        for pid in server.pids:
            command += ["--pid", str(pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._unread = b""

    def connect(self, clients: int) -> dict[str, Any]:
        """Open so many more sockets, and return when they have settled; the figures are of the first attempt.

        Those whom the server refuses or closes come again, as browsers do; "failed" counts them.

        Raises:
            GeneratorFailed: nobody, or not everybody after some attempts, could connect.
        """
        first = answer = self._ask("connect", clients)
        for _ in range(_ATTEMPTS):
            if answer["failed"]:
                answer = self._ask("connect", answer["failed"])
        if answer["failed"]:
            raise self._failed(f"{answer['failed']} of {clients} clients could not connect: {answer.get('status')}")
        return first

    def rounds(self, count: int | str, burst: int, size: int) -> dict[str, Any]:
        """Have bursts sent to all, one after the other: so many, or for so long ("0.5s")."""
        return self._ask("rounds", count, burst, size)

    def echo(self, seconds: float, clients: int, size: int) -> dict[str, Any]:
        """Have so many clients each keep one echo in flight."""
        return self._ask("echo", seconds, clients, size)

    def say(self, text: str) -> dict[str, Any]:
        """Have each client send a message, and return when they have been silent for a while."""
        return self._ask("say", text)

    @contextlib.contextmanager
    def listening(self, messages: int, seconds: float, file: Path) -> Iterator[dict[str, Any]]:
        """Note when each client gets each of so many changes, while the body causes them; the figures come at its end.

        The file has them in nanoseconds on the monotonic clock: an int64 for each client, change by change.
        """
        figures: dict[str, Any] = {}
        line = f"listen {messages} {seconds:g} {file}"
        os.write(self._stdin, line.encode() + b"\n")
        yield figures
        figures.update(self._answered(line))

    def stall(self, clients: int) -> dict[str, Any]:
        """Stop reading from so many sockets."""
        return self._ask("stall", clients)

    def unstall(self) -> dict[str, Any]:
        """Read from all again."""
        return self._ask("unstall")

    def wait(self, seconds: float) -> dict[str, Any]:
        """Do nothing but to answer pings."""
        return self._ask("wait", seconds)

    def memory(self) -> dict[str, Any]:
        """Return the server's memory, and how many sockets are open."""
        return self._ask("memory")

    def close(self) -> dict[str, Any]:
        """Reset all sockets."""
        return self._ask("close")

    def _ask(self, *words: object) -> dict[str, Any]:
        """Give one command, and return what it answers.

        Raises:
            GeneratorFailed: it answered with an error, or not in time.
        """
        line = " ".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)
        try:
            os.write(self._stdin, line.encode() + b"\n")
        except BrokenPipeError:
            raise self._failed(f"{line}: the generator has ended ({self._process.poll()})") from None
        return self._answered(line)

    def _answered(self, line: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._answer(line))
        if "error" in answer:
            raise self._failed(f"{line}: {answer['error']} {answer.get('server_said', '')}".rstrip())
        return answer

    def _answer(self, line: str) -> bytes:
        deadline = time.monotonic() + self._timeout + _GRACE
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise self._failed(f"{line}: no answer within {self._timeout + _GRACE:.0f} s")
            data = os.read(self._stdout, 65536)
            if not data:
                raise self._failed(f"{line}: the generator ended ({self._process.wait()})")
            self._unread += data
        answer, _, self._unread = self._unread.partition(b"\n")
        return answer

    def _failed(self, reason: str) -> GeneratorFailed:
        log = self._server.log.splitlines()
        return GeneratorFailed(f"{reason} (the server's log ends with: {log[-1]})" if log else reason)

    def stop(self) -> None:
        """End the generator. May be called twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _arguments(contender: Contender, port: int, cookies: Path | None) -> Sequence[str]:
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--path", contender.path]
    if contender.protocol is not None:
        arguments += ["--protocol", contender.protocol]
    if contender.has_login:
        arguments += ["--origin", f"http://127.0.0.1:{port}"]
    if cookies is not None:
        arguments += ["--cookies", str(cookies)]
    if contender.is_socketio:
        arguments.append("--socketio")
    if contender.is_deflating:
        arguments.append("--deflate")
    return arguments
