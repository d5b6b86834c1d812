"""What runs in the tests' process: child processes, greenlets."""

from __future__ import annotations

import os
import time
import weakref
from dataclasses import dataclass
from typing import Any

import gevent

from wsflask.testing.processes import children_of


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


#: Every greenlet that was started since the harness was imported, while somebody holds it.
_STARTED: weakref.WeakSet[Any] = weakref.WeakSet()
gevent.Greenlet.add_spawn_callback(_STARTED.add)


def _greenlets() -> list[Any]:
    return [greenlet for greenlet in list(_STARTED) if greenlet and not greenlet.dead and not _is_ending(greenlet)]


def _is_ending(greenlet: Any) -> bool:
    """Return whether it is a monitor of a closed MongoClient: told to stop, it looks up every half a second."""
    thread = getattr(getattr(greenlet, "_run", None), "__self__", None)
    executor = getattr(getattr(thread, "_target", None), "__self__", None)
    return bool(getattr(executor, "_stopped", False))
