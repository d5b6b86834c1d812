"""The values that documents, scopes and rights are made of: few, so that they meet."""

from __future__ import annotations

import datetime
import random
import re
import uuid

__all__ = [
    "CITIES", "CODES", "COLORS", "KINDS", "MARKER", "NAMES", "OWNERS", "REGIONS", "ROLES", "SKUS", "STATES",
    "STATUSES", "TAGS", "WORDS", "moment", "user_names",
]  # fmt: skip

REGIONS = ("north", "south", "east", "west")
STATUSES = ("open", "paid", "sent", "done")
TAGS = ("new", "big", "gift", "late", "äöü")
KINDS = ("book", "tool", "toy")
SKUS = tuple(f"P{number}" for number in range(40))
COLORS = ("red", "green", "blue")
STATES = ("packed", "moving", "lost", "secret")
CITIES = ("Rome", "Oslo", "Lima")
WORDS = ("plan", "do", "check", "act")
NAMES = ("Rex", "Tom", "Ada", "Ivy")
OWNERS = tuple(f"user{number}" for number in range(6))
ROLES = ("sales", "finance", "support", "auditor", "admin", "writers")
CODES = tuple(str(uuid.UUID(int=0x1234_5678_0000_4000_8000_0000_0000_0000 + number)) for number in range(5))

#: What tells a value from all others, wherever it turns up: "~Order.secret.1f~".
MARKER = re.compile(r"~(\w+)\.(\w+)\.\w+~")

_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def moment(rng: random.Random) -> datetime.datetime:
    """Return one of a few hundred times, some with milliseconds."""
    milliseconds = rng.choice((0, 0, 250))
    return _START + datetime.timedelta(hours=rng.randrange(300), milliseconds=milliseconds)


def user_names(count: int) -> list[str]:
    """Return the users' names, those of `benchmarks.cookies`."""
    return [f"user{number}" for number in range(count)]
