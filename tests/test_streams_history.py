"""How much of the history is read at one time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wsflask.feed import Touch
from wsflask.streams.history import inserted


def at(second: int) -> str:
    return f"{second << 32:020d}"


class Shelf:
    """A document class with one document of a size for each second; it notes how many are read by each query."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reads: list[int] = []

    def _get_collection(self) -> Any:
        return self

    def with_options(self, **_: Any) -> Any:
        return self

    def find(self, query: Any) -> list[Any]:
        ids = query["_id"]["$in"]
        self.reads.append(len(ids))
        return [{"_id": each, "size": self.size} for each in ids]


@pytest.mark.parametrize(("size", "reads", "found"), [(10, [100, 1000, 1000, 900], 3000), (410, [100, 144], 244)])
def test_no_more_is_read_than_may_be_remembered(size: int, reads: list[int], found: int) -> None:
    shelf: Any = Shelf(size)
    feed: Any = SimpleNamespace(touches=lambda *_: [Touch(at(second), "I", second) for second in range(1, 3001)])
    limits = SimpleNamespace(stream_history=10_000, stream_history_bytes=100_000, database_timeout=5.0)

    stretch = inserted(feed, shelf, at(0), at(3001), limits, lambda seq, raw: (raw["_id"], raw["size"]))

    assert shelf.reads == reads
    assert [item for _, item, _ in stretch.entries] == list(range(1, found + 1))
    assert at(found) <= stretch.end
