"""Replay the day: write what happens to the flights as the clock goes on, in one process of the cluster."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from wsflask.tasks import Supervised, supervise

from .day import RESTART, Plan, plans, values_of
from .lease import Lease
from .models import Clock, Flight, utc
from .seeding import restart_day, seed
from .timeline import WORTH_TELLING, State, state_at

__all__ = ["Replay"]

_log = logging.getLogger(__name__)

#: Seconds between two looks at the clock: the board moves at least that often.
_TICK = 1.0
#: A clock that was not looked at for longer goes on from where it stood.
_LONGEST_TICK = 5.0
#: Seconds that stop() waits for a step under way; to begin the day again takes one or two.
_LONGEST_STEP = 5.0
_SHOWN = ("status", "delay", "estimated", "departed", "landed")


class Replay:
    """The replay as one process sees it: it stands by, or it holds the lease and moves the flights.

    Args:
        tell: called with a flight whose delay has passed an hour, once for each flight and round.
        speed: minutes of the day a second, where the configuration names one.
        tick: seconds between two looks at the clock.
        monotonic: the time that goes by, in seconds.
    """

    def __init__(
        self,
        *,
        tell: Callable[[Flight], None],
        speed: float | None = None,
        tick: float = _TICK,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._speed = speed
        self._tick = tick
        self._monotonic = monotonic
        self._lease = Lease("replay", seconds=max(4.0, 4 * tick))
        self._plans = {plan.id: plan for plan in plans()}
        self._stopped = threading.Event()
        self._idle = threading.Event()
        self._starting = threading.Lock()
        self._task: Supervised | None = None
        self._looked: float | None = None

    def start(self) -> None:
        """Begin in the background; a second call does nothing."""
        with self._starting:
            if self._task is None and not self._stopped.is_set():
                self._task = supervise("demo replay", self.run)

    def stop(self) -> None:
        """End it and give the lease back. May switch; may be called twice."""
        self._stopped.set()
        if self._task is not None:
            self._idle.wait(_LONGEST_STEP)  # a database call that is broken off leaves its socket open
            self._task.stop()
        self._lease.release()

    def run(self) -> None:
        """Look at the clock until stopped. May switch."""
        self._idle.clear()
        try:
            while not self._stopped.is_set():
                if self._lease.hold():
                    self.step()
                else:
                    self._looked = None
                self._stopped.wait(self._tick)
        finally:
            self._idle.set()

    def step(self) -> None:
        """Move the clock by the time since the last step, and the flights with it. May switch."""
        clock = self._clock()
        seconds = self._seconds_gone()
        now = (utc(clock.now) or RESTART) + timedelta(minutes=seconds * clock.speed)
        if now >= RESTART:
            restart_day(clock)
            return
        if now != utc(clock.now):
            clock.now = now
            clock.save()
        self.move(now)

    def move(self, now: datetime) -> int:
        """Write every flight whose state at this moment is not what the database shows; return how many."""
        due: dict[str, State] = {}
        for row in Flight.objects.only(*_SHOWN, "held").as_pymongo():
            plan = self._plans.get(row["_id"])
            if plan is not None and (state := _due(plan, row, now)) is not None:
                due[plan.id] = state
        for flight in Flight.objects(id__in=list(due)):
            for name, value in values_of(due[flight.id]).items():
                setattr(flight, name, value)
            flight.save()
        self._tell_delays()
        return len(due)

    def _tell_delays(self) -> None:
        for flight in Flight.objects(delay__gte=WORTH_TELLING, delay_told__ne=True):
            # Who sets the mark tells, so that it is told once even while the lease changes hands.
            if Flight.objects(id=flight.id, delay_told__ne=True).update_one(set__delay_told=True):
                self._tell(flight)

    def _clock(self) -> Clock:
        clock = Clock.objects(id="clock").first() or seed()
        if self._speed is not None and clock.configured != self._speed:
            clock.speed = clock.configured = self._speed
            clock.save()
        return clock

    def _seconds_gone(self) -> float:
        before, self._looked = self._looked, self._monotonic()
        return min(self._looked - before, _LONGEST_TICK) if before is not None else 0.0


def _due(plan: Plan, row: dict[str, object], now: datetime) -> State | None:
    held = row.get("held")
    state = state_at(plan, now, held if isinstance(held, int) else None)
    shown = (row.get("status"), row.get("delay"), *(utc(row.get(name)) for name in _SHOWN[2:]))
    return None if shown == (state.status, state.delay, state.estimated, state.departed, state.landed) else state
