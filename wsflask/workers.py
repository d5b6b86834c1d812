"""When gunicorn tells this worker to stop, and who wants to know."""

from __future__ import annotations

import gc
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any, Protocol

# gunicorn's first process imports this module before anything is patched: the standard library only.

__all__ = ["Leaver", "adopt", "end", "forget", "give_up", "gunicorn_worker", "note", "when_stopped"]

#: New objects after which Python looks for garbage among them: at most a few megabytes.
_YOUNG = 10_000
#: Seconds between two looks at whether the worker is told to stop.
_LOOK = 0.1


class Leaver(Protocol):
    """A server of this process that has clients to take leave of."""

    def drain(self) -> None:
        """Take leave of every client, in good order. May switch."""

    def abandon(self) -> None:
        """Tell every client what can be told at once. Never switches: the event loop hangs."""


_leavers: list[Leaver] = []
#: The worker that gunicorn's hook has shown, and the process it was in.
_adopted: tuple[int, Any] = (0, None)


def note(leaver: Leaver) -> None:
    """Have the server told when this worker ends."""
    _leavers.append(leaver)


def forget(leaver: Leaver) -> None:
    """Do not tell the server any more."""
    if leaver in _leavers:
        _leavers.remove(leaver)


def adopt(worker: Any) -> None:
    """Know gunicorn's worker from its own hook; see to what its settings leave open."""
    global _adopted
    _adopted = (os.getpid(), worker)
    # A terminal that hangs up signals all processes; by default a worker would end without a word.
    signal.signal(signal.SIGHUP, worker.handle_exit)
    if worker.cfg.max_requests and not worker.cfg.max_requests_jitter:
        # All workers get about as many requests: without it they would be replaced at the same time.
        worker.max_requests += random.randint(0, worker.cfg.max_requests // 2)
    _tend_garbage()


def _tend_garbage() -> None:
    """Collect garbage less often, and leave what the application has loaded out of it.

    The objects of a connection live for hours. With Python's own threshold of 700 the collector looks at all of them
    again and again while thousands connect: a tenth of the time that this takes. What an application has
    set is only ever raised.
    """
    young, *older = gc.get_threshold()
    if gc.isenabled() and young:
        gc.set_threshold(max(young, _YOUNG), *older)
        gc.collect()
        gc.freeze()


def gunicorn_worker() -> Any:
    """Return the gunicorn worker this process is, or None; without the hook it is the owner of the SIGTERM handler."""
    pid, worker = _adopted
    if pid == os.getpid():
        return worker
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return worker if hasattr(worker, "alive") else None


def when_stopped(worker: Any, then: Callable[[], None]) -> None:
    """Call `then` as soon as the worker is told to stop. May switch, all the time until then."""
    while worker.alive:
        time.sleep(_LOOK)
    then()


def end() -> None:
    """Take leave of all clients of this process. May switch."""
    for leaver in _leavers.copy():  # one that has ended meanwhile is not in it any more
        leaver.drain()


def give_up() -> None:
    """Tell all clients of this process that it is about to be killed. Never switches."""
    for leaver in _leavers:
        leaver.abandon()
