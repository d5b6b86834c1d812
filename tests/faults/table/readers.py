"""Some clients read slowly, or not at all."""

from __future__ import annotations

import time

from wsflask.testing import Faults, Proxy
from wsflask.testing.deliveries import Tab, latencies

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial, percentile

#: Bytes of each message, and messages a second to each who is slow: 1 MiB is behind within some seconds.
_BYTES, _RATE = 9_000, 25.0
#: Seconds from the first byte in an outbox until all slow clients are closed: 10 for the last of them to be behind that
#: long, 2 for their kernels' buffers to fill one after another, 2 for the close.
_CLOSED = 14.0
#: Bytes that an outbox may hold: its limit, and the message that goes beyond it.
_MOST = 1024 * 1024 + 2 * _BYTES
#: Seconds that are waited: kernels take some megabytes before anything waits.
_PATIENCE = 32.0
#: Seconds below which a latency is not called doubled: two cores are shared by all that takes part.
_FLOOR = 0.15
_SMALL = 4096


@row(
    "slow-readers",
    "1 of 10 clients reads nothing, 1 KB/s, or is frozen",
    "others keep twice the p99 at most; the slow one is closed within 10 s or 1 MiB, and later resumes whole",
    needs=Needs(alone="readers"),
)
def slow(stand: Stand, trial: Trial) -> None:
    kinds = (Faults(rate=0), Faults(rate=1000), Faults(is_frozen=True))
    count = max(len(stand.fleet.names) // 10, len(kinds))
    proxies = [stand.enter_context(Proxy(stand.server.port, seed=n, receive_buffer=_SMALL)) for n in range(len(kinds))]
    tabs = [
        stand.fleet.tab(number % stand.load.users, 5 + number, proxies[number % len(kinds)].port, commands=False)
        for number in range(count)
    ]
    stand.fleet.open(tabs)
    names = {tab["name"] for tab in tabs}
    stand.writers.flood("publications", sorted({tab["user"] for tab in tabs}))
    stand.writers.write(publications=_RATE, size=_BYTES)
    stand.wait(4 if trial.is_short else 15)
    connected = sum(state["connections"] for state in stand.states().values())
    began = time.monotonic()
    for proxy, faults in zip(proxies, kinds, strict=True):
        proxy.set(faults)
    filled, closed_after, most = 0.0, float("inf"), 0
    while time.monotonic() - began < _PATIENCE and closed_after == float("inf"):
        stand.wait(0.1)
        states = stand.states().values()
        most = max([most, *(state["waiting"] for state in states)])
        if most and not filled:
            filled = time.monotonic()
        if sum(state["connections"] for state in states) <= connected - count:
            closed_after = time.monotonic() - filled
    stand.wait(1 if trial.is_short else 45)
    ended = time.monotonic()
    for proxy in proxies:
        proxy.set(Faults())
    stand.wait(3)
    stand.writers.flood("publications", [])
    stand.go()
    told = stand.fleet.collect()
    hit = [each for each in told if each["name"] in names]
    codes = sorted({code for each in hit for when, state, code, _ in each["states"] if state == "waiting"})
    trial.saw(f"{len(hit)} slow clients were closed with {codes}", codes)
    trial.measure("closed after the kernel would take no more", closed_after, at_most=_CLOSED)
    trial.measure("most that waited in an outbox", most / 1024, at_most=_MOST / 1024, unit="KiB")
    written = {each.token: each for each in stand.writers.written("notifications")}
    others = [Tab(each["name"], each["user"], 0, each["arrivals"]) for each in told if each["name"] not in names]
    earlier = percentile(latencies(written, others, since=began - 15, until=began), 0.99)
    later = percentile(latencies(written, others, since=began, until=ended), 0.99)
    trial.measure("the others' latency before, p99", earlier)
    trial.measure("the others' latency meanwhile, p99", later, at_most=2 * max(earlier, _FLOOR))
    trial.check("slow clients disturbed others", not [each["name"] for each in told if _was_cut(each, began, names)])


def _was_cut(told: dict[str, object], since: float, names: set[str]) -> bool:
    states: list[tuple[float, str, int, str]] = told["states"]  # type: ignore[assignment]
    return told["name"] not in names and any(state == "waiting" and when >= since for when, state, *_ in states)
