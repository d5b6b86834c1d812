"""What wsflask pays for each thing: bytes for a subscription and a row of a view, CPU time for a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from .bench import Bench, Rig
from .contenders import WSFLASK, contender
from .crowd import Crowd
from .processes import cpu_seconds, rss_kb
from .results import Results, Sample
from .suite import say

__all__ = ["measure"]

_Rows = Collection[dict[str, Any]]

#: The groups of documents that no view shows, and that the watched one does.
_UNSEEN, _SEEN = "unseen", "seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    turns: int = 3
    #: Clients that subscribe; the first tenth warms the server up.
    clients: int = 2000
    #: Subscriptions of each client to views that all of them share.
    shared: int = 5
    #: Views with many rows, the first fifth of them to warm up, and the rows of each.
    views: int = 20
    rows: int = 2500
    #: Documents that are inserted, one by one or so many at once, and who sees them.
    changes: int = 5000
    bulk: int = 50
    watchers: int = 100


_SMALL = _Sizes(turns=1, clients=40, shared=3, views=5, rows=50, changes=50, watchers=5)


def measure(bench: Bench, results: Results, *, is_small: bool = False) -> None:
    """Take all samples of costs, each on a server that was just started."""
    sizes = _SMALL if is_small else _Sizes()
    for turn in range(sizes.turns):
        for workload in (_subscriptions, _view_rows, _changes):
            with bench.rig(contender(WSFLASK)) as rig, _rows(rig) as rows:
                figures = workload(rig, rows, bench.cookies, sizes)
            results.add(Sample("costs", WSFLASK, sizes.clients, str(turn), figures))
            say("costs        " + " ".join(f"{name}={value:.4g}" for name, value in figures.items()))


@contextmanager
def _rows(rig: Rig) -> Iterator[_Rows]:
    """Open the collection of the documents that views show."""
    client: MongoClient[dict[str, Any]] = MongoClient(rig.database_uri)
    with client:
        yield client.get_default_database()["row"]


def _subscriptions(rig: Rig, rows: _Rows, cookies: Sequence[str], sizes: _Sizes) -> dict[str, float]:
    """Bytes of a subscription to a view that others share, and of one with a view of its own, both without rows."""
    shared = [f"shared {number}" for number in range(sizes.shared)]
    own = [f"own {number}" for number in range(sizes.clients)]
    first = sizes.clients // 10
    with Crowd(rig.server.port, cookies) as crowd:
        crowd.connect(sizes.clients)
        crowd.subscribe(shared[:1])

        def subscribe_own(start: int, end: int) -> None:
            for number in range(start, end):
                crowd.subscribe_one(number, own[number])
            crowd.await_loaded()

        joined = _grown(rig, lambda: crowd.subscribe(shared[1:]))
        subscribe_own(0, first)
        owned = _grown(rig, lambda: subscribe_own(first, sizes.clients))
    return {
        "shared_subscription_bytes": joined / (sizes.clients * (sizes.shared - 1)),
        "own_subscription_bytes": owned / (sizes.clients - first),
    }


def _view_rows(rig: Rig, rows: _Rows, cookies: Sequence[str], sizes: _Sizes) -> dict[str, float]:
    """Bytes of a row that a view holds, beyond the view."""
    groups = [f"many {number}" for number in range(sizes.views)]
    rows.insert_many([{"group": group, "value": value} for group in groups for value in range(sizes.rows)])
    first = sizes.views // 5
    with Crowd(rig.server.port, cookies) as crowd:
        crowd.connect(1)
        crowd.subscribe(groups[:first])
        grown = _grown(rig, lambda: crowd.subscribe(groups[first:]))
    return {"row_bytes": grown / ((sizes.views - first) * sizes.rows)}


def _changes(rig: Rig, rows: _Rows, cookies: Sequence[str], sizes: _Sizes) -> dict[str, float]:
    """CPU time of a document that no view shows, and of one that a view with many subscribers shows."""
    with Crowd(rig.server.port, cookies) as crowd:
        crowd.connect(sizes.watchers)
        crowd.subscribe([_SEEN])
        for group in (_UNSEEN, _SEEN):
            _insert(rows, group, sizes.changes // 10, 1)
        resting = _resting(rig)
        each = {
            f"{group}_change_{way}us": 1e6 * _spent(rig, rows, group, sizes.changes, at_once, resting) / sizes.changes
            for group in (_UNSEEN, _SEEN)
            for way, at_once in (("", 1), ("bulk_", sizes.bulk))
        }
        assert crowd.received > 2 * sizes.changes * sizes.watchers, "not every change was sent"
    return {**each, "watchers": sizes.watchers}


def _spent(rig: Rig, rows: _Rows, group: str, count: int, at_once: int, resting: float) -> float:
    """Return the server's CPU seconds for so many inserts, less what it needs at rest."""
    _settle(rig)
    pids, started = rig.server.pids, time.monotonic()
    before = cpu_seconds(pids)
    _insert(rows, group, count, at_once)
    _settle(rig)
    return cpu_seconds(pids) - before - resting * (time.monotonic() - started)


def _insert(rows: _Rows, group: str, count: int, at_once: int) -> None:
    for _ in range(0, count, at_once):
        rows.insert_many([{"group": group, "value": value} for value in range(at_once)])


def _grown(rig: Rig, act: Callable[[], object]) -> float:
    """Return by how many bytes the server's memory grows."""
    _settle(rig)
    before = rss_kb(rig.server.pids)
    act()
    _settle(rig)
    return 1024.0 * (rss_kb(rig.server.pids) - before)


def _resting(rig: Rig, seconds: float = 2.0) -> float:
    """Return the CPU seconds a second that the server needs for itself."""
    _settle(rig)
    before = cpu_seconds(rig.server.pids)
    time.sleep(seconds)
    return (cpu_seconds(rig.server.pids) - before) / seconds


def _settle(rig: Rig) -> None:
    """Return when the server has little to do, or after ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        before = cpu_seconds(rig.server.pids)
        time.sleep(0.3)
        if cpu_seconds(rig.server.pids) - before < 0.03:
            return
