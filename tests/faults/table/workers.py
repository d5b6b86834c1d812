"""A worker is killed."""

from __future__ import annotations

import time

from wsflask.testing.deliveries import Tab, latencies

from ..rows import row
from ..stand import Stand
from ..trial import Trial, percentile

#: Seconds below which a latency is not called doubled: two cores are shared by all that takes part.
_FLOOR = 0.15


@row("worker-killed", "kill -9 of a worker", "clients resumed within 3 s (p99); the other's latency at most doubled")
def kill(stand: Stand, trial: Trial) -> None:
    before = set(stand.workers())
    stand.wait(5 if trial.is_short else 20)
    killed_at = time.monotonic()
    pid = stand.kill_worker()
    stand.await_workers(without=pid)
    stand.wait(6 if trial.is_short else 20)
    now = set(stand.workers())
    trial.saw(f"worker {pid} is gone, {sorted(now - before)} came", pid not in now and now - before)
    told = stand.fleet.collect()
    hit = returns(told, killed_at)
    trial.saw(f"{len(hit)} of {len(told)} tabs lost their connection", hit)
    trial.measure("resumed, p99", percentile(list(hit.values()), 0.99), at_most=3.0)
    written = {each.token: each for each in stand.writers.written("notifications")}
    others = [Tab(each["name"], each["user"], 0.0, each["arrivals"]) for each in told if each["name"] not in hit]
    earlier = percentile(latencies(written, others, since=killed_at - 20, until=killed_at), 0.95)
    later = percentile(latencies(written, others, since=killed_at, until=killed_at + 5), 0.95)
    trial.measure("the others' latency before, p95", earlier)
    trial.measure("the others' latency after, p95", later, at_most=2 * max(earlier, _FLOOR))


def returns(told: list[dict[str, object]], since: float) -> dict[str, float]:
    """Return the seconds from a moment until each tab that lost its connection since then was greeted again."""
    found: dict[str, float] = {}
    for each in told:
        states = [(when, state) for when, state, *_ in each["states"] if when >= since]  # type: ignore[attr-defined]
        if any(state == "waiting" for _, state in states):
            back = [when for when, state in states if state == "greeted"]
            found[str(each["name"])] = back[-1] - since if back else float("inf")
    return found
