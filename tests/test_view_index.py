"""Which views a change can touch: all that it does touch, and few others."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live_world import ANNS, COLLECTION, NONE, OPEN, query
from wsflask.access import ALL, Access, Condition, Scope
from wsflask.feed.base import Change
from wsflask.live.index import ViewIndex
from wsflask.live.keys import row_key
from wsflask.live.rows import RowsView
from wsflask.live.view import Loaded, Query, View, row_of
from wsflask.live.window import WindowView


def view_of(asked: Query) -> View:
    """Return a loaded view without rows."""
    view = (RowsView if asked.order is None else WindowView)(asked, "v")
    view.begin_load()
    view.finish_load(Loaded({}))
    return view


def index_of(*views: View) -> ViewIndex:
    index = ViewIndex()
    for view in views:
        index.add(view)
    return index


def change(op: str, identity: Any, document: dict[str, Any] | None = None) -> Change:
    return Change("2", op, COLLECTION, identity, None if document is None else {"_id": identity, **document})


def apply(index: ViewIndex, met: Change) -> dict[str, Any]:
    """Return what the subscribers of each view are told."""
    told = {}
    for view in index.candidates(met):
        emissions = index.apply(view, met, NONE)
        if emissions:
            told[view.key] = emissions
    return told


conditions = st.one_of(
    st.builds(
        Condition,
        st.sampled_from(["status", "owner", "address.city", "items.kind"]),
        st.sampled_from(["==", "!=", "<", ">=", "=="]),
        st.sampled_from(["open", "shut", "Rome", "ann"]),
    ),
    st.builds(Condition, st.sampled_from(["status", "address.city"]), st.just("=="), st.none()),
    st.builds(
        Condition,
        st.sampled_from(["status", "items.kind", "items.0.kind", "total"]),
        st.just("in"),
        st.lists(st.sampled_from(["open", "Rome", None, 1, 2.0]), max_size=3),
    ),
    st.builds(Condition, st.just("total"), st.sampled_from(["==", "<", "<=", ">", ">="]), st.sampled_from([1, 1.0, 2])),
)
scopes = st.lists(conditions, max_size=2).map(Scope)
rights = st.one_of(st.just(ALL), st.just(Access()), st.builds(Access, st.lists(scopes, min_size=1, max_size=2)))
queries = st.builds(
    lambda scope, access, order: query(*scope.conditions, access=access, order=order, limit=2 if order else 0),
    scopes,
    rights,
    st.sampled_from(["", "", "total"]),
)
values = st.sampled_from(["open", "shut", "Rome", "ann", None, 1, 2])
optional: dict[str, Any] = {
    "status": st.one_of(values, st.lists(values, max_size=2)),
    "owner": values,
    "total": st.sampled_from([1, 1.0, 2, 3, "1"]),
    "address": st.one_of(st.fixed_dictionaries({}, optional={"city": values}), values),
    "items": st.lists(st.fixed_dictionaries({}, optional={"kind": values}), max_size=2),
}
documents = st.one_of(st.none(), st.fixed_dictionaries({}, optional=optional))
changes = st.tuples(st.sampled_from("IUUD"), st.integers(0, 3), documents).map(lambda parts: change(*parts))


@settings(max_examples=150, deadline=None)
@given(st.lists(queries, min_size=1, max_size=12), st.lists(changes, max_size=25))
def test_every_view_that_a_change_touches_is_found(asked: list[Query], met: list[Change]) -> None:
    """Against the same views asked one by one."""
    by_key = {one.key: one for one in asked}
    index = index_of(*(view_of(one) for one in by_key.values()))
    asked_each = [view_of(one) for one in by_key.values()]

    for one in met:
        expected = {view.key: emissions for view in asked_each if (emissions := view.apply(one))}
        assert apply(index, one) == expected
    assert index.rows == sum(len(view) for view in asked_each)
    for view in index:
        index.remove(view)
    assert (len(index), vars(index)) == (0, vars(ViewIndex()))


def test_a_change_asks_only_the_views_that_it_can_touch() -> None:
    views = [view_of(query(Condition("status", "==", str(number)))) for number in range(1000)]
    index = index_of(*views)

    assert index.candidates(change("U", 1, {"status": "7"})) == [views[7]]
    apply(index, change("U", 1, {"status": "7"}))
    assert set(index.candidates(change("U", 1, {"status": "8"}))) == {views[7], views[8]}
    assert index.candidates(change("D", 1)) == [views[7]]
    assert index.candidates(change("D", 2)) == []


def test_views_are_found_by_what_is_in_dotted_paths() -> None:
    romans, others = view_of(query(Condition("address.city", "==", "Rome"))), view_of(query(OPEN))
    index = index_of(romans, others)

    assert index.candidates(change("I", 1, {"address": {"city": "Rome"}})) == [romans]
    assert index.candidates(change("I", 1, {"address": {"city": "Oslo"}})) == []


def test_a_right_with_one_way_leads_to_its_views_too() -> None:
    hers, all_of_it = view_of(query(access=ANNS)), view_of(query())
    index = index_of(hers, all_of_it)

    assert index.candidates(change("I", 1, {"owner": "ben"})) == [all_of_it]
    assert set(index.candidates(change("I", 1, {"owner": "ann"}))) == {hers, all_of_it}


def test_a_view_that_loads_hears_of_every_change_of_its_collection() -> None:
    """What its query saw may have left the scope meanwhile: no value and no row would lead from it to the view."""
    asked = query(OPEN)
    view = RowsView(asked, "v")
    index = index_of(view)
    index.begin_load(view)

    apply(index, change("U", 1, {"status": "closed"}))
    apply(index, change("D", 2))
    found = Loaded({row_key(key): row_of(asked, {"_id": key, "status": "open"}, NONE) for key in (1, 2, 3)})
    index.finish_load(view, found)
    assert [json.loads(row.body)["_id"] for row in found.rows.values()] == [3]
    assert index.candidates(change("D", 2)) == []
    assert index.candidates(change("D", 3)) == [view]


def test_a_load_that_is_given_up_leaves_the_view_as_it_was() -> None:
    view = view_of(query(OPEN))
    index = index_of(view)
    apply(index, change("I", 1, {"status": "open"}))
    index.begin_load(view)
    index.abandon_load(view)

    assert index.candidates(change("U", 2, {"status": "closed"})) == []
    assert index.candidates(change("D", 1)) == [view]


def test_a_view_that_is_lost_is_found_by_none_of_its_rows() -> None:
    view = view_of(query(OPEN))
    index = index_of(view)
    apply(index, change("I", 1, {"status": "open"}))
    index.lose(view)

    assert index.rows == 0
    assert index.candidates(change("D", 1)) == []
    index.remove(view)
    index.lose(view)  # it is gone already
    assert len(index) == 0


def test_other_collections_are_not_asked() -> None:
    index = index_of(view_of(query()))

    assert index.candidates(Change("2", "U", "others", 1, {"_id": 1})) == []
