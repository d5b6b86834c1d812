"""What the database says that every tab should show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pymongo.database import Database

__all__ = ["clipboards", "rows_by_region", "unread_counts"]


def clipboards(database: Database[Any], users: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """Return the entries of each user: id, and the token that it holds."""
    found: dict[str, list[tuple[int, str]]] = {user: [] for user in users}
    for state in database["wsflask_clipboards"].find({}, {"entries.id": 1, "entries.json": 1}):
        entries = [(each["id"], json.loads(each["json"])["token"]) for each in state.get("entries", ())]
        found[state["_id"]] = entries
    return found


def rows_by_region(database: Database[Any]) -> dict[str, dict[str, int]]:
    """Return the version of each item, by its region."""
    found: dict[str, dict[str, int]] = {}
    for item in database["faults_item"].find({}, {"region": 1, "version": 1}):
        found.setdefault(item["region"], {})[str(item["_id"])] = item["version"]
    return found


def unread_counts(database: Database[Any], groups: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return how many notifications there are for each user of these; in this suite nobody reads any."""
    everyone, by_user, by_group = 0, Counter[str](), Counter[tuple[str, ...]]()
    both: list[tuple[set[str], set[str]]] = []
    for each in database["wsflask_notifications"].find({}, {"everyone": 1, "users": 1, "groups": 1}):
        users, teams = each.get("users") or [], each.get("groups") or []
        if each.get("everyone"):
            everyone += 1
        elif users and teams:
            both.append((set(users), set(teams)))
        elif users:
            by_user.update(users)
        else:
            by_group[tuple(teams)] += 1
    return {
        user: everyone
        + by_user[user]
        + sum(count for teams, count in by_group.items() if set(teams) & set(own))
        + sum(1 for users, teams in both if user in users or teams & set(own))
        for user, own in groups.items()
    }
