"""Windows: the first rows in an order, told so that a client who does as it is told has them in that order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live_world import COLLECTION, NONE, OPEN, query, rows_of
from wsflask.feed.base import Change
from wsflask.live.index import ViewIndex
from wsflask.live.keys import row_key
from wsflask.live.view import Emission, Loaded
from wsflask.live.window import WindowView, slack_of

IDS = 25


class Table:
    """Documents, one window over them that hears of each change at once, and a client of the window."""

    def __init__(self, limit: int, order: str, documents: dict[int, dict[str, Any]]) -> None:
        self.documents = documents
        self.query = query(OPEN, order=order, limit=limit)
        self.view = WindowView(self.query, "v")
        self.index = ViewIndex()
        self.index.add(self.view)
        self.shown: list[Any] = []
        self._found: Loaded | None = None
        self.begin_load()
        self.finish_load()
        self.shown = [json.loads(row.body) for row in self.view.held.rows.values()] if self.view.held else []

    # --- the database

    def write(self, identity: int, document: dict[str, Any] | None) -> list[Emission]:
        """Write or delete a document; the window and the client hear of it."""
        op = "D" if document is None else "U" if identity in self.documents else "I"
        whole = None if document is None else {"_id": identity, **document}
        self.documents.pop(identity, None)
        if whole is not None:
            self.documents[identity] = whole
        change = Change("1", op, COLLECTION, identity, whole)
        told = [emission for view in self.index.candidates(change) for emission in self.index.apply(view, change, NONE)]
        self.tell(told)
        return told

    def begin_load(self) -> None:
        """Have a query see what is there now."""
        if not self.view.is_loading:
            rows = rows_of(self.query, self.documents)
            most = self.query.limit + slack_of(self.query.limit)
            self.index.begin_load(self.view)
            self._found = Loaded(dict(list(rows.items())[:most]), "", len(rows) < most)

    def finish_load(self) -> None:
        """Have the window take over what the query saw."""
        if self.view.is_loading and self._found is not None:
            self.tell(self.index.finish_load(self.view, self._found))

    # --- the client

    def tell(self, emissions: list[Emission]) -> None:
        """Do what a client does with the messages."""
        for emission in emissions:
            row = json.loads(emission.body)
            self.shown = [one for one in self.shown if one["_id"] != row["_id"]]
            if emission.op in "RD":
                continue
            assert emission.after is not None
            front = json.loads(emission.after)
            self.shown.insert(0 if front is None else [one["_id"] for one in self.shown].index(front) + 1, row)

    def check(self) -> None:
        first = [json.loads(row.body) for row in rows_of(self.query, self.documents).values()][: self.query.limit]
        if self.view.needs_rows:
            assert self.shown == first[: len(self.shown)]
            assert len(self.shown) == len(self.view)
        else:
            assert self.shown == first
        assert len(self.view) <= self.query.limit + slack_of(self.query.limit)
        assert self.index.rows == len(self.view)


documents = st.fixed_dictionaries(
    {"status": st.sampled_from(["open", "open", "open", "shut"]), "total": st.integers(0, 3)}
)
#: From empty ones to those with more documents than a window holds.
tables = st.lists(documents, max_size=IDS).map(
    lambda found: {identity: {"_id": identity, **document} for identity, document in enumerate(found)}
)
full_tables = st.lists(st.integers(0, 3), min_size=IDS, max_size=IDS).map(
    lambda totals: {identity: {"_id": identity, "status": "open", "total": one} for identity, one in enumerate(totals)}
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, IDS - 1), documents),
        st.tuples(st.just("delete"), st.integers(0, IDS - 1), st.none()),
        st.tuples(st.sampled_from(["begin", "finish"]), st.none(), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.sampled_from(["total", "-total", "total -status"]), tables | full_tables, steps)
def test_whatever_changes_the_client_shows_the_first_rows(
    limit: int, order: str, found: dict[int, dict[str, Any]], actions: list[Any]
) -> None:
    table = Table(limit, order, found)
    table.check()
    for action, identity, document in actions:
        if action == "begin":
            table.begin_load()
        elif action == "finish":
            table.finish_load()
        else:
            table.write(identity, document)
        table.check()

    table.finish_load()
    if table.view.needs_rows:
        table.begin_load()
        table.finish_load()
    assert not table.view.needs_rows
    table.check()
    table.index.remove(table.view)
    assert (table.index.rows, vars(table.index)) == (0, vars(ViewIndex()))


# --- one by one


def table_of(*totals: int, limit: int = 2) -> Table:
    found = {number: {"_id": number, "status": "open", "total": total} for number, total in enumerate(totals, 1)}
    return Table(limit, "total", found)


def told(emissions: list[Emission]) -> list[Any]:
    return [
        (emission.op, json.loads(emission.body)["_id"], *([json.loads(emission.after)] if emission.after else []))
        for emission in emissions
    ]


def opened(total: int) -> dict[str, Any]:
    return {"status": "open", "total": total}


def test_a_row_that_comes_in_pushes_the_last_one_out() -> None:
    table = table_of(10, 20, 30)

    assert told(table.write(4, opened(15))) == [("R", 2), ("I", 4, 1)]
    assert told(table.write(5, opened(5))) == [("R", 4), ("I", 5, None)]


def test_a_row_that_leaves_lets_the_next_one_move_up() -> None:
    table = table_of(10, 20, 30)

    assert told(table.write(1, None)) == [("D", 1), ("I", 3, 2)]
    assert told(table.write(2, {"status": "shut", "total": 20})) == [("R", 2)]
    assert told(table.write(3, opened(31))) == [("U", 3, None)]


def test_a_row_that_moves_is_told_with_the_one_in_front() -> None:
    table = table_of(10, 20, 30, limit=3)

    assert told(table.write(1, opened(25))) == [("U", 1, 2)]
    assert told(table.write(3, opened(1))) == [("U", 3, None)]
    assert told(table.write(3, opened(1))) == []


def test_a_row_that_moves_behind_the_last_one_seen_is_removed() -> None:
    table = table_of(10, 20, 30)

    assert told(table.write(1, opened(40))) == [("R", 1), ("I", 3, 2)]


def test_a_change_behind_the_limit_sends_nothing() -> None:
    table = table_of(10, 20, 30, 40)

    assert told(table.write(3, opened(35))) == []
    assert told(table.write(4, None)) == []
    assert told(table.write(5, opened(50))) == []


def test_a_window_asks_for_rows_only_when_too_many_have_left() -> None:
    table = table_of(*range(20), limit=1)

    for identity in range(1, 11):
        table.write(identity, None)
        assert not table.view.needs_rows
    table.write(11, None)
    assert table.view.needs_rows
    assert table.view.held is None
    table.begin_load()
    table.finish_load()
    assert table.shown == [{"_id": 12, "status": "open", "total": 11, "owner": None}]


def test_what_sorts_behind_the_last_row_held_is_left_to_the_query() -> None:
    table = table_of(*range(20), limit=1)
    for identity in range(1, 7):
        table.write(identity, None)

    assert list(table.view.members()) == [row_key(identity) for identity in range(7, 12)]
    assert told(table.write(99, opened(15))) == []
    assert 99 not in table.view
    table.begin_load()
    table.write(98, opened(100))
    table.write(8, None)
    table.finish_load()
    assert 98 not in table.view
    assert 99 in table.view


def test_the_last_row_that_is_held_may_change_and_stays() -> None:
    table = table_of(*range(20), limit=1)
    for identity in range(1, 11):
        table.write(identity, None)

    assert len(table.view) == 1
    table.documents[11]["owner"] = "ben"
    assert told(table.write(11, {"status": "open", "total": 10, "owner": "ann"})) == [("U", 11, None)]
    assert not table.view.needs_rows


def test_a_window_that_is_lost_holds_nothing() -> None:
    table = table_of(10, 20)
    table.index.lose(table.view)

    assert (len(table.view), list(table.view.members()), table.view.held) == (0, [], None)
    assert table.index.rows == 0


@pytest.mark.parametrize(("limit", "slack"), [(1, 10), (20, 10), (21, 10), (50, 25), (1000, 500)])
def test_half_as_many_rows_again_are_held_and_at_least_ten(limit: int, slack: int) -> None:
    assert slack_of(limit) == slack


def test_keys_of_rows_are_those_of_their_documents() -> None:
    assert list(table_of(10, 20).view.members()) == [row_key(1), row_key(2)]
