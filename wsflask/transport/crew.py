"""Greenlets that handle what arrives: few, kept, and woken once for all that a turn of the loop has brought."""

from __future__ import annotations

import contextvars
import logging
from collections import deque
from collections.abc import Callable

import gevent
from gevent.hub import get_hub

from .turn import Turn

__all__ = ["Crew"]

_log = logging.getLogger(__name__)

#: Idle greenlets that are kept.
_KEPT = 8
#: Pieces of work of one turn, before the loop looks at its sockets again: some milliseconds.
_TURN = 256


class Crew:
    """Do work beside the event loop; a worker that has to wait is joined by another, so that none waits for it.

    A greenlet for each arrival would cost more than handling it. Each piece of work has contextvars of its own.
    For the thread of the event loop alone.
    """

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._idle: list[_Worker] = []
        #: When it is done.
        self.turn = Turn(self._dispatch)
        self._left = 0

    def run(self, work: Callable[[], None]) -> None:
        """Have the work done in a greenlet, soon; never switches."""
        self._work.append(work)
        if not self.turn.is_asked:
            self.turn.ask()

    def _dispatch(self) -> bool:
        """Switch to workers until all is done or waits for something; return whether some is left. Runs in the hub."""
        self._left = _TURN
        while self._work and self._left > 0:
            worker = self._idle.pop() if self._idle else _Worker(self)
            worker.switch()
        return bool(self._work)

    def next(self, worker: _Worker) -> Callable[[], None] | None:
        """Return what the worker does next; None: it is to end. May switch."""
        while not self._work or self._left <= 0:
            if len(self._idle) >= _KEPT:
                return None
            self._idle.append(worker)
            try:
                get_hub().switch()
            except BaseException:
                if worker in self._idle:
                    self._idle.remove(worker)
                raise
        self._left -= 1
        return self._work.popleft()

    def stop(self) -> None:
        """End the idle workers. May switch."""
        idle, self._idle = self._idle, []
        gevent.killall(idle, block=True, timeout=1.0)
        self.turn.stop()


class _Worker(gevent.Greenlet):  # type: ignore[type-arg]
    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew

    def _run(self) -> None:
        while (work := self._crew.next(self)) is not None:
            try:
                contextvars.Context().run(work)
            except Exception:
                _log.exception("work of a connection failed")
