"""Child processes that do not outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["free_port", "start_child", "stop_child"]

#: prctl(2): the signal this process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1


def start_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    output: IO[Any] | int | None = None,
    death_signal: int = signal.SIGKILL,
    keep_open: Sequence[int] = (),
    own_session: bool = True,
    is_talked_to: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command`, which gets `death_signal` when this process dies.

    Only Linux tells a process of its parent's death, and counts as such the end of the starting thread:
    a child that is started from another thread than the main one lives on when this process is killed.

    Args:
        output: where the child's standard output and error go; None: where this process's go.
        keep_open: file descriptors that the child inherits.
        own_session: keep Ctrl-C in the terminal away from the child, so that its owner stops it.
        is_talked_to: its standard input and output are pipes; errors go where this process's go.
    """
    return subprocess.Popen(
        list(command),
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=subprocess.PIPE if is_talked_to else subprocess.DEVNULL,
        stdout=subprocess.PIPE if is_talked_to else output,
        stderr=subprocess.STDOUT if output is not None and not is_talked_to else None,
        preexec_fn=_follow_parent(death_signal),  # noqa: PLW1509 - no imports, no locks in it
        pass_fds=tuple(keep_open),
        start_new_session=own_session,
    )


def stop_child(process: subprocess.Popen[bytes], *, timeout: float) -> int:
    """Ask `process` to end, kill it after `timeout` seconds (0: at once); return its status. May switch."""
    if process.poll() is None and timeout > 0:
        process.terminate()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
    if process.poll() is None:
        process.kill()
    return process.wait()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _follow_parent(death_signal: int) -> Callable[[], None] | None:
    if sys.platform != "linux" or threading.get_native_id() != os.getpid():
        return None
    # The library is loaded here: between fork and exec nothing may be imported.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return follow
