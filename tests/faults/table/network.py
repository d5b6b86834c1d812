"""The network cuts."""

from __future__ import annotations

import random
import time

from wsflask.testing import Faults

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

#: Seconds that a connection lives; seconds for which the proxy does one kind of harm; seconds between two reloads.
_LIFE, _PHASE, _RELOAD = 2.0, 10.0, 1.0

#: What the proxy does beside cutting.
_KINDS = (
    Faults(cut_after=_LIFE),
    Faults(cut_after=_LIFE, resets=1.0),
    Faults(cut_after=_LIFE, resets=0.5, delay=(0.0, 0.05)),
    Faults(cut_after=_LIFE, resets=0.3, chunk=1),
    Faults(cut_after=_LIFE, rate=20_000, delay=(0.0, 0.02)),
)


@row(
    "cuts",
    "every connection cut every 2 s for 10 minutes (delay, cut at any byte, RST, one-byte chunks), pages reloaded",
    "100 % delivered",
    needs=Needs(proxy=True),
)
def cut(stand: Stand, trial: Trial) -> None:
    rng = random.Random(f"cuts {stand.seed}")
    seconds, phase = (20.0, 4.0) if trial.is_short else (600.0, _PHASE)
    ends = time.monotonic() + seconds
    before, reloads, number = stand.proxy.count(), 0, 0
    while time.monotonic() < ends:
        stand.proxy.set(_KINDS[number % len(_KINDS)])
        number += 1
        turn = min(time.monotonic() + phase, ends)
        while time.monotonic() < turn:
            stand.wait(_RELOAD)
            stand.fleet.all("reload", [rng.choice(stand.fleet.names)])
            reloads += 1
    stand.proxy.set(Faults())
    after = stand.proxy.count()
    cuts, resets = after.cuts - before.cuts, after.resets - before.resets
    # A tab is away for a while after each cut: this is a third of what it would be without.
    least = len(stand.fleet.names) * seconds / (_LIFE * 6)
    trial.saw(f"{cuts} cuts and {resets} resets, {after.midway - before.midway} midway", cuts + resets >= least)
    trial.saw("some cuts went through a message", after.midway > before.midway)
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
