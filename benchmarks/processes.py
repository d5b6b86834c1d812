"""What the kernel tells of running processes: children, CPU time, memory, bytes that wait in a socket."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["children_of", "cpu_seconds", "leaves_of", "rss_kb", "unsent_bytes"]

_PROC = Path("/proc")


def children_of(pid: int) -> list[int]:
    """Return the process ids of the direct children of a process."""
    try:
        listed = [task.read_text() for task in _PROC.glob(f"{pid}/task/*/children")]
    except OSError:
        return []
    return [int(child) for child in " ".join(listed).split()]


def leaves_of(pid: int) -> list[int]:
    """Return the processes that do the work: the children, and theirs, or the process itself when it has none.

    For gunicorn this is the worker: its master only watches.
    """
    children = children_of(pid)
    return [leaf for child in children for leaf in leaves_of(child)] if children else [pid]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of all threads of these processes, measured in nanoseconds by the scheduler."""
    tasks = (task for pid in pids for task in _PROC.glob(f"{pid}/task/*/schedstat"))
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def rss_kb(pids: Iterable[int]) -> int:
    """Return the resident memory of these processes in KB; what they share counts in parts."""
    found = 0
    for pid in pids:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        found += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found


def unsent_bytes(port: int) -> int:
    """Return the most bytes that the kernel holds back for one client of the server on `port`."""
    suffix = f":{port:04X}"
    most = 0
    for line in (_PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(suffix):
            most = max(most, int(fields[4].partition(":")[0], 16))
    return most
