"""Rights flip, and clients subscribe and unsubscribe, at random."""

from __future__ import annotations

import random
import time
from typing import Any

from ..models import REGIONS, regions_of, user_name
from ..rows import row
from ..stand import Stand
from ..trial import Trial

_RATE = 20.0


@row(
    "rights-flips",
    "subscribe, unsubscribe, rights flipped at random 20/s",
    "nothing leaked, no greenlet or subscription left",
)
def flip(stand: Stand, trial: Trial) -> None:
    rng = random.Random(f"rights {stand.seed}")
    before = stand.states()
    seconds = 12.0 if trial.is_short else 60.0
    flips, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        number = rng.randrange(stand.load.users)
        regions = rng.sample(REGIONS, rng.randint(0, 2))
        stand.set_regions(user_name(number), regions)
        flips += 1
        stand.fleet.all("churn", [rng.choice(stand.fleet.names)], seconds=rng.uniform(0.0, 0.5), number=flips % 7)
        stand.wait(max(began + flips / _RATE - time.monotonic(), 0))
    for number in range(stand.load.users):
        stand.set_regions(user_name(number), regions_of(number))
    trial.saw(f"rights flipped {flips} times", flips > seconds * _RATE * 0.8)
    stand.wait(2)
    stand.halt()
    deadline = time.monotonic() + 10
    while (wrong := _left(before, stand)) and time.monotonic() < deadline:
        stand.wait(0.5)
    trial.check("; ".join(wrong), not wrong)


def _left(before: dict[int, dict[str, Any]], stand: Stand) -> list[str]:
    """Return what workers have more of than they had: greenlets, and subscriptions that nobody has."""
    found = []
    for pid, state in stand.states().items():
        grown = state["greenlets"] - before.get(pid, state)["greenlets"]
        if grown > 3:
            found.append(f"worker {pid} has {grown} greenlets more")
        if state["subscriptions"] > state["connections"]:
            found.append(f"worker {pid}: {state['subscriptions']} subscriptions, {state['connections']} connections")
    return found
