"""Rights flip, and clients subscribe and unsubscribe, at random."""

from __future__ import annotations

import random
import time

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
    trial.saw(f"rights flipped {flips} times", flips > seconds * _RATE / 3)
    stand.wait(2)
    stand.halt()
    stand.wait(3)
    after = stand.states()
    for pid, state in after.items():
        if pid in before:
            grown = state["greenlets"] - before[pid]["greenlets"]
            trial.check(f"worker {pid} has {grown} greenlets more", grown <= 3)
            trial.check(
                f"worker {pid} has {state['subscriptions']} subscriptions for {state['connections']} connections",
                state["subscriptions"] <= state["connections"],
            )
