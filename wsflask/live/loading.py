"""Loads of views that are under way: a few at once, each until it succeeds or nobody waits for it."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..tasks import spawn
from .subscriber import Subscriber
from .view import Loaded, View

__all__ = ["Load", "Loading"]

#: Seconds before a load is tried again when the database failed; doubles up to `_LONGEST`, with jitter.
_FIRST, _LONGEST = 0.2, 5.0


class Load:
    """A query under way, and those who wait for its rows."""

    __slots__ = ("delay", "is_stale", "view", "waiting")

    def __init__(self, view: View) -> None:
        self.view = view
        self.waiting: list[Subscriber] = []
        #: Whether it has to be run once more, for its view was lost meanwhile.
        self.is_stale = False
        #: Seconds until it is tried again.
        self.delay = _FIRST


class Loading:
    """Runs the queries. Guarded by the lock of `LiveViews`, which its own tasks take.

    Args:
        lock: of `LiveViews`.
        at_once: loads that run at one time; the others wait for their turn.
        find: runs the query of a view. May switch.
        succeeded: takes what was found, under the lock; returns whether that is the end of it.
        failed: takes an error, under the lock; returns whether the load is tried again.
    """

    def __init__(
        self,
        lock: Any,
        at_once: int,
        find: Callable[[View], Loaded],
        succeeded: Callable[[Load, Loaded], bool],
        failed: Callable[[Load, Exception], bool],
    ) -> None:
        self._lock = lock
        self._at_once = at_once
        self._find = find
        self._succeeded = succeeded
        self._failed = failed
        self._loads: dict[View, Load] = {}
        self._turn: deque[Load] = deque()
        self._running = 0

    def __contains__(self, view: View) -> bool:
        return view in self._loads

    def get(self, view: View) -> Load | None:
        """Return the load of the view that is under way."""
        return self._loads.get(view)

    def start(self, view: View) -> Load:
        """Have the view loaded."""
        load = self._loads[view] = Load(view)
        self._enqueue(load)
        return load

    def forget(self, view: View) -> None:
        """Let go of a load whose result nobody wants."""
        self._loads.pop(view, None)

    def _enqueue(self, load: Load) -> None:
        self._turn.append(load)
        if self._running < self._at_once:
            self._running += 1
            spawn("wsflask load", self._work)

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    load = self._turn.popleft() if self._turn else None
                if load is None:
                    return
                self._run(load)
        finally:
            with self._lock:
                self._running -= 1

    def _run(self, load: Load) -> None:
        while self._loads.get(load.view) is load:
            try:
                loaded = self._find(load.view)
            except Exception as error:
                with self._lock:
                    if self._loads.get(load.view) is load and self._failed(load, error):
                        spawn("wsflask load again", self._again, load, load.delay)
                        load.delay = min(load.delay * 2, _LONGEST)
                return
            except BaseException:  # The greenlet was killed: another takes its place.
                with self._lock:
                    self._running -= 1
                    self._enqueue(load)
                    self._running += 1
                raise
            with self._lock:
                if self._loads.get(load.view) is not load or self._succeeded(load, loaded):
                    return

    def _again(self, load: Load, delay: float) -> None:
        time.sleep(random.uniform(delay / 2, delay))
        with self._lock:
            self._enqueue(load)
