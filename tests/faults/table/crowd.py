"""Very many idle clients, whose worker is killed."""

from __future__ import annotations

import time

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial, percentile
from .workers import returns

#: Tabs that are opened a second.
_PACE = 400.0
_WHY = "one for each view, and one more where a view's clients came in two batches"


@row(
    "idle-killed",
    "10,000 idle clients; then their worker is killed",
    "all back within 20 s; one load per view, not per client",
    needs=Needs(is_empty=True, workers=1, settings=(("WSFLASK_CONNECTIONS_PER_USER", 1000),)),
    is_quick=False,
)
def kill(stand: Stand, trial: Trial) -> None:
    users, count = stand.load.users, 400 if trial.is_short else 10_000
    tabs = [stand.fleet.tab(n % users, n // users, stand.port, commands=False) for n in range(count)]
    stand.fleet.open(tabs, every=stand.load.nodes / _PACE, is_awaited=False)
    stand.fleet.await_states(lambda states: states["open/live"] >= count, timeout=60 + 3 * count / _PACE)
    regions = len({tuple(tab["regions"]) for tab in tabs})
    # The first clients of a process ask for the same views; what lingers is forgotten with it.
    before = _queries(stand)
    began = time.monotonic()
    pid = stand.kill_worker()
    stand.await_workers(without=pid)
    stand.wait(2)
    stand.fleet.await_ready(timeout=120)
    told = stand.fleet.collect()
    back = list(returns(told, began).values())
    trial.saw(f"worker {pid} was killed, {len(back)} tabs lost their connection", len(back) >= count * 0.95)
    trial.measure("all are back after", max(back, default=float("inf")), at_most=20.0)
    trial.measure("half are back after", percentile(back, 0.5))
    trial.measure("queries of the collection", _queries(stand) - before, at_most=2 * regions, unit="", why=_WHY)


def _queries(stand: Stand) -> int:
    totals = stand.client.admin.command("top")["totals"]
    return int(totals[f"{stand.database.name}.faults_item"]["queries"]["count"])
