"""Start work that goes on beside the caller: a greenlet in a patched process, a daemon thread elsewhere."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey

from .outage import log_failure

__all__ = ["Supervised", "Task", "is_patched", "spawn", "supervise"]

_log = logging.getLogger(__name__)

#: Seconds before the first restart of a supervised task; doubles up to `_LONGEST`, with full jitter.
_FIRST, _LONGEST = 0.1, 10.0
#: The longest wait for a restart when it was the database that failed, so that all goes on soon after it is back.
_OUTAGE = 1.0
#: Seconds a task has to live for its backoff to start again at `_FIRST`.
_HEALTHY = 30.0


def is_patched() -> bool:
    """Return whether gevent has patched threads and sockets in this process."""
    return bool(monkey.is_module_patched("threading") and monkey.is_module_patched("socket"))


class Task:
    """Work that runs beside its owner, who stops and joins it."""

    def __init__(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        self.name = name
        #: Whether the work died because the database is away.
        self.is_cut_off = False
        self._greenlet: gevent.Greenlet[..., Any] | None = None
        self._thread: threading.Thread | None = None
        if is_patched():
            self._greenlet = gevent.spawn(self._run, function, args)
        else:
            self._thread = threading.Thread(target=self._run, args=(function, args), name=name, daemon=True)
            self._thread.start()

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        except Exception as error:
            self.is_cut_off = log_failure(_log, error, "the task %s failed", self.name)

    @property
    def is_alive(self) -> bool:
        """Whether the work still goes on."""
        if self._greenlet is not None:
            return not self._greenlet.ready()
        return bool(self._thread and self._thread.is_alive())

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the work to end; return whether it has. May switch."""
        if self._greenlet is not None:
            self._greenlet.join(timeout)
        elif self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self.is_alive

    def stop(self, timeout: float = 1.0) -> None:
        """End the work: a greenlet is killed, a thread is given `timeout` seconds. May switch; may be called twice."""
        if self._greenlet is not None:
            if self._greenlet is not gevent.getcurrent():
                self._greenlet.kill(timeout=timeout)
        else:
            self.join(timeout)


def spawn(name: str, function: Callable[..., Any], *args: Any) -> Task:
    """Start `function(*args)` beside the caller; an exception in it is logged under `name`."""
    return Task(name, function, *args)


class Supervised:
    """Work that is started again, with backoff, when it dies of an exception."""

    def __init__(self, name: str, function: Callable[[], Any], on_restart: Callable[[], Any] | None = None) -> None:
        self.name = name
        #: How often the work was started again.
        self.restarts = 0
        self._function = function
        self._on_restart = on_restart
        self._stopped = threading.Event()
        self._worker: Task | None = None
        self._task = spawn(name, self._loop)

    @property
    def is_alive(self) -> bool:
        """Whether the work goes on or is about to be started again."""
        return self._task.is_alive

    def stop(self, timeout: float = 1.0) -> None:
        """End the work and do not start it again. May switch; may be called twice."""
        self._stopped.set()
        if self._worker is not None:
            self._worker.stop(timeout)
        self._task.join(timeout)

    def _loop(self) -> None:
        delay = _FIRST
        while not self._stopped.is_set():
            started = time.monotonic()
            finished: list[bool] = []
            self._worker = spawn(self.name, lambda done=finished: (self._function(), done.append(True)))
            while self._worker.is_alive:
                self._worker.join(3600.0)
            if finished or self._stopped.is_set():
                return
            if time.monotonic() - started > _HEALTHY:
                delay = _FIRST
            if self._worker.is_cut_off:
                delay = min(delay, _OUTAGE)  # Each attempt waits for the database by itself.
            else:
                _log.error("the task %s died; it starts again within %.1f s", self.name, delay)
            self._stopped.wait(random.uniform(0, delay))
            delay = min(delay * 2, _LONGEST)
            self.restarts += 1
            if self._on_restart is not None and not self._stopped.is_set():
                self._on_restart()


def supervise(name: str, function: Callable[[], Any], on_restart: Callable[[], Any] | None = None) -> Supervised:
    """Run `function()` beside the caller until it returns; start it again when it raises or is killed."""
    return Supervised(name, function, on_restart)
