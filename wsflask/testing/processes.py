"""Which processes run, which are whose children, and how one is stopped in its tracks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from .waiting import wait_until

__all__ = ["children_of", "descendants_of", "freeze", "is_frozen", "is_running", "thaw"]


def children_of(pid: int) -> list[int]:
    """Return the process ids of the direct children of a process that have not ended."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        listed = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:  # not Linux, or a kernel without these files, or the process is gone
        return [child for child, (parent, state) in _processes().items() if parent == pid and state != "Z"]
    return [child for child in map(int, " ".join(listed).split()) if is_running(child)]


def descendants_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process, and of theirs."""
    children = children_of(pid)
    return children + [below for child in children for below in descendants_of(child)]


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    found = _of_proc(f"/proc/{pid}", pid) if sys.platform == "linux" else (pid, _processes().get(pid, (0, "Z")))
    return found is not None and found[1][1] != "Z"


def freeze(pid: int) -> None:
    """Stop a process in its tracks (SIGSTOP), and return when each of its threads stands. May switch.

    The signal is only on its way when `kill` returns: its other threads go on, and may answer, until one has taken it.

    Raises:
        ProcessLookupError: there is no such process.
        AssertionError: it did not stop.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_frozen(pid), what=f"process {pid} to stop")


def thaw(pid: int) -> None:
    """Let a process go on (SIGCONT)."""
    os.kill(pid, signal.SIGCONT)


def is_frozen(pid: int) -> bool:
    """Return whether a process is stopped in its tracks."""
    if sys.platform != "linux":
        return _processes().get(pid, (0, ""))[1] == "T"
    try:
        threads = [_of_proc(f"/proc/{pid}/task/{thread}", pid) for thread in os.listdir(f"/proc/{pid}/task")]
    except OSError:  # it is gone
        return False
    return all(found is None or found[1][1] == "T" for found in threads)


def _processes() -> dict[int, tuple[int, str]]:
    """Return parent and state of every process."""
    if sys.platform == "linux":
        entries = (entry for entry in os.scandir("/proc") if entry.name.isdigit())
        return dict(filter(None, (_of_proc(entry.path, int(entry.name)) for entry in entries)))
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): (int(parent), state[0]) for pid, parent, state in rows}


def _of_proc(folder: str, pid: int) -> tuple[int, tuple[int, str]] | None:
    try:
        stat = Path(folder, "stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return pid, (int(parent), state)
