"""The whole database is away."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from benchmarks.processes import cpu_seconds

from ..rows import row
from ..stand import Stand
from ..trial import Trial
from .workers import nobody_left

#: Share of a core that a worker may use while it can do nothing, without being called a hot loop.
_BUSY = 0.35


@row(
    "database-away",
    "the whole database away for 60 s",
    "sockets stay, users are told within 5 s, no hot loop, caught up within 10 s of its return",
)
def away(stand: Stand, trial: Trial) -> None:
    stand.wait(3 if trial.is_short else 15)
    left = time.monotonic()
    stand.mongo.stop_all()
    stand.wait(3)
    cpu = cpu_seconds(stand.workers())
    since = time.monotonic()
    stand.wait(6 if trial.is_short else 54)
    share = (cpu_seconds(stand.workers()) - cpu) / (time.monotonic() - since) / len(stand.workers())
    stand.mongo.start_all()
    back = time.monotonic()
    stand.wait(4)
    deadline = back + 12
    while not (arrived := _first_after(stand.fleet.collect(), stand, back)) and time.monotonic() < deadline:
        stand.wait(0.3)
    stand.wait(2 if trial.is_short else 15)
    told = stand.fleet.collect()
    trial.saw(f"for {back - left:.0f} s nothing was written", stand.writers.longest_stall(left) > (back - left) * 0.8)
    lost = Counter(code for each in told for w, s, code, _ in each["states"] if s == "waiting" and left < w)
    trial.check(f"tabs lost their connection, by code {dict(lost)}", not lost)
    trial.measure("a worker's share of a core meanwhile", 100 * share, at_most=100 * _BUSY, unit="%")
    trial.measure("the first new notification after its return", (arrived or deadline) - back, at_most=10.0)
    trial.measure("caught up after", _caught_up(told, stand, back) - back, at_most=10.0)
    times = [min((w for w, is_degraded in each["health"] if is_degraded and w > left), default=None) for each in told]
    untold = sum(when is None for when in times)
    trial.check(f"{untold} tabs were not told that the service is degraded", not untold)
    trial.measure("told that it is degraded", max((when - left for when in times if when), default=0.0), at_most=5.0)
    still = [each["name"] for each in told if each["health"] and each["health"][-1][1]]
    trial.check(f"{len(still)} tabs were not told that it is back", not still)
    nobody_left(trial, told, left)


def _caught_up(told: list[dict[str, Any]], stand: Stand, since: float) -> float:
    """Return when the last notification surfaced that took more than a second."""
    began = {each.token: each.began for each in stand.writers.written("notifications")}
    times = [when for each in told for when, token in each["arrivals"] if when > max(since, began.get(token, when) + 1)]
    return max(times, default=since)


def _first_after(told: list[dict[str, Any]], stand: Stand, since: float) -> float | None:
    began = {each.token: each.began for each in stand.writers.written("notifications")}
    times = [when for each in told for when, token in each["arrivals"] if began.get(token, 0) > since]
    return min(times, default=None)
