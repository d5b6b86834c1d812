"""When a process that serves by itself is told to stop: by signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol

import gevent

__all__ = ["HttpServer", "when_signalled"]

#: Each ends a process by default; SIGHUP is that of a terminal, or of a supervisor that knows no other deploy.
_NAMES = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP")


class HttpServer(Protocol):
    """A `gevent.pywsgi.WSGIServer`, as much of it as is needed to end it."""

    def close(self) -> None: ...


def when_signalled(*then: Callable[[], None]) -> None:
    """Do these, in a greenlet, at each signal to end. For the main thread of a patched process."""

    def end() -> None:
        for step in then:
            step()

    for name in _NAMES:
        if (number := getattr(signal, name, None)) is not None:
            gevent.signal_handler(number, end)
