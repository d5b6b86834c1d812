"""Some clients stop reading again and again, for less than the limits; then for longer."""

from __future__ import annotations

import random
import time

from wsflask.testing import Faults, Proxy

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

__all__ = ["SMALL_BUFFERS"]

#: gunicorn's arguments of stands whose kernels take little before an outbox exists.
SMALL_BUFFERS = ("-c", "python:tests.faults.small_buffers")

#: Bytes of each message, and messages a second to each who stalls: in the longest stall two thirds of the outbox.
_BYTES, _RATE = 9_000, 20.0
#: Seconds of a stall; seconds that are waited until all has left, or until all are closed.
_STALL, _TO_LEAVE, _TO_CLOSE = (2.0, 4.0), 20.0, 30.0
_SMALL = 4096
_SLOW = 4001


@row(
    "stalling-readers",
    "1 of 10 clients stops reading for 2 to 4 s, again and again; then until it is closed",
    "stays connected, gets whole frames; is told 4001 at a frame's border, comes back and resumes whole",
    needs=Needs(alone="stalls", gunicorn=SMALL_BUFFERS),
)
def stall(stand: Stand, trial: Trial) -> None:
    rng = random.Random(f"stalls {stand.seed}")
    count = max(len(stand.fleet.names) // 10, 4)
    proxy = stand.enter_context(Proxy(stand.server.port, seed=stand.seed, receive_buffer=_SMALL))
    tabs = [stand.fleet.tab(number, 20, proxy.port, commands=False) for number in range(count)]
    stand.fleet.open(tabs)
    names = {tab["name"] for tab in tabs}
    stand.writers.flood("publications", sorted({tab["user"] for tab in tabs}))
    stand.writers.write(publications=_RATE, size=_BYTES)
    began, waited = time.monotonic(), []
    for _ in range(3 if trial.is_short else 20):
        waited.append(_stall(stand, proxy, rng.uniform(*_STALL)))
        deadline = time.monotonic() + _TO_LEAVE
        while _waiting(stand) and time.monotonic() < deadline:
            stand.wait(0.05)
        stand.wait(rng.uniform(0.1, 0.5))
        if stand.fleet.faults()["corrupt"]:
            break  # it will not get better
    told = stand.fleet.collect()
    lost = [(each["name"], code) for each in told for when, state, code, _ in each["states"]
            if state == "waiting" and when >= began]  # fmt: skip
    trial.saw(f"{len(waited)} stalls left {min(waited) >> 10} to {max(waited) >> 10} KiB in an outbox", min(waited))
    trial.check(f"tabs lost their connection: {lost[:5]}", not lost)
    if not lost:
        _close(stand, trial, proxy, names)


def _stall(stand: Stand, proxy: Proxy, seconds: float) -> int:
    """Have nothing read for so long; return the most that waited in an outbox then."""
    ends = time.monotonic() + seconds
    proxy.set(Faults(rate=0))
    stand.wait(seconds * 0.8)
    most = _waiting(stand)
    stand.wait(max(ends - time.monotonic(), 0))
    proxy.set(Faults())
    return most


def _close(stand: Stand, trial: Trial, proxy: Proxy, names: set[str]) -> None:
    """Have nothing read until all are closed; then they read what has left, and come back."""
    began = time.monotonic()
    connected = _connections(stand)
    proxy.set(Faults(rate=0))
    while _connections(stand) > connected - len(names) and time.monotonic() < began + _TO_CLOSE:
        stand.wait(0.1)
    proxy.set(Faults())
    stand.wait(2)
    stand.writers.flood("publications", [])
    stand.go()
    stand.fleet.await_ready(timeout=_TO_CLOSE)
    ends = {each["name"]: [code for when, state, code, _ in each["states"] if state == "waiting" and when >= began]
            for each in stand.fleet.collect() if each["name"] in names}  # fmt: skip
    trial.saw(f"{sum(map(bool, ends.values()))} of {len(names)} were closed when they read nothing", all(ends.values()))
    # Any other code: what they got did not end with a whole frame.
    first = sorted({codes[0] for codes in ends.values() if codes})
    trial.check(f"they were closed with {first}, and not with {_SLOW}", first == [_SLOW])


def _waiting(stand: Stand) -> int:
    return max(int(state["waiting"]) for state in stand.states().values())


def _connections(stand: Stand) -> int:
    return sum(int(state["connections"]) for state in stand.states().values())
