"""What the board shows of a flight at a moment of the day: a pure function of plan and time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .day import Plan

__all__ = ["WORTH_TELLING", "State", "state_at"]

#: Minutes of delay from which the airline's staff is told.
WORTH_TELLING = 61
#: Minutes below which a late departure is not called a delay, as the source's own statistics do.
_LATE = 15
#: A delay becomes known this long before the scheduled departure, …
_KNOWN_BEFORE = timedelta(minutes=40)
#: … half an hour of it at a time, as airlines do.
_STEP = timedelta(minutes=30)
_BOARDING = timedelta(minutes=30)
#: A cancellation becomes known this long before the scheduled departure.
_CANCELLED_BEFORE = timedelta(minutes=75)


@dataclass(frozen=True, slots=True)
class State:
    """The fields of a flight that the replay writes."""

    status: str
    delay: int
    estimated: datetime
    departed: datetime | None = None
    landed: datetime | None = None


def state_at(plan: Plan, now: datetime, held: int | None = None) -> State:
    """Return what is known of a flight at a moment.

    Args:
        held: minutes of delay that the desk has set; the flight leaves no earlier than that, and lands as much later.
    """
    if plan.departed is None:
        return _never_leaving(plan, now, held or 0)
    leaves = max(plan.departed, plan.scheduled + timedelta(minutes=held or 0))
    delay = max(0, _minutes(leaves - plan.scheduled))
    landed = plan.landed + (leaves - plan.departed) if plan.landed else None
    if landed is not None and now >= landed:
        return State("landed", delay, leaves, leaves, landed)
    if now >= leaves:
        return State("departed", delay, leaves, leaves)
    if now >= leaves - _BOARDING:
        announced = max(delay if delay >= _LATE else 0, held or 0)
        return State("boarding", announced, plan.scheduled + timedelta(minutes=announced))
    return _waiting(plan, max(_known(plan, now, delay), held or 0))


def _never_leaving(plan: Plan, now: datetime, held: int) -> State:
    if now >= plan.scheduled - _CANCELLED_BEFORE:
        return State("cancelled", 0, plan.scheduled)
    return _waiting(plan, held)


def _waiting(plan: Plan, delay: int) -> State:
    status = "delayed" if delay >= _LATE else "scheduled"
    return State(status, delay, plan.scheduled + timedelta(minutes=delay))


def _known(plan: Plan, now: datetime, delay: int) -> int:
    """Return how much of the final delay has been announced by now."""
    since = now - (plan.scheduled - _KNOWN_BEFORE)
    if delay < _LATE or since < timedelta(0):
        return 0
    return min(delay, _minutes(_STEP) * (1 + since // _STEP))


def _minutes(duration: timedelta) -> int:
    return int(duration.total_seconds() // 60)
