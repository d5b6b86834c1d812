"""Put the airlines, the users and the flights of the day into the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mongoengine import Document
from pymongo import UpdateOne
from werkzeug.security import generate_password_hash

from wsflask.documents import Notification

from .day import FIRST_START, START, Plan, airlines, plans, values_of
from .models import Airline, Clock, Flight, User, utc
from .timeline import WORTH_TELLING, state_at

__all__ = ["USERS", "restart_day", "seed"]

#: The ready-made users: name to sign in with (also the password), name shown, airline (None: the supervisor).
USERS = (
    ("supervisor", "Shift supervisor", None),
    ("united", "United desk", "UA"),
    ("jetblue", "JetBlue desk", "B6"),
    ("delta", "Delta desk", "DL"),
    ("american", "American desk", "AA"),
    ("expressjet", "ExpressJet desk", "EV"),
)


def seed(reset: bool = False) -> Clock:
    """Make sure that all the demo needs is in the database; return the clock. May switch.

    What is there stays as it is, unless `reset` drops the demo's own documents, and what its staff was told, first.
    It may run in several processes at once.
    """
    if reset:
        for document_class in (Flight, Airline, User, Clock):
            document_class._get_collection().delete_many({})
        Notification.objects(groups__in=[f"airline:{code}" for code in airlines()]).delete()
    _add_missing(Airline, [Airline(code=code, name=name) for code, name in airlines().items()])
    known = set(User.objects.scalar("username"))
    _add_missing(User, [_user(*row) for row in USERS if row[0] not in known])
    _add_missing(Clock, [Clock(now=FIRST_START)])
    clock: Clock = Clock.objects.get(id="clock")
    now = utc(clock.now) or START
    if Flight.objects.count() == 0:
        _add_missing(Flight, [_flight(plan, now) for plan in plans()])
    return clock


def restart_day(clock: Clock) -> None:
    """Let the day begin again: every flight as it was at the start, those deleted since are back. May switch."""
    clock.now, clock.round = START, clock.round + 1
    clock.save()
    shown = {flight.id: flight for flight in Flight.objects}
    for plan in plans():
        fresh = _flight(plan, START)
        flight = shown.get(plan.id, fresh)
        for name in ("status", "delay", "estimated", "departed", "landed", "gate", "remark", "crew_remark", "held"):
            if flight[name] != fresh[name]:
                flight[name] = fresh[name]
        flight.delay_told = False
        flight.save()


def _flight(plan: Plan, now: datetime) -> Flight:
    values: dict[str, Any] = {**values_of(plan), **values_of(state_at(plan, now))}
    return Flight(
        **values,
        flight=f"{plan.carrier} {plan.number}",
        airline=plan.carrier,
        delay_told=values["delay"] >= WORTH_TELLING,
    )


def _user(username: str, name: str, airline: str | None) -> User:
    return User(
        username=username,
        name=name,
        # The passwords are public: a cheap hash keeps a worker from standing still at each sign-in.
        password=generate_password_hash(username, method="scrypt:4096:8:1"),
        role="staff" if airline else "supervisor",
        airline=airline,
    )


def _add_missing(document_class: type[Document], documents: list[Any]) -> None:
    operations = []
    for document in documents:
        body = document.to_mongo().to_dict()
        operations.append(UpdateOne({"_id": body.pop("_id")}, {"$setOnInsert": body}, upsert=True))
    if operations:
        document_class.ensure_indexes()
        document_class._get_collection().bulk_write(operations, ordered=False)
