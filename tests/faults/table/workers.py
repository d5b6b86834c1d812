"""A worker is killed, alone or together with clients."""

from __future__ import annotations

import time
from typing import Any

from wsflask.testing.deliveries import Tab, Written, latencies

from ..app import LINGER
from ..fleet import Fleet
from ..models import user_name
from ..rows import row
from ..stand import Stand
from ..trial import Trial, percentile

#: Seconds below which a latency is not called doubled: two cores are shared by all that takes part.
FLOOR = 0.15
#: Users of a process of clients, with two tabs each; seconds within which those of a killed worker leave.
_LOST, _LEAVE = 8, 15.0
#: Seconds from the answer to a join until the other workers know it, at most.
_TO_TELL = 1.0


@row(
    "worker-killed",
    "kill -9 of a worker",
    "clients resumed within 3 s (p99); the other's latency at most doubled; nobody back in time is shown as left",
)
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
    later = percentile(ways(written, others, since=killed_at, until=killed_at + 5), 0.95)
    trial.measure("the others' latency before, p95", earlier)
    trial.measure("the others' latency after, p95", later, at_most=2 * max(earlier, FLOOR), why=why_floor(earlier))
    nobody_left(trial, told, killed_at)


@row(
    "clients-killed",
    "kill -9 of a worker and of a process of clients at once",
    "their users leave within 15 s, and nobody else does",
)
def kill_clients(stand: Stand, trial: Trial) -> None:
    first = stand.load.users + 20
    users = [user_name(first + number) for number in range(_LOST)]
    people = [{"_id": name, "regions": [], "teams": [], "active": True} for name in users]
    stand.database["faults_person"].insert_many(people)
    room = stand.fleet.rest()[0]["room"]
    watchers = {each["name"] for each in stand.fleet.rest() if each["room"] == room}
    pid = stand.workers()[0]
    before = stand.states()[pid]["connections"]
    lost = Fleet()
    try:
        options = {"commands": False, "view": None, "room": room}
        tabs = [lost.tab(first + number, tab, stand.port, **options) for number in range(_LOST) for tab in range(2)]
        lost.open(tabs)
        names = set(lost.names)
        _await_shown(stand, watchers, names, names)
        theirs = stand.states()[pid]["connections"] - before
        killed_at = time.monotonic()
        lost.kill()
        stand.kill_worker()
    finally:
        lost.stop()
    trial.saw(f"{theirs} of the {len(names)} tabs were on the worker that was killed", theirs > 0)
    _await_shown(stand, watchers, names, set())
    told = stand.fleet.collect()
    left = [when - killed_at for each in told for when, name in each["departures"] if name in names]
    trial.measure("the last of them was shown as left after", max(left, default=float("inf")), at_most=_LEAVE)
    trial.measure("the first after", min(left, default=float("inf")))
    nobody_left(trial, told, killed_at)


def _await_shown(stand: Stand, watchers: set[str], others: set[str], wanted: set[str]) -> None:
    """Return when all watchers are shown these, and no more, of some others' tabs. May switch."""
    deadline = time.monotonic() + 3 * _LEAVE
    while time.monotonic() < deadline:
        shown = [set(each["here"]) & others for each in stand.fleet.rest() if each["name"] in watchers]
        if all(each == wanted for each in shown):
            return
        stand.wait(0.1)
    raise TimeoutError(f"tabs of a room are shown {[len(each) for each in shown]} of {len(others)} others")


def nobody_left(trial: Trial, told: list[dict[str, Any]], since: float) -> None:
    """Check that of the tabs here none was shown as left that was back within the linger."""
    here = {each["name"] for each in told if longest_absence(each["states"], since) < LINGER - _TO_TELL}
    left = {name for each in told for when, name in each["departures"] if when >= since and name in here}
    trial.check(f"{len(left)} tabs were shown as left though they were back in time: {sorted(left)[:4]}", not left)


def longest_absence(states: list[tuple[float, str, int, str]], since: float) -> float:
    """Return the longest time, in seconds, from a loss of a tab's connection until it was in its room again."""
    longest, lost = 0.0, None
    for when, state, *_ in states:
        if when >= since and state == "waiting" and lost is None:
            lost = when
        elif state == "joined" and lost is not None:
            longest, lost = max(longest, when - lost), None
    return longest if lost is None else float("inf")


def ways(written: dict[str, Written], tabs: list[Tab], *, since: float, until: float) -> list[float]:
    """Return the seconds from each write of this span to each tab; infinite: it has not surfaced there yet."""
    own = [each for each in written.values() if since <= each.began < until and each.outcome == "ok"]
    seen = {tab.name: {token for _, token in tab.surfaced} for tab in tabs}
    missing = sum(each.is_for(tab.user) and each.token not in seen[tab.name] for tab in tabs for each in own)
    return [*latencies(written, tabs, since=since, until=until), *[float("inf")] * missing]


def why_floor(earlier: float) -> str:
    """Return why a latency may be more than doubled, if it may."""
    return f"below {FLOOR:g} none is called doubled, two cores are shared by all" if earlier < FLOOR else ""


def returns(told: list[dict[str, Any]], since: float, wanted: str = "greeted") -> dict[str, float]:
    """Return the seconds from a moment until each tab that lost its connection since then was in such a state again."""
    found: dict[str, float] = {}
    for each in told:
        states = [(when, state) for when, state, *_ in each["states"] if when >= since]
        if any(state == "waiting" for _, state in states):
            back = [when for when, state in states if state == wanted]
            found[str(each["name"])] = back[-1] - since if back else float("inf")
    return found
