"""A view without an order: of its rows only ids and digests are held."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable

from ..feed.base import Change
from .view import Emission, Loaded, Query, Row, View, digest

__all__ = ["RowsView"]



class _Unsure(enum.Enum):
    """What stands for a row's digest while it is not the one of the row that all subscribers have."""

    CHANGED = "some have another state of the row"
    NEW = "some do not have the row"


class RowsView(View):
    """A digest tells whether a change can be seen at all: one of fields that the view does not show sends nothing."""

    __slots__ = ("_kept", "_members")

    def __init__(self, query: Query, name: str) -> None:
        super().__init__(query, name)
        self._members: dict[Hashable, bytes | _Unsure] = {}
        self._kept: Loaded | None = None

    def __contains__(self, key: Hashable) -> bool:
        return key in self._members

    def __len__(self) -> int:
        return len(self._members)

    def members(self) -> Iterable[Hashable]:
        return self._members.keys()

    def digests(self) -> dict[Hashable, bytes]:
        return {key: b"" if isinstance(known, _Unsure) else known for key, known in self._members.items()}

    @property
    def held(self) -> Loaded | None:
        return self._kept

    def let_go(self) -> None:
        self._kept = None

    def lose(self) -> None:
        super().lose()
        self._kept = None
        self._members = {}

    def _take(self, key: Hashable, row: Row | None, change: Change) -> list[Emission]:
        if self._kept is not None:
            self._kept.take(key, row)
        if row is None:
            return [self._gone(change, key)] if self._members.pop(key, None) is not None else []
        found, known = digest(row.body), self._members.get(key)
        self._members[key] = found
        if known == found:
            return []
        if known is None or known is _Unsure.NEW:
            return [Emission("I", row.body)]  # without a key: it stays, and what follows finds a row at the client
        return [Emission("U", row.body, key=key)]

    def _adopt(self, loaded: Loaded) -> list[Emission]:
        self._note_shown(loaded.rows)
        self._kept = loaded
        if not self.is_loaded:
            self._members = {key: digest(row.body) for key, row in loaded.rows.items()}
            self.is_loaded = True
            return []
        # The others saw what the feed told, which looks a document up after its change, perhaps after the query's
        # moment. When the feed comes to that moment, all are told.
        for key, known in self._members.items():
            row = loaded.rows.get(key)
            if known is not _Unsure.NEW and (row is None or known != digest(row.body)):
                self._members[key] = _Unsure.CHANGED
        for key in loaded.rows:
            if key not in self._members:
                self._members[key] = _Unsure.NEW
        return []
