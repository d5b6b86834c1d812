"""The users, and how their rights change under way."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database

from .domains import COLORS, KINDS, REGIONS, ROLES, SKUS, user_names
from .models import Person
from .posting import post
from .rights import Rights

__all__ = ["People", "Version"]


@dataclass(slots=True)
class Version:
    """What a user's rights were, and when."""

    rights: Rights
    since: float
    until: float = float("inf")


class People:
    """Every user with all the rights he has ever had.

    Args:
        base_url: of the application, for the rights that are not in the user's own document.
    """

    def __init__(self, database: Database[Any], base_url: str, count: int, seed: int, features: frozenset[str]) -> None:
        self._database = database
        self._base_url = base_url
        self._features = features
        self._rng = random.Random(f"people {seed}")
        self.names = user_names(count)
        #: The latest version last.
        self.versions: dict[str, list[Version]] = {}
        #: When somebody's rights were last changed, on the monotonic clock.
        self.changed = 0.0
        #: How often.
        self.changes = 0
        for name in self.names:
            person, colors = _drawn_person(self._rng, name), _drawn_colors(self._rng)
            database["walk_person"].replace_one({"_id": name}, person, upsert=True)
            database["walk_clearance"].replace_one({"_id": name}, {"colors": colors}, upsert=True)
            self.versions[name] = [Version(Rights(person, tuple(colors), features), time.monotonic())]

    def now(self, name: str) -> Rights:
        """Return a user's present rights."""
        return self.versions[name][-1].rights

    def during(self, name: str, start: float, end: float) -> list[Version]:
        """Return what a user's rights were at any time of these."""
        return [version for version in self.versions[name] if version.since <= end and version.until >= start]

    def change_one(self) -> str:
        """Change somebody's rights; return what was done. May switch."""
        name = self._rng.choice(self.names)
        before = self.now(name)
        person, colors = {**before.person}, list(before.colors)
        if not before.is_active or self._rng.random() < 0.04:
            person["active"] = not before.is_active
            return self._write(name, person, colors, self._rng.choice(("save", "pymongo")))
        if self._rng.random() < 0.2:
            return self._write(name, person, _drawn_colors(self._rng), "said")
        drawn = _drawn_person(self._rng, name)
        changed = self._rng.choice(("roles", "regions", "grants", "level", "supervisor"))
        person[changed] = drawn[changed]
        return self._write(name, person, colors, self._rng.choice(("save", "pymongo")))

    def _write(self, name: str, person: dict[str, Any], colors: list[str], how: str) -> str:
        started = time.monotonic()
        if how == "save":
            fields = {key: value for key, value in person.items() if key != "_id"}
            found = Person.objects(pk=name).first()
            for key, value in fields.items():
                setattr(found, key, value)
            found.save()
        elif how == "pymongo":
            self._database["walk_person"].replace_one({"_id": name}, person)
        else:
            self._database["walk_clearance"].replace_one({"_id": name}, {"colors": colors})
            post(f"{self._base_url}/rights_changed/{name}")
        self.changed = time.monotonic()
        self.changes += 1
        self.versions[name][-1].until = self.changed
        self.versions[name].append(Version(Rights(person, tuple(colors), self._features), started))
        return f"{name} by {how}"


def _some(rng: random.Random, values: tuple[str, ...], most: int) -> list[str]:
    return rng.sample(values, rng.randint(0, most))


def _drawn_person(rng: random.Random, name: str) -> dict[str, Any]:
    grants = [f"Product/kind/{kind}" for kind in _some(rng, KINDS, 2)]
    grants += [f"Product/key/{sku}" for sku in _some(rng, SKUS, 6)]
    return {
        "_id": name,
        "roles": _some(rng, ROLES[:4], 3) + (["admin"] if rng.random() < 0.15 else []) + _some(rng, ROLES[5:], 1),
        "regions": _some(rng, REGIONS, 3),
        "grants": ["Product/*"] if rng.random() < 0.2 else grants,
        "level": rng.randint(0, 3),
        "supervisor": rng.random() < 0.5,
        "active": True,
    }


def _drawn_colors(rng: random.Random) -> list[str]:
    return ["*"] if rng.random() < 0.2 else _some(rng, COLORS, 2)
