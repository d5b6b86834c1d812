"""The documents of the fault suite: users, and items of which each user may read some regions."""

from __future__ import annotations

from flask_login import UserMixin
from mongoengine import BooleanField, Document, IntField, ListField, StringField

__all__ = ["REGIONS", "Item", "Person", "groups_of", "regions_of", "room_of", "user_name"]

#: Enough that a region's view has few clients, and a change few receivers.
REGIONS = tuple(f"region{number}" for number in range(20))


class Person(Document, UserMixin):
    """A user; what he may see follows from his regions."""

    name = StringField(primary_key=True)
    regions = ListField(StringField())
    teams = ListField(StringField())
    is_auditor = BooleanField(default=False)
    active = BooleanField(default=True)
    meta = {"collection": "faults_person"}

    def get_id(self) -> str:
        return str(self.name)

    @property
    def groups(self) -> list[str]:
        return list(self.teams)

    @property
    def is_active(self) -> bool:
        return bool(self.active)


class Item(Document):
    """What changes."""

    number = IntField(primary_key=True)
    region = StringField()
    version = IntField(default=0)
    text = StringField()
    secret = StringField()
    meta = {"collection": "faults_item", "indexes": ["region"]}


def user_name(number: int) -> str:
    """Return the id of a user; the cookies of the benchmarks are for the same."""
    return f"user{number}"


def regions_of(number: int) -> list[str]:
    """Return the regions that a user may read at first."""
    return [REGIONS[number % len(REGIONS)]]


def room_of(number: int) -> str:
    """Return the room that a user's tabs join: ten users share it."""
    return f"room{number // 10}"


def groups_of(number: int) -> list[str]:
    """Return the groups that a user is in at first."""
    return [f"team{number % 10}"]
