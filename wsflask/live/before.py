"""What a client has already, so that it is sent only what differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Hashable, Mapping
from typing import Any

from ..encoding import dumps, to_json_value
from .keys import identity_of
from .past import Touch
from .view import Emission, Row, View, digest

__all__ = ["Before", "Held", "Shown", "Unknown"]


class Before(ABC):
    """The rows of a client that comes from elsewhere: from another view, or from an earlier moment."""

    @abstractmethod
    def op_for(self, key: Hashable, row: Row) -> str:
        """Return how the client is told of this row of its view: "" where it has it."""

    @abstractmethod
    def gone(self, known: Container[Hashable]) -> list[Emission]:
        """Return what tells the client of its rows that are none of the view, whose rows are known."""

    def has_all(self, view: View) -> bool:
        """Return whether the client certainly has every row of the view as it is."""
        return False

    def is_enough(self, known: Container[Hashable]) -> bool:
        """Return whether `gone` knows every row that the client has and the view has not."""
        return True


class Shown(Before):
    """The rows of the view that the client watched until now; the rights of its user have changed."""

    def __init__(self, digests: Mapping[Hashable, bytes]) -> None:
        self._digests = digests

    def op_for(self, key: Hashable, row: Row) -> str:
        return "" if self._digests.get(key) == digest(row.body) else "L"

    def gone(self, known: Container[Hashable]) -> list[Emission]:
        return [
            Emission("R", dumps({"_id": to_json_value(identity_of(key))})) for key in self._digests if key not in known
        ]

    def has_all(self, view: View) -> bool:
        return all(known and self._digests.get(key) == known for key, known in view.digests().items())


class Held(Before):
    """The rows whose ids the client has told, as they were at its position.

    Args:
        ids: the ids as JSON values, by key.
        touched: what changed since, or may be ahead in the view.
    """

    def __init__(self, ids: Mapping[Hashable, Any], touched: Container[Hashable]) -> None:
        self._ids = ids
        self._touched = touched

    def op_for(self, key: Hashable, row: Row) -> str:
        if key not in self._ids:
            return "I"
        return "U" if key in self._touched else ""

    def gone(self, known: Container[Hashable]) -> list[Emission]:
        # Whatever the client names and is no row is answered alike: that tells nothing of what it may not see.
        return [Emission("R", dumps({"_id": id_})) for key, id_ in self._ids.items() if key not in known]


class Unknown(Before):
    """Rows of which nothing is known but what changed since: enough where nothing that was there before has left.

    Args:
        touched: what changed since.
        ahead: that, and what may be ahead in the view.
    """

    def __init__(self, touched: Mapping[Hashable, Touch], ahead: Mapping[Hashable, Touch]) -> None:
        self._touched = touched
        self._ahead = ahead

    def op_for(self, key: Hashable, row: Row) -> str:
        touch = self._touched.get(key)
        if touch is None:
            return "U" if key in self._ahead else ""
        return "I" if touch.is_new else "U"

    def gone(self, known: Container[Hashable]) -> list[Emission]:
        return []

    def is_enough(self, known: Container[Hashable]) -> bool:
        # What is ahead may have left the view by a change after the position, and not be gone for the client yet.
        return all(key in known or self._is_new(key) for key in self._ahead)

    def _is_new(self, key: Hashable) -> bool:
        touch = self._touched.get(key)
        return touch is not None and touch.is_new
