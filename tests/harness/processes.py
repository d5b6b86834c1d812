"""What runs: child processes, greenlets."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What runs in this process: the identities of its greenlets, and its child processes."""

    greenlets: frozenset[int]
    children: frozenset[int]

    @classmethod
    def now(cls) -> Leftovers:
        """Return what runs now."""
        return cls(frozenset(id(g) for g in _greenlets()), frozenset(children_of(os.getpid())))

    @classmethod
    def since(cls, before: Leftovers, *, timeout: float) -> list[str]:
        """Name what has been started since and does not end within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            left = [repr(g) for g in _greenlets() if id(g) not in before.greenlets]
            left += [f"process {pid}" for pid in children_of(os.getpid()) if pid not in before.children]
            if not left or time.monotonic() > deadline:
                return left
            gevent.sleep(0.02)


def _greenlets() -> list[gevent.Greenlet[..., Any]]:
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), gevent.Greenlet)]
    return [g for g in found if g and not g.dead]


def children_of(pid: int) -> list[int]:
    """Return the process ids of the direct children of a process that have not ended."""
    return [child for child, (parent, state) in _processes().items() if parent == pid and state != "Z"]


def descendants_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process, and of theirs."""
    children = children_of(pid)
    return children + [below for child in children for below in descendants_of(child)]


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    return _processes().get(pid, (0, "Z"))[1] != "Z"


def _processes() -> dict[int, tuple[int, str]]:
    """Return parent and state of every process."""
    if sys.platform == "linux":
        return dict(filter(None, (_of_proc(entry) for entry in os.scandir("/proc") if entry.name.isdigit())))
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): (int(parent), state[0]) for pid, parent, state in rows}


def _of_proc(entry: os.DirEntry[str]) -> tuple[int, tuple[int, str]] | None:
    try:
        stat = Path(entry.path, "stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return int(entry.name), (int(parent), state)
