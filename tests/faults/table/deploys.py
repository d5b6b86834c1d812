"""Workers are told to end: a deploy."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from ..rows import row
from ..stand import Stand
from ..trial import Trial, percentile
from .workers import returns

#: What workers announce, in seconds (the setting of the stand), and how much later a timer may fire.
_SPREAD, _LATE = 1.0, 0.25
#: Seconds until all are back: who comes before a worker has begun is turned away, and tries again.
_BACK = 30.0


@row("worker-ended", "SIGTERM to a worker", "every client of it sees 1012 within 1 s, none 1006")
def end_worker(stand: Stand, trial: Trial) -> None:
    stand.wait(2 if trial.is_short else 10)
    began = time.monotonic()
    pid = stand.workers()[0]
    os.kill(pid, signal.SIGTERM)
    stand.await_workers(without=pid)
    stand.wait(3 if trial.is_short else 10)
    trial.saw(f"worker {pid} ended", pid not in stand.workers())
    _goodbyes(stand, trial, began)


@row(
    "rolling-deploys",
    "five rolling deploys (SIGHUP)",
    "the same each time; reconnects spread over the announced window",
)
def deploy(stand: Stand, trial: Trial) -> None:
    for _ in range(2 if trial.is_short else 5):
        stand.wait(1 if trial.is_short else 8)
        before = set(stand.workers())
        began = time.monotonic()
        stand.server.signal(signal.SIGHUP)
        deadline = began + 20
        while time.monotonic() < deadline and (before & set(stand.workers()) or len(stand.workers()) < 2):
            stand.wait(0.05)
        stand.wait(3)
        trial.saw(f"workers {sorted(before)} became {stand.workers()}", not before & set(stand.workers()))
        _goodbyes(stand, trial, began, count=len(stand.fleet.names))


def _goodbyes(stand: Stand, trial: Trial, began: float, *, count: int = 1) -> None:
    told = stand.fleet.collect()
    closes = [
        (when, code)
        for each in told
        for when, state, code, before in each["states"]
        if (state, before) == ("waiting", "open")
    ]
    closes = [(when, code) for when, code in closes if when >= began]
    foreign = sorted({code for _, code in closes if code != 1012})
    trial.saw(f"{len(closes)} tabs lost their connection", len(closes) >= count)
    trial.check(f"tabs were closed with {foreign}, and not with 1012", not foreign)
    trial.measure("1012, p99", percentile([when - began for when, _ in closes], 0.99), at_most=1.0)
    waits = sorted(wait for each in told for wait in _waits(each, began))
    trial.measure("longest wait before coming back", max(waits, default=0), at_most=_SPREAD + _LATE)
    stand.fleet.await_ready(timeout=_BACK)
    trial.measure("all are back after", max(returns(stand.fleet.collect(), began).values(), default=0.0))
    if len(waits) >= 8:
        trial.check(f"the waits are not spread: {waits[0]:.2f} to {waits[-1]:.2f}", waits[-1] - waits[0] > _SPREAD / 3)


def _waits(told: dict[str, Any], began: float) -> list[float]:
    """Return how long a tab waited, after each loss, before it connected."""
    found, since = [], None
    for when, state, _, before in told["states"]:
        if (state, before) == ("waiting", "open") and when >= began:
            since = when
        elif state == "connecting" and since is not None:
            found.append(when - since)
            since = None
    return found
