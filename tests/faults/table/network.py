"""The network cuts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from wsflask.testing import Faults, Proxy

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

__all__ = ["harm"]

#: Seconds that a connection lives; seconds for which the proxy does one kind of harm, at most.
_LIFE, _PHASE = 2.0, 10.0
#: Seconds until all are back: a client whose connections never lived for long waits up to 30 before the next.
_BACK = 33.0

#: What the proxy does beside cutting.
_KINDS = (
    Faults(cut_after=_LIFE),
    Faults(cut_after=_LIFE, resets=1.0),
    Faults(cut_after=_LIFE, resets=0.5, delay=(0.0, 0.05)),
    Faults(cut_after=_LIFE, resets=0.3, chunk=1),
    Faults(cut_after=_LIFE, rate=20_000, delay=(0.0, 0.02)),
)


def harm(proxy: Proxy, seconds: float, *, each_second: Callable[[], None] = lambda: None) -> tuple[int, int]:
    """Have a proxy cut everything, in all ways that it knows; return how many cuts there were, and how many midway."""
    before, ends, number = proxy.count(), time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        proxy.set(_KINDS[number % len(_KINDS)])
        number += 1
        turn = min(time.monotonic() + min(_PHASE, seconds / len(_KINDS)), ends)
        while time.monotonic() < turn:
            time.sleep(1)
            each_second()
    proxy.set(Faults())
    after = proxy.count()
    return after.cuts + after.resets - before.cuts - before.resets, after.midway - before.midway


@row(
    "cuts",
    "every connection cut every 2 s for 10 minutes (delay, cut at any byte, RST, one-byte chunks), pages reloaded",
    "100 % delivered",
    needs=Needs(proxy=True),
)
def cut(stand: Stand, trial: Trial) -> None:
    rng = random.Random(f"reloads {stand.seed}")
    reloads = 0

    def reload() -> None:
        nonlocal reloads
        stand.fleet.all("reload", [rng.choice(stand.fleet.names)])
        reloads += 1

    seconds = 20.0 if trial.is_short else 600.0
    cuts, midway = harm(stand.proxy, seconds, each_second=reload)
    # A tab is away for a while after each cut: this is a third of what it would be without.
    least = len(stand.fleet.names) * seconds / (_LIFE * 6)
    trial.saw(f"{cuts} cuts", cuts >= least)
    trial.saw(f"{midway} of them went through a message", midway)
    healed = time.monotonic()
    stand.fleet.await_ready(timeout=2 * _BACK)
    trial.measure("all are back after", time.monotonic() - healed, at_most=_BACK)
    told = stand.fleet.collect()
    trial.note(
        f"{sum(each['counts']['opened'] for each in told)} connections, {reloads} reloads, "
        f"{sum(each['counts']['resumed'] for each in told)} streams resumed, "
        f"{sum(each['counts']['reset'] for each in told)} reset"
    )


@row(
    "frozen-network",
    "the network frozen for 20 s, then cut",
    "100 % delivered",
    needs=Needs(proxy=True),
    is_quick=False,
)
def freeze(stand: Stand, trial: Trial) -> None:
    stand.wait(3)
    before = stand.proxy.count()
    stand.proxy.set(Faults(is_frozen=True))
    stand.wait(8 if trial.is_short else 20)
    passed = stand.proxy.count().bytes - before.bytes
    stand.proxy.set(Faults(resets=0.5))
    cut = stand.proxy.cut()
    trial.saw(f"{cut} connections were cut", cut)
    stand.wait(5)
    trial.note(f"{passed} bytes passed meanwhile")
