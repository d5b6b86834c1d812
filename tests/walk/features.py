"""How long and how wide to walk, and with what: taking a piece out tells whether a fault needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FEATURES", "Options", "chosen"]

#: Name to what it adds.
FEATURES = {
    "cuts": "connections that are cut, and come back with their position",
    "kills": "workers killed with SIGKILL",
    "drops": "collections that are dropped",
    "transactions": "several writes at one cluster time",
    "rights": "users whose roles, regions and grants change, who are deactivated, and come back",
    "hidden": "subscriptions that ask for hidden fields",
    "expansions": "catalogs that expand references",
    "paths": "scopes with dotted paths",
    "mappings": "scopes written as a mapping",
    "orders": "views with order_by and limit",
    "rows": "clients that say which rows they hold when they come back",
    "predicates": "a right that looks at the document",
    "roles": "fields by role",
    "positions": "caught_up asked for at a rest",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long and how wide to walk."""

    seed: int
    seconds: float
    clients: int = 50
    users: int = 16
    #: Writes a second, all together.
    rate: float = 150.0
    #: Seconds of a round.
    round: float = 20.0
    features: frozenset[str] = frozenset(FEATURES)
    #: How the server misbehaves.
    breaks: str = "nothing"


def chosen(without: Iterable[str]) -> frozenset[str]:
    """Return the features that stay.

    Raises:
        ValueError: there is no such feature.
    """
    out = {name for name in without if name}
    unknown = sorted(out - FEATURES.keys())
    if unknown:
        raise ValueError(f"there is no feature {unknown[0]}; there are {', '.join(FEATURES)}")
    return frozenset(FEATURES) - out
