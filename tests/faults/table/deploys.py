"""Workers are told to end: a deploy."""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..histogram import bins, histogram, shares
from ..rows import row
from ..stand import Stand
from ..trial import Trial
from .workers import nobody_left, returns

#: What workers announce, in seconds (the setting of the stand), and how much later a timer may fire.
_SPREAD, _LATE = 1.0, 0.1
_WHY = "1 is announced, and a timer of the client fires late"
#: Seconds until all are back: who comes before a worker has begun is turned away, and tries again.
_BACK = 30.0
#: Waits of which some lie in each tenth of the window, unless they are not spread.
_MANY = 100


@dataclass(slots=True)
class _Seen:
    """What tabs saw of goodbyes: how often which code, and the seconds until they tried again, and were greeted."""

    codes: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    backs: list[float] = field(default_factory=list)

    def tell(self, trial: Trial) -> None:
        """Note the shares, and the histograms."""
        slowest = math.ceil(max(self.backs, default=_SPREAD))
        trial.note(f"closes by code {shares(self.codes)}")
        trial.note(f"waits by tenths of {_SPREAD:g} s, and later {bins(self.waits, _SPREAD)}")
        trial.note(f"until greeted again by tenths of {slowest} s {bins(self.backs, slowest)}")
        trial.tables.append(histogram(f"`{trial.row}`: waited before coming back", self.waits, _SPREAD))
        trial.tables.append(histogram(f"`{trial.row}`: until greeted again", self.backs, slowest))
        counts = bins(self.waits, _SPREAD)[:-1]
        trial.check(f"the waits are not spread: {counts}", len(self.waits) < _MANY or all(counts))


@row("worker-ended", "SIGTERM to a worker", "every client of it sees 1012 within 1 s, none 1006")
def end_worker(stand: Stand, trial: Trial) -> None:
    stand.wait(2 if trial.is_short else 10)
    began = time.monotonic()
    pid = stand.workers()[0]
    os.kill(pid, signal.SIGTERM)
    stand.await_workers(without=pid)
    stand.wait(3 if trial.is_short else 10)
    trial.saw(f"worker {pid} ended", pid not in stand.workers())
    seen = _Seen()
    _goodbyes(stand, trial, began, seen)
    seen.tell(trial)


@row(
    "rolling-deploys",
    "five rolling deploys (SIGHUP)",
    "the same each time; reconnects spread over the announced window",
)
def deploy(stand: Stand, trial: Trial) -> None:
    seen = _Seen()
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
        _goodbyes(stand, trial, began, seen, count=len(stand.fleet.names))
    seen.tell(trial)


def _goodbyes(stand: Stand, trial: Trial, began: float, seen: _Seen, *, count: int = 1) -> None:
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
    trial.measure("the last 1012 after", max((when - began for when, _ in closes), default=0.0), at_most=1.0)
    waits = [wait for each in told for wait in _until(each, began, "connecting")]
    trial.measure("longest wait before coming back", max(waits, default=0), at_most=_SPREAD + _LATE, why=_WHY)
    stand.fleet.await_ready(timeout=_BACK)
    told = stand.fleet.collect()
    trial.measure("all are back after", max(returns(told, began).values(), default=0.0))
    nobody_left(trial, told, began)
    seen.codes.update(code for _, code in closes)
    seen.waits += waits
    seen.backs += [back for each in told for back in _until(each, began, "greeted")]


def _until(told: dict[str, Any], began: float, wanted: str) -> list[float]:
    """Return how long it took, after each loss of an open connection, until the tab was in such a state again."""
    found, since = [], None
    for when, state, _, before in told["states"]:
        if (state, before) == ("waiting", "open") and when >= began:
            since = when
        elif state == wanted and since is not None:
            found.append(when - since)
            since = None
    return found
