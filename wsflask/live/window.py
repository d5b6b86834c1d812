"""A view with an order: its first rows, up to a limit, each told with the row in front of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable
from typing import Any

from ..feed.base import Change
from .view import Emission, Loaded, Query, Row, View

__all__ = ["WindowView", "slack_of"]


def slack_of(limit: int) -> int:
    """Return how many rows behind the limit are held, to move up when others leave."""
    return max(10, limit // 2)


class WindowView(View):
    """The first rows in an order, held whole, and some behind them; a query fills up when too many have left.

    Subscribers see the first `limit`. Where more documents match than are held, one that sorts behind the last held
    row is not taken in: how many lie between is not known.
    """

    __slots__ = ("_dropped", "_is_complete", "_keys", "_limit", "_loaded_at", "_most", "_places", "_rows")

    holds_rows = True

    def __init__(self, query: Query, name: str) -> None:
        super().__init__(query, name)
        self._limit = query.limit
        self._most = query.limit + slack_of(query.limit)
        self._dropped: list[Hashable] = []
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[Hashable, Row] = {}
        self._keys: list[Hashable] = []
        self._places: list[Any] = []
        self._is_complete = True
        self._loaded_at = ""

    def __contains__(self, key: Hashable) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def members(self) -> Iterable[Hashable]:
        return self._rows.keys()

    def digests(self) -> dict[Hashable, bytes]:
        return dict.fromkeys(self._keys[: self._limit], b"")

    def _seen(self) -> dict[Hashable, Row]:
        """Return the rows that subscribers see, in order."""
        return {key: self._rows[key] for key in self._keys[: self._limit]}

    @property
    def held(self) -> Loaded | None:
        return Loaded(self._seen(), self._loaded_at) if self.is_loaded and not self.needs_rows else None

    @property
    def needs_rows(self) -> bool:
        """Whether a query has to tell what moves up."""
        return self.is_loaded and not self._is_complete and len(self._keys) < self._limit

    def lose(self) -> None:
        super().lose()
        self._clear()

    def _take(self, key: Hashable, row: Row | None, change: Change) -> list[Emission]:
        last = self._places[-1] if self._places else None
        was, old = self._remove(key)
        now = self._insert(key, row, last) if row is not None else None
        was_seen, is_seen = was is not None and was < self._limit, now is not None and now < self._limit
        if was_seen and is_seen:
            is_same = was == now and old is not None and row is not None and old.body == row.body
            found = [] if is_same else [self._shown("U", now)]
        elif was_seen:
            gone = self._gone(change) if row is None else self._removed(key, old)
            found = [gone, *([self._shown("I", self._limit - 1)] if len(self._keys) >= self._limit else [])]
        elif is_seen:
            pushed = self._keys[self._limit] if len(self._keys) > self._limit else None
            found = [self._shown("I", now)]
            if pushed is not None:
                found.insert(0, self._removed(pushed, self._rows[pushed]))
        else:
            found = []
        self._trim()
        return found

    def _remove(self, key: Hashable) -> tuple[int | None, Row | None]:
        row = self._rows.pop(key, None)
        if row is None:
            return None, None
        index = bisect_left(self._places, row.place)
        del self._places[index], self._keys[index]
        return index, row

    def _insert(self, key: Hashable, row: Row, last: Any) -> int | None:
        """Take a row in; return its index, or None where it lies behind the last place that is known."""
        if not self._is_complete and (last is None or last < row.place):
            return None
        index = bisect_left(self._places, row.place)
        self._places.insert(index, row.place)
        self._keys.insert(index, key)
        self._rows[key] = row
        return index

    def _trim(self) -> None:
        while len(self._keys) > self._most:
            key = self._keys.pop()
            self._dropped.append(key)
            del self._rows[key], self._places[-1]
            if self.dependents is not None:
                self.dependents.note(key, ())
            self._is_complete = False

    def take_dropped(self) -> Iterable[Hashable]:
        dropped, self._dropped = self._dropped, []
        return dropped

    def _shown(self, op: str, index: int | None) -> Emission:
        assert index is not None
        row = self._rows[self._keys[index]]
        return Emission(op, row.body, self._rows[self._keys[index - 1]].id if index else b"null")

    def _removed(self, key: Hashable, row: Row | None) -> Emission:
        assert row is not None
        return Emission("R", b'{"_id":%b}' % row.id)

    def finish_load(self, loaded: Loaded) -> list[Emission]:
        # Subscribers of a window follow the feed alone: what it told during the load counts, whatever the query saw.
        touched, self._touched = self._touched or {}, None
        before = self._seen() if self.is_loaded else None
        last = None if loaded.is_complete else next(reversed(loaded.rows.values())).place
        for key, (_, row) in touched.items():
            loaded.rows.pop(key, None)
            if row is not None and (last is None or row.place < last):
                loaded.rows[key] = row
        return self._adopt(loaded) if before is None else self._change_to(loaded, before)

    def _adopt(self, loaded: Loaded) -> list[Emission]:
        self._note_shown(loaded.rows)
        in_order = sorted(loaded.rows.items(), key=lambda item: item[1].place)
        self._rows = dict(in_order)
        self._keys = [key for key, _ in in_order]
        self._places = [row.place for _, row in in_order]
        self._is_complete = loaded.is_complete
        self._loaded_at = loaded.position
        self.is_loaded = True
        self._trim()
        if self.dependents is not None:
            self.dependents.keep(self)
        return []

    def _change_to(self, loaded: Loaded, before: dict[Hashable, Row]) -> list[Emission]:
        """Take the rows over; return what makes the rows before equal to them.

        Who takes the messages in their order has the rows in theirs: those that are not told of keep their order among
        one another, and each that is told of is put behind one that is right already.
        """
        self._adopt(loaded)
        after = self._seen()
        found = [self._removed(key, row) for key, row in before.items() if key not in after]
        for index, (key, row) in enumerate(after.items()):
            known = before.get(key)
            if known is None:
                found.append(self._shown("I", index))
            elif known.body != row.body or known.place < row.place or row.place < known.place:
                found.append(self._shown("U", index))
        return found
