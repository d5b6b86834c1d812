"""The primary steps down, is killed, is frozen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial
from .workers import nobody_left

#: The set is one that docs/deployment.md asks for: with MongoDB's defaults the other members wait for a frozen primary.
_NEEDS = Needs(
    members=3,
    mongod=("--setParameter", "oplogNetworkTimeoutBufferSeconds=2"),
    replica_set=(("catchUpTimeoutMillis", 1000),),
)
_HOLDS = "writes stall at most {} s; nobody hangs; commands answer `unavailable` within 5 s"


@row("primary-steps-down", "the primary steps down", _HOLDS.format(2), needs=_NEEDS, is_quick=False)
def step_down(stand: Stand, trial: Trial) -> None:
    _watch(stand, trial, lambda number: stand.mongo.step_down(), stall=2.0)


@row("primary-killed", "the primary is killed", _HOLDS.format(15), needs=_NEEDS, is_quick=False)
def kill(stand: Stand, trial: Trial) -> None:
    killed = _watch(stand, trial, stand.mongo.kill, stall=15.0)
    stand.mongo.start_member(killed)
    stand.wait(3)


@row("primary-frozen", "the primary is frozen for 20 s", _HOLDS.format(17), needs=_NEEDS, is_quick=False)
def freeze(stand: Stand, trial: Trial) -> None:
    def freeze_for_a_while(number: int) -> None:
        stand.mongo.freeze(number)
        trial.saw(f"member {number} is stopped in its tracks", stand.mongo.is_frozen(number))
        stand.wait(20)
        stand.mongo.thaw(number)

    _watch(stand, trial, freeze_for_a_while, stall=17.0)


def _watch(stand: Stand, trial: Trial, harm: Callable[[int], None], *, stall: float) -> int:
    """Do harm to the primary and measure what writers and clients saw of it; return its number."""
    stand.wait(3 if trial.is_short else 15)
    before, term = stand.mongo.await_primary(), stand.mongo.term()
    began = time.monotonic()
    name = stand.fleet.names[0]
    stand.fleet.one("probe", name, every=0.25)
    thread = threading.Thread(target=harm, args=(before,))
    thread.start()
    now = stand.mongo.await_primary(other_than=before)
    thread.join()
    stand.wait(4 if trial.is_short else 15)
    probes = stand.fleet.one("probe", name, every=0)
    trial.saw(f"the primary was {before}, is {now}; the term grew from {term} to {stand.mongo.term()}",
              stand.mongo.term() > term)  # fmt: skip
    trial.measure("longest time without a write", stand.writers.longest_stall(began), at_most=stall)
    longest = max((ended - started for started, ended, _ in probes), default=0.0)
    trial.measure("slowest answer to a command", longest, at_most=5.0)
    codes = sorted({code for *_, code in probes})
    trial.note(f"{len(probes)} commands were answered {', '.join(codes)}")
    trial.check(f"commands were answered {codes}", set(codes) <= {"not_found", "unavailable"})
    nobody_left(trial, stand.fleet.collect(), began)
    return before
