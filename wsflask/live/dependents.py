"""Which rows of a view show which other documents, so that these update them when they change."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable

__all__ = ["Dependents", "Shown"]

#: A document that is shown in rows of others: its collection and key.
Shown = tuple[str, Hashable]


class Dependents:
    """About 300 bytes for each row and document that it shows; only views that expand references have them."""

    __slots__ = ("_by_row", "_by_shown")

    def __init__(self) -> None:
        self._by_row: dict[Hashable, tuple[Shown, ...]] = {}
        self._by_shown: dict[Shown, set[Hashable]] = {}

    def __len__(self) -> int:
        """Return how many rows show something."""
        return len(self._by_row)

    def note(self, row: Hashable, shown: tuple[Shown, ...]) -> None:
        """Note what a row shows now; nothing: it shows nothing, or is gone."""
        known = self._by_row.get(row, ())
        if known == shown:
            return
        for one in known:
            rows = self._by_shown[one]
            rows.discard(row)
            if not rows:
                del self._by_shown[one]
        if shown:
            self._by_row[row] = shown
        else:
            self._by_row.pop(row, None)
        for one in shown:
            self._by_shown.setdefault(one, set()).add(row)

    def keep(self, rows: Container[Hashable]) -> None:
        """Forget all rows but these."""
        for row in [row for row in self._by_row if row not in rows]:
            self.note(row, ())

    def clear(self) -> None:
        """Forget all rows."""
        self._by_row.clear()
        self._by_shown.clear()

    def rows_with(self, documents: Iterable[Shown]) -> set[Hashable]:
        """Return the rows that show one of the documents."""
        found: set[Hashable] = set()
        for document in documents:
            found |= self._by_shown.get(document, set())
        return found
