"""Redis is killed, comes back empty, is frozen."""

from __future__ import annotations

import shutil
import time

from wsflask.testing.deliveries import Tab

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial
from .workers import nobody_left, ways

_HOLDS = "noticed within 2 s by position; no silent gap"
_NEEDS = Needs(redis=True, settings=(("WSFLASK_FEED", "redis"),))
#: Seconds in which it is noticed, and what was missed is read from the database and sent.
_NOTICED = 2.0


def _obstacle() -> str | None:
    missing = "needs redis-server; on Debian and Ubuntu: apt-get install redis-server"
    return None if shutil.which("redis-server") else missing


@row("redis-killed", "Redis killed, and started empty later", _HOLDS, needs=_NEEDS, obstacle=_obstacle, is_quick=False)
def kill(stand: Stand, trial: Trial) -> None:
    _start_empty(stand, trial, away=6 if trial.is_short else 20)


@row("redis-empty", "Redis restarted empty", _HOLDS, needs=_NEEDS, obstacle=_obstacle, is_quick=False)
def restart(stand: Stand, trial: Trial) -> None:
    _start_empty(stand, trial, away=0)


def _start_empty(stand: Stand, trial: Trial, *, away: float) -> None:
    stand.wait(3)
    before = _run_id(stand)
    began = time.monotonic()
    stand.redis.kill()
    stand.wait(away)
    stand.redis.start()
    stand.wait(6 if trial.is_short else 20)
    trial.saw(f"Redis was away for {away:g} s, and is another one now", _run_id(stand) != before)
    _delays(stand, trial, began)


@row("redis-frozen", "Redis frozen for 30 s", _HOLDS, needs=_NEEDS, obstacle=_obstacle, is_quick=False)
def freeze(stand: Stand, trial: Trial) -> None:
    stand.wait(3)
    began = time.monotonic()
    stand.redis.freeze()
    stand.wait(8 if trial.is_short else 30)
    frozen = time.monotonic() - began
    stand.redis.thaw()
    stand.wait(5 if trial.is_short else 20)
    trial.saw(f"Redis was frozen for {frozen:.0f} s", frozen > 5)
    _delays(stand, trial, began)


def _run_id(stand: Stand) -> str:
    with stand.redis.client as client:
        return str(client.info("server")["run_id"])


def _delays(stand: Stand, trial: Trial, since: float) -> None:
    until = time.monotonic() - 2 * _NOTICED  # what was written later may be under way yet
    told = stand.fleet.collect()
    written = {each.token: each for each in stand.writers.written("notifications")}
    tabs = [Tab(each["name"], each["user"], 0.0, each["arrivals"]) for each in told]
    longest = max(ways(written, tabs, since=since, until=until), default=float("inf"))
    trial.measure("longest way of a notification", longest, at_most=_NOTICED)
    nobody_left(trial, told, since)
