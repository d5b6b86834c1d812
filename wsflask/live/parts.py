"""Equal parts of queries, each held once: thousands of views differ in their scopes alone."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakValueDictionary

from ..access.grants import Access
from .projection import Projection
from .view import Query

__all__ = ["Parts"]


class Parts:
    """The rights and projections of the views of a process."""

    def __init__(self) -> None:
        self._accesses: WeakValueDictionary[str, Access] = WeakValueDictionary()
        self._projections: WeakValueDictionary[str, Projection] = WeakValueDictionary()

    def shared(self, query: Query) -> Query:
        """Return the query, made of parts that others have too."""
        access, projection = query.access, query.projection
        return replace(
            query,
            access=self._accesses.setdefault(access.key, access),
            projection=self._projections.setdefault(projection.key, projection),
        )
