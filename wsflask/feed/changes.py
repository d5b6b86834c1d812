"""What a feed tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import WSFlaskError

__all__ = ["Change", "Gap", "HistoryLost", "Touch"]


@dataclass(frozen=True, slots=True)
class Change:
    """A document was inserted, updated or deleted.

    The document is shared by all who get the change: read it, do not alter it.
    """

    #: Position in the feed (see `positions`); sorts as a string.
    seq: str
    #: "I" insert, "U" update or replace, "D" delete.
    op: str
    collection: str
    id: Any
    #: As stored, database field names and BSON types; of a delete the last state, if pre-images are kept, else None.
    document: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may be missing from here on backwards: load again what you hold. What follows is whole again."""

    seq: str
    reason: str


@dataclass(frozen=True, slots=True)
class Touch:
    """Something happened to a document; what it looks like now is not told."""

    seq: str
    #: As in a change.
    op: str
    id: Any


class HistoryLost(WSFlaskError):
    """What happened since a position can not be told, or is too much; load again what you hold."""
