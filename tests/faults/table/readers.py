"""Some clients read slowly, or not at all."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from wsflask.testing import Faults, Proxy
from wsflask.testing.deliveries import Tab, Written, latencies

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial, percentile
from .stalls import SMALL_BUFFERS
from .workers import FLOOR, ways, why_floor

#: Bytes of each message, and messages a second to each who is slow: 1 MiB is behind within some seconds.
_BYTES, _RATE = 9_000, 25.0
#: Tabs that are opened a second, beside those of the load.
_PACE = 100.0
#: Where a hundred are slow: then it is the 10 seconds that end them.
_RATE_OF_MANY = 3.0
#: Seconds for which something may wait for a client, and until all of them are closed since it was so for the first.
_BEHIND, _ALL = 10.25, 14.0
_WHY = "the server looks once a second who will be 10 behind; its look may be late"
_WHY_ALL = "10 for the last, 2 until the buffers of all are full, 2 for the close"
#: Bytes that an outbox may hold: its limit, and the message that goes beyond it.
_MOST = 1024 * 1024 + 2 * _BYTES
#: Seconds that are waited: kernels take some megabytes before anything waits.
_PATIENCE = 32.0
#: Share of their throughput, in percent, that others may lose; seconds in which a message has to surface to count.
_LOSS, _SOON = 5.0, 3.0
_SMALL = 4096
_KINDS = (Faults(rate=0), Faults(rate=1000), Faults(is_frozen=True))
_HOLDS = (
    "others keep 95 % of throughput and twice the p99 at most; the slow one is closed within 10 s or 1 MiB, and later "
    "resumes whole"
)


@row("slow-readers", "1 of 10 clients reads nothing, 1 KB/s, or is frozen", _HOLDS, needs=Needs(alone="readers"))
def slow(stand: Stand, trial: Trial) -> None:
    _slow(stand, trial, max(len(stand.fleet.names) // 10, len(_KINDS)), _RATE)


@row(
    "slow-readers-1000",
    "100 of 1,000 clients read nothing, 1 KB/s, or are frozen",
    _HOLDS,
    needs=Needs(alone="many-readers", gunicorn=SMALL_BUFFERS),
    is_quick=False,
)
def slow_of_many(stand: Stand, trial: Trial) -> None:
    everybody, count = (200, 20) if trial.is_short else (1000, 100)
    users, more = stand.load.users, everybody - count - len(stand.fleet.names)
    others = [stand.fleet.tab(n % users, 200 + n // users, stand.port, commands=False) for n in range(more)]
    stand.halt()
    stand.fleet.open(others, every=stand.load.nodes / _PACE, is_awaited=False)
    stand.fleet.await_states(lambda states: states["open/live"] >= everybody - count, timeout=60 + 3 * more / _PACE)
    stand.go()
    _slow(stand, trial, count, _RATE_OF_MANY)


def _slow(stand: Stand, trial: Trial, count: int, rate: float) -> None:
    proxies = [stand.enter_context(Proxy(stand.server.port, seed=n, receive_buffer=_SMALL)) for n in range(len(_KINDS))]
    tabs = [
        stand.fleet.tab(number % stand.load.users, 5 + number, proxies[number % len(_KINDS)].port, commands=False)
        for number in range(count)
    ]
    stand.fleet.open(tabs)
    names = {tab["name"] for tab in tabs}
    stand.writers.flood("publications", sorted({tab["user"] for tab in tabs}))
    stand.writers.write(publications=rate, size=_BYTES)
    stand.wait(4 if trial.is_short else 15)
    connected = sum(state["connections"] for state in stand.states().values())
    began = time.monotonic()
    for proxy, faults in zip(proxies, _KINDS, strict=True):
        proxy.set(faults)
    filled, closed_after, most, behind = 0.0, float("inf"), 0, 0.0
    while time.monotonic() - began < _PATIENCE and closed_after == float("inf"):
        stand.wait(0.1)
        states = stand.states().values()
        most = max([most, *(state["waiting"] for state in states)])
        behind = max([behind, *(state["behind"] for state in states)])
        if most and not filled:
            filled = time.monotonic()
        if sum(state["connections"] for state in states) <= connected - count:
            closed_after = time.monotonic() - filled
    stand.wait(1 if trial.is_short else max(began + 60 - time.monotonic(), 1))
    ended = time.monotonic()
    for proxy in proxies:
        proxy.set(Faults())
    stand.wait(3)
    stand.writers.flood("publications", [])
    stand.go()
    told = stand.fleet.collect()
    hit = [each for each in told if each["name"] in names]
    codes = sorted({code for each in hit for when, state, code, _ in each["states"] if state == "waiting"})
    trial.saw(f"{len(hit)} slow clients of {len(told)} were closed with {codes}", codes)
    trial.measure("longest that one was behind before it was closed", behind, at_most=_BEHIND, why=_WHY)
    trial.measure("all closed after something waited for the first", closed_after, at_most=_ALL, why=_WHY_ALL)
    trial.measure("most that waited in an outbox", most / 1024, at_most=_MOST / 1024, unit="KiB")
    written = {each.token: each for each in stand.writers.written("notifications")}
    others = [Tab(each["name"], each["user"], 0, each["arrivals"]) for each in told if each["name"] not in names]
    before = began - (4 if trial.is_short else 15)
    earlier = percentile(latencies(written, others, since=before, until=began), 0.99)
    later = percentile(ways(written, others, since=began, until=ended), 0.99)
    trial.measure("the others' latency before, p99", earlier)
    trial.measure("the others' latency meanwhile, p99", later, at_most=2 * max(earlier, FLOOR), why=why_floor(earlier))
    _throughput(trial, stand.load.notifications, written, others, (before, began, ended))
    cut = _cuts([each for each in told if each["name"] not in names], began)
    trial.check(f"others lost their connection, by code {dict(cut)}", not cut)


def _throughput(
    trial: Trial, rate: float, written: dict[str, Written], others: list[Tab], times: tuple[float, float, float]
) -> None:
    """Measure how much less surfaced in other tabs in the second span of time than in the first."""
    before, began, ended = times
    kept = []
    for since, until, when in ((before, began, "before"), (began, ended, "meanwhile")):
        # Whom a message is for is drawn: how many surface a second depends on that, their share and the writes do not.
        own = {token: each for token, each in written.items() if since <= each.began < until and each.outcome == "ok"}
        tabs = Counter(tab.user for tab in others)
        owed = sum(sum(count for user, count in tabs.items() if each.is_for(user)) for each in own.values())
        got = sum(token in own and at < own[token].began + _SOON for tab in others for at, token in tab.surfaced)
        writes, share = len(own) / (until - since), got / max(owed, 1)
        trial.note(
            f"{when}: {writes:.3g} notifications written a second, {got / (until - since):.4g} surfaced in others "
            f"within {_SOON:g} s, {100 * share:.4g}% of what was for them"
        )
        kept.append(min(writes, rate) * share)
    most = _LOSS * (2 if trial.is_short else 1)  # a few writes are as many percent then
    trial.measure("throughput that others lost", 100 * (1 - kept[1] / max(kept[0], 1e-9)), at_most=most, unit="%")


def _cuts(told: list[dict[str, Any]], since: float) -> Counter[int]:
    """Return how often tabs have lost their connection, by code."""
    return Counter(code for each in told for when, state, code, _ in each["states"]
                   if state == "waiting" and when >= since)  # fmt: skip
