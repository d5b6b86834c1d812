"""Equal parts of queries, each held once: thousands of views differ in their scopes alone."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakValueDictionary

from ..access.grants import Access
from .projection import Projection
from .view import Query

__all__ = ["Parts"]


class Parts:
    """The rights and projections of the views of a process. Their keys tell them apart within one class."""

    def __init__(self) -> None:
        self._accesses: WeakValueDictionary[tuple[str, str], Access] = WeakValueDictionary()
        self._projections: WeakValueDictionary[tuple[str, str], Projection] = WeakValueDictionary()

    def shared(self, query: Query) -> Query:
        """Return the query, made of parts that others have too."""
        access, projection = query.access, query.projection
        return replace(
            query,
            access=self._accesses.setdefault((query.exposure.name, access.key), access),
            projection=self._projections.setdefault((query.exposure.name, projection.key), projection),
        )
