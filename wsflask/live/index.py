"""Which views a change can touch, found without asking each of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from ..access.compare import Normal
from ..access.paths import values_at
from ..access.scope import Condition, Scope
from ..feed.base import Change
from .dependents import Shown
from .keys import row_key
from .references import References
from .view import Emission, Loaded, View

__all__ = ["ViewIndex"]


class ViewIndex:
    """The views of this process.

    A view with an equality (or `in`) in its scope or its right is found by the value that a changed document has, and,
    where it has the document as a row, by the document's key; the others of the collection are asked each.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, View] = {}
        self._collections: dict[str, _Collection] = {}
        #: The views that show documents of a collection in rows of another, or of the same.
        self._showing: dict[str, dict[View, None]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def rows(self) -> int:
        """How many rows all views have together."""
        return sum(collection.rows for collection in self._collections.values())

    def __contains__(self, view: View) -> bool:
        return self._by_key.get(view.key) is view

    def __iter__(self) -> Iterator[View]:
        return iter(tuple(self._by_key.values()))

    def expanding(self, changes: Iterable[Change]) -> list[tuple[View, Change]]:
        """Return which of the changes may touch which views that show other documents in their rows."""
        if not self._showing:
            return []
        return [(view, change) for change in changes for view in self.candidates(change) if view.dependents is not None]

    def showing(self, changes: Iterable[Change]) -> dict[View, set[Hashable]]:
        """Return the rows, by view, that show the changed documents."""
        changed: dict[str, set[Shown]] = {}
        for change in changes if self._showing else ():
            if change.collection in self._showing:
                changed.setdefault(change.collection, set()).add((change.collection, row_key(change.id)))
        found: dict[View, set[Hashable]] = {}
        for collection, documents in changed.items():
            for view in self._showing[collection]:
                rows = view.rows_with(documents)
                if rows:
                    found.setdefault(view, set()).update(rows)
        return found

    def get(self, key: str) -> View | None:
        """Return the view of that query key."""
        return self._by_key.get(key)

    def add(self, view: View) -> None:
        """Take the view in."""
        self._by_key[view.key] = view
        for collection in view.query.projection.collections:
            self._showing.setdefault(collection, {})[view] = None
        self._collections.setdefault(view.collection, _Collection()).add(view)

    def remove(self, view: View) -> None:
        """Let the view go."""
        if self._by_key.pop(view.key, None) is not None:
            for shown in view.query.projection.collections:
                del self._showing[shown][view]
                if not self._showing[shown]:
                    del self._showing[shown]
            collection = self._collections[view.collection]
            collection.remove(view)
            if not collection.views:
                del self._collections[view.collection]

    def candidates(self, change: Change) -> list[View]:
        """Return the views that the change may touch: all that it does touch, and perhaps some more."""
        collection = self._collections.get(change.collection)
        return collection.candidates(change) if collection is not None else []

    def apply(self, view: View, change: Change, references: References) -> list[Emission]:
        """Have the view take the change in, and note whether it has the row now."""
        key = row_key(change.id)
        had = key in view
        emissions = view.apply(change, references)
        collection = self._collections[view.collection]
        if had != (key in view):
            if had:
                collection.left(view, key)
            else:
                collection.joined(view, key)
        for other in view.take_dropped():
            if other != key:
                collection.left(view, other)
        return emissions

    def begin_load(self, view: View) -> None:
        """Have the view hear of every change of its collection, until `finish_load` or `abandon_load`."""
        view.begin_load()
        self._collections[view.collection].loading[view] = None

    def finish_load(self, view: View, loaded: Loaded) -> list[Emission]:
        """Have the view take over what its query found; return what those are told who had rows before."""
        collection = self._collections[view.collection]
        collection.loading.pop(view, None)
        before = set(view.members())
        found = view.finish_load(loaded)
        view.take_dropped()
        for key in view.members():
            if key not in before:
                collection.joined(view, key)
        for key in before:
            if key not in view:
                collection.left(view, key)
        return found

    def abandon_load(self, view: View) -> None:
        """Have the view forget a load that failed."""
        view.abandon_load()
        collection = self._collections.get(view.collection)
        if collection is not None:
            collection.loading.pop(view, None)

    def lose(self, view: View) -> None:
        """Have the view forget its rows."""
        if view not in self:
            return
        collection = self._collections[view.collection]
        collection.loading.pop(view, None)
        for key in view.members():
            collection.left(view, key)
        view.lose()


class _Collection:
    """The views of one collection. Dicts without values keep the order in which views came."""

    def __init__(self) -> None:
        self.views: dict[View, None] = {}
        self.loading: dict[View, None] = {}
        self._by_value: dict[str, dict[Normal, dict[View, None]]] = {}
        self._unindexed: dict[View, None] = {}
        #: How many rows the views have.
        self.rows = 0
        #: An indexed view that has the row, or a tuple of those: mostly it is one, and then costs no tuple.
        self._holders: dict[Hashable, View | tuple[View, ...]] = {}

    def add(self, view: View) -> None:
        self.views[view] = None
        indexed = _indexable(view)
        if indexed is None:
            self._unindexed[view] = None
            return
        field, values = indexed
        for value in values:  # none at all where nothing can meet it
            self._by_value.setdefault(field, {}).setdefault(value, {})[view] = None

    def remove(self, view: View) -> None:
        del self.views[view]
        self.loading.pop(view, None)
        for key in view.members():
            self.left(view, key)
        indexed = _indexable(view)
        if indexed is None:
            self._unindexed.pop(view, None)
            return
        field, values = indexed
        for value in values:
            by_value = self._by_value[field]
            views = by_value[value]
            del views[view]
            if not views:
                del by_value[value]
            if not by_value:
                del self._by_value[field]

    def joined(self, view: View, key: Hashable) -> None:
        self.rows += 1
        if view in self._unindexed:
            return  # it is asked about every change
        held = self._holders.get(key)
        if held is None:
            self._holders[key] = view
        else:
            self._holders[key] = (*held, view) if isinstance(held, tuple) else (held, view)

    def left(self, view: View, key: Hashable) -> None:
        self.rows -= 1
        held = self._holders.get(key)
        if held is view:
            del self._holders[key]
        elif isinstance(held, tuple):
            kept = tuple(other for other in held if other is not view)
            self._holders[key] = kept if len(kept) > 1 else kept[0]

    def candidates(self, change: Change) -> list[View]:
        found: dict[View, None] = dict.fromkeys(self._held(row_key(change.id)))
        found.update(self.loading)
        found.update(self._unindexed)
        if (document := change.document) is not None and change.op != "D":
            for field, by_value in self._by_value.items():
                for value in values_at(document, field):
                    views = by_value.get(value)
                    if views is not None:
                        found.update(views)
        return list(found)

    def _held(self, key: Hashable) -> Iterable[View]:
        held = self._holders.get(key)
        if held is None:
            return ()
        return held if isinstance(held, tuple) else (held,)


def _indexable(view: View) -> tuple[str, frozenset[Normal]] | None:
    """Return the equality that tells most views apart: one with few values, and not the class's own."""
    query = view.query
    if query.access.is_empty:
        return "", frozenset()  # no change touches it
    scopes: list[Scope] = [query.scope]
    if len(query.access.alternatives) == 1:
        scopes += query.access.alternatives
    found: list[Condition] = [
        condition for scope in scopes for condition in scope.conditions if condition.equals is not None
    ]
    if not found:
        return None
    best = min(found, key=lambda condition: (condition.field == "_cls", len(condition.equals or ()), condition.key))
    return best.field, best.equals or frozenset()
