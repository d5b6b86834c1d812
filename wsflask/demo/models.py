"""The documents of the departures desk: airlines, flights, users, and the clock of the replay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask_login import UserMixin
from mongoengine import (
    BooleanField,
    DateTimeField,
    Document,
    FloatField,
    IntField,
    ReferenceField,
    StringField,
)
from werkzeug.security import check_password_hash

__all__ = ["ACTIVE", "ORIGINS", "STATUSES", "Airline", "Clock", "Flight", "User", "utc"]

#: Every status of a flight, in the order in which a flight goes through them.
STATUSES = ("scheduled", "delayed", "boarding", "departed", "landed", "cancelled")
#: The statuses of a flight that is still to leave.
ACTIVE = ("scheduled", "delayed", "boarding")
#: The airports whose departures the desk handles.
ORIGINS = {"EWR": "Newark", "JFK": "Kennedy", "LGA": "LaGuardia"}


class Airline(Document):
    """A carrier under its two-letter code."""

    meta = {"collection": "demo_airlines"}

    code = StringField(primary_key=True)
    name = StringField(required=True)


class Flight(Document):
    """One departure of the day; its key is flight number and origin, such as `UA1545-EWR`."""

    meta = {
        "collection": "demo_flights",
        "indexes": [("status", "estimated"), ("carrier", "status", "estimated"), ("delay_told", "delay")],
    }

    id = StringField(primary_key=True)
    carrier = StringField(required=True)
    number = IntField(required=True)
    flight = StringField(required=True)
    tail = StringField(default="")
    origin = StringField(required=True, choices=tuple(ORIGINS))
    destination = StringField(required=True)
    destination_name = StringField(required=True)
    airline = ReferenceField(Airline, dbref=False)
    scheduled = DateTimeField(required=True)
    estimated = DateTimeField(required=True)
    departed = DateTimeField()
    landed = DateTimeField()
    gate = StringField(default="", max_length=6)
    status = StringField(required=True, default="scheduled", choices=STATUSES)
    #: Minutes behind schedule, as far as it is known by now.
    delay = IntField(default=0, min_value=0)
    remark = StringField(default="", max_length=140)
    #: For the crew: only the supervisor sees it.
    crew_remark = StringField(default="", max_length=280)
    #: Minutes of delay that the desk has set; the replay keeps to them.
    held = IntField(min_value=0)
    #: Whether the airline's staff has been told of a delay over an hour.
    delay_told = BooleanField(default=False)


class Clock(Document):
    """The one clock of the replay: at which moment of the day it is, and how fast it runs."""

    meta = {"collection": "demo_clock"}

    id = StringField(primary_key=True, default="clock")
    now = DateTimeField(required=True)
    #: Minutes of the day that go by in one second; 0 stands still.
    speed = FloatField(default=1.0, min_value=0.0)
    #: The speed that was configured when `speed` was last set from the configuration.
    configured = FloatField()
    #: How often the day has begun.
    round = IntField(default=1)


class User(UserMixin, Document):
    """Somebody who may sign in: `staff` of one airline, or the `supervisor` of all."""

    meta = {"collection": "demo_users"}

    username = StringField(primary_key=True)
    name = StringField(required=True)
    password = StringField(required=True)
    role = StringField(required=True, choices=("staff", "supervisor"))
    airline = StringField()
    active = BooleanField(default=True)

    @property
    def is_active(self) -> bool:
        """Whether the user may sign in and stay; read by Flask-Login."""
        return bool(self.active)

    @property
    def is_supervisor(self) -> bool:
        """Whether the user sees every airline and the crew remarks."""
        return bool(self.role == "supervisor")

    @property
    def groups(self) -> list[str]:
        """The groups whose notifications the user gets."""
        return ["supervisors"] if self.is_supervisor else [f"airline:{self.airline}"]

    def get_id(self) -> str:
        """Return the id under which Flask-Login keeps the user."""
        return str(self.username)

    def may_see(self, flight: Flight) -> bool:
        """Return whether the user may see this flight."""
        return self.is_supervisor or flight.carrier == self.airline

    def has_password(self, password: str) -> bool:
        """Return whether this is the user's password."""
        return check_password_hash(self.password, password)


def utc(moment: Any) -> datetime | None:
    """Return a moment from the database as aware UTC, whatever the connection's `tz_aware` is."""
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
