"""Wait for what has to come to pass, with a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

__all__ = ["MS", "PATIENCE", "wait_until"]

#: One millisecond for waits of tests, in seconds; slow machines set WSFLASK_TEST_SLOWNESS to 3, say.
MS = 0.001 * float(os.environ.get("WSFLASK_TEST_SLOWNESS", "1"))
#: How long an answer of a healthy server may take, in seconds.
PATIENCE = 10_000 * MS


def wait_until(condition: Callable[[], Any], *, timeout: float = PATIENCE, what: str = "") -> Any:
    """Return the first true value of `condition()`. May switch.

    Raises:
        AssertionError: there was none within `timeout` seconds; it says `what` was waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.1f} s: {what or condition}")
        time.sleep(0.005)
