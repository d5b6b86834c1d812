"""Do something at the end of a turn of gevent's event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

__all__ = ["Turn"]


class Turn:
    """Calls a function in the hub as soon as the running greenlets wait: once a turn, however often it is asked for.

    Args:
        work: returns whether it has more to do; then it is called again, after the loop has looked at its sockets. Must
            not switch for long.
    """

    def __init__(self, work: Callable[[], bool]) -> None:
        #: Whether the call is on its way.
        self.is_asked = False
        self._work = work
        self._hub: Any = None
        self._timer: Any = None

    def bind(self) -> None:
        """Note that the caller's thread is the one whose event loop is meant."""
        self._hub = get_hub()

    def ask(self) -> None:
        """Have the function called; never switches."""
        if self.is_asked:
            return
        self.is_asked = True
        hub = self._hub or get_hub()
        if hub is get_hub():
            hub.loop.run_callback(self._run)
        else:  # A thread of the application, which has a loop of its own that never runs.
            hub.loop.run_callback_threadsafe(self._run)

    def _run(self) -> None:
        has_more = True  # Also when it fails: what is left must not wait for ever.
        try:
            has_more = self._work()
        finally:
            if has_more:
                # Not a callback: those run before the loop looks at its sockets again, a timer runs beside them.
                if self._timer is None:
                    self._timer = get_hub().loop.timer(0)
                self._timer.start(self._run)
            else:
                self.is_asked = False

    def stop(self) -> None:
        """Free what the loop holds."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        self.is_asked = False
