"""When gunicorn tells this worker to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

__all__ = ["gunicorn_worker", "when_stopped"]

#: Seconds between two looks at whether the worker is told to stop.
_LOOK = 0.1


def gunicorn_worker() -> Any:
    """Return the gunicorn worker this process is, found by the owner of its SIGTERM handler, or None."""
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return worker if hasattr(worker, "alive") else None


def when_stopped(worker: Any, then: Callable[[], None]) -> None:
    """Call `then` as soon as the worker is told to stop. May switch, all the time until then."""
    while worker.alive:
        time.sleep(_LOOK)
    then()
