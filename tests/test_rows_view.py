"""Views without an order: what a change does to the rows, and how a load and the feed make one picture."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.live_world import ANNS, COLLECTION, NONE, OPEN, query
from wsflask.access import Condition
from wsflask.feed.base import Change
from wsflask.live.keys import row_key
from wsflask.live.rows import RowsView
from wsflask.live.view import Emission, Loaded, Query, digest, row_of


def loaded(*documents: dict[str, Any], position: str = "1") -> Loaded:
    return Loaded({row_key(one["_id"]): row_of(query(), one, NONE) for one in documents}, position)


def view_of(asked: Query, *documents: dict[str, Any]) -> RowsView:
    view = RowsView(asked, "v")
    view.begin_load()
    view.finish_load(Loaded({row_key(one["_id"]): row_of(asked, one, NONE) for one in documents}, "1"))
    return view


def change(op: str, identity: Any, document: dict[str, Any] | None = None, seq: str = "2") -> Change:
    return Change(seq, op, COLLECTION, identity, None if document is None else {"_id": identity, **document})


def told(emissions: list[Emission]) -> Any:
    """Return what subscribers are told; a change of one document is told in one message at most."""
    assert len(emissions) <= 1
    return (emissions[0].op, json.loads(emissions[0].body)) if emissions else None


def row(identity: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": identity, "status": None, "total": None, "owner": None, **fields}


# --- a change


@pytest.mark.parametrize("op", ["I", "U"])
def test_a_document_that_comes_into_the_scope_is_an_insert(op: str) -> None:
    view = view_of(query(OPEN))

    assert told(view.apply(change(op, 1, {"status": "open", "total": 5}))) == ("I", row(1, status="open", total=5))
    assert 1 in view
    assert len(view) == 1


def test_a_row_that_changes_is_sent_whole() -> None:
    view = view_of(query(OPEN), {"_id": 1, "status": "open", "total": 5})

    assert told(view.apply(change("U", 1, {"status": "open", "total": 6}))) == ("U", row(1, status="open", total=6))


def test_a_row_that_leaves_the_scope_is_removed_by_its_id_only() -> None:
    view = view_of(query(OPEN), {"_id": 1, "status": "open"})

    assert told(view.apply(change("U", 1, {"status": "closed", "total": 9}))) == ("R", {"_id": 1})
    assert told(view.apply(change("U", 1, {"status": "closed", "total": 10}))) is None


def test_a_row_that_may_not_be_read_any_more_is_removed_by_its_id_only() -> None:
    view = view_of(query(access=ANNS), {"_id": 1, "owner": "ann"})

    assert told(view.apply(change("U", 1, {"owner": "ben"}))) == ("R", {"_id": 1})
    assert 1 not in view


@pytest.mark.parametrize(
    ("image", "sent"),
    [(None, {"_id": 1}), ({"status": "open"}, row(1, status="open")), ({"status": "closed"}, {"_id": 1})],
)
def test_a_row_that_is_deleted_is_told_by_its_id_or_by_its_last_state(image: Any, sent: Any) -> None:
    view = view_of(query(OPEN), {"_id": 1, "status": "open"})

    assert told(view.apply(change("D", 1, image))) == ("D", sent)
    assert told(view.apply(change("D", 1, image))) is None


def test_the_delete_of_a_document_that_one_never_saw_sends_nothing() -> None:
    view = view_of(query(OPEN), {"_id": 1, "status": "open"})

    assert told(view.apply(change("D", 2))) is None
    assert told(view.apply(change("D", 2, {"status": "open"}))) is None


def test_an_update_whose_document_is_gone_already_removes_the_row() -> None:
    view = view_of(query(OPEN), {"_id": 1, "status": "open"})

    assert told(view.apply(change("U", 1))) == ("R", {"_id": 1})
    assert told(view.apply(change("D", 1, seq="3"))) is None


def test_a_change_to_fields_that_are_not_shown_sends_nothing() -> None:
    view = view_of(query(OPEN, catalog={"total": None}), {"_id": 1, "status": "open", "total": 5})

    for hidden in ({"note": "secret"}, {"owner": "ben"}, {"undeclared": 1}):
        assert told(view.apply(change("U", 1, {"status": "open", "total": 5, **hidden}))) is None
    met = change("U", 1, {"status": "open", "total": 6, "note": "x"})
    assert told(view.apply(met)) == ("U", {"_id": 1, "total": 6})


def test_two_databases_that_differ_in_hidden_fields_only_send_the_same_bytes() -> None:
    """Random changes; the second database writes hidden fields too, at random and also on their own."""
    chance = random.Random(7)
    for _ in range(50):
        streams: tuple[list[Emission], list[Emission]] = ([], [])
        views = [view_of(query(OPEN), {"_id": 1, "status": "open"}) for _ in streams]
        stored: dict[int, dict[str, Any]] = {1: {"status": "open"}}
        for _ in range(40):
            identity, op = chance.randrange(3), chance.choice("IUUUD")
            if op == "D":
                stored.pop(identity, None)
            else:
                stored[identity] = {"status": chance.choice(["open", "closed"]), "total": chance.randrange(2)}
            known = stored.get(identity)
            streams[0].extend(views[0].apply(change(op, identity, known)))
            for _ in range(chance.choice([1, 1, 2, 3])):
                secret = known and {**known, "note": chance.random(), "other": chance.random()}
                streams[1].extend(views[1].apply(change(op, identity, secret)))
                op = "U" if op == "I" else op

        assert streams[0] == streams[1]


# --- a load


def test_what_changes_while_the_query_runs_counts_in_its_result() -> None:
    view, asked = RowsView(query(OPEN), "v"), query(OPEN)
    view.begin_load()
    for met in (
        change("U", 1, {"status": "closed"}),
        change("U", 2, {"status": "open", "total": 2}),
        change("I", 3, {"status": "open"}),
        change("D", 4),
    ):
        assert view.apply(met) == []
    assert view.touched == 4

    stale = ({"_id": key, "status": "open", "total": 1} for key in (1, 2, 4, 5))
    found = Loaded({row_key(one["_id"]): row_of(asked, one, NONE) for one in stale}, "1")
    assert view.finish_load(found) == []
    assert sorted((json.loads(one.body) for one in found.rows.values()), key=lambda one: int(one["_id"])) == [
        row(2, status="open", total=2),
        row(3, status="open"),
        row(5, status="open", total=1),
    ]
    assert {2, 3, 5} == set(view.members())
    assert not view.is_loading


def test_a_change_before_the_moment_of_the_query_is_in_its_result_already() -> None:
    """The feed may come to it while the query runs, with a document that is older or newer than the query's."""
    moment = f"{7:020d}"
    view = RowsView(query(), "v")
    view.begin_load()
    view.apply(change("U", 1, {"total": 1}, seq=moment))
    view.apply(change("D", 2, seq=f"{moment}.0001"))
    view.apply(change("U", 3, {"total": 3}, seq=f"{8:020d}"))

    found = loaded({"_id": 1, "total": 9}, {"_id": 2, "total": 9}, {"_id": 3, "total": 9}, position=moment)
    view.finish_load(found)
    assert {key: json.loads(one.body)["total"] for key, one in found.rows.items()} == {1: 9, 2: 9, 3: 3}


def test_a_later_load_that_differs_from_what_the_feed_told_is_made_good_by_the_feed() -> None:
    """The feed looks documents up later than they changed: the others may have a newer row than who loads."""
    view = view_of(query(OPEN), {"_id": 1, "status": "open", "total": 2}, {"_id": 3, "status": "open"})
    view.begin_load()
    view.finish_load(loaded({"_id": 1, "status": "open", "total": 1}, {"_id": 2, "status": "open"}))

    # Who loaded has 1 as it was and 2, and has not 3: the next change of each is told to all.
    assert told(view.apply(change("U", 1, {"status": "open", "total": 2}))) == ("U", row(1, status="open", total=2))
    assert told(view.apply(change("U", 1, {"status": "open", "total": 2}))) is None
    assert told(view.apply(change("U", 2, {"status": "closed"}))) == ("R", {"_id": 2})
    assert told(view.apply(change("U", 3, {"status": "open"}))) == ("U", row(3, status="open"))


def test_digests_tell_only_of_rows_that_all_have() -> None:
    view = view_of(query(), {"_id": 1, "total": 1}, {"_id": 2, "total": 1}, {"_id": 3, "total": 1})
    view.begin_load()
    view.finish_load(loaded({"_id": 1, "total": 1}, {"_id": 2, "total": 2}, {"_id": 4, "total": 1}))

    known = view.digests()
    assert {key for key, one in known.items() if one} == {1}
    assert set(known) == {1, 2, 3, 4}
    assert known[1] == digest(row_of(view.query, {"_id": 1, "total": 1}, NONE).body)


def test_a_view_that_is_lost_has_no_rows_and_takes_none() -> None:
    view = view_of(query(), {"_id": 1, "total": 1})
    view.lose()

    assert (len(view), view.is_loaded, view.held) == (0, False, None)
    assert view.apply(change("U", 1, {"total": 2})) == []
    assert 1 not in view


def test_rows_that_are_held_follow_the_changes_until_they_are_let_go() -> None:
    view = view_of(query(), {"_id": 1, "total": 1}, {"_id": 2, "total": 2})
    view.apply(change("U", 1, {"total": 5}))
    view.apply(change("D", 2))
    view.apply(change("I", 3, {"total": 3}))

    assert view.held is not None
    assert {key: json.loads(one.body)["total"] for key, one in view.held.rows.items()} == {1: 5, 3: 3}
    view.let_go()
    assert view.held is None
    assert view.is_loaded


# --- names


def test_equal_queries_of_equal_rights_have_equal_names_that_tell_nothing() -> None:
    one = query(OPEN, Condition("total", ">", 5), access=ANNS, catalog={"status": None, "total": None})
    other = query(Condition("total", ">", 5.0), OPEN, access=ANNS, catalog={"total": True, "status": None, "x": None})
    different = [query(OPEN, access=ANNS), query(OPEN, order="total", limit=2), query(OPEN, order="total", limit=3)]

    assert one.key == other.key
    assert one.name(b"secret") == other.name(b"secret")
    names = {one.name(b"secret"), one.name(b"another"), *(asked.name(b"secret") for asked in different)}
    assert len(names) == 5
    assert all(len(name) == 16 for name in names)


def test_a_digest_is_short_and_tells_rows_apart() -> None:
    assert len(digest(b"a")) == 8
    assert digest(b"a") != digest(b"b")


# --- messages


def test_a_message_names_class_view_and_position_and_the_row_in_front_in_an_order() -> None:
    view = view_of(query())
    plain = view.message("7", Emission("U", b'{"_id":1}'))
    ordered = view.message("", Emission("I", b'{"_id":1}', b"null"))

    expected = {"doc_class": "Ticket", "op": "U", "seq": "7", "view": "v", "message": {"_id": 1}}
    assert json.loads(plain.payload_json) == expected
    assert json.loads(ordered.payload_json) == {**expected, "op": "I", "seq": "", "after": None}
    assert (plain.seq, ordered.seq) == ("7", None)


def test_notices_tell_of_the_view_as_a_whole() -> None:
    view = view_of(query())
    reset, moved = view.notice("reset", "7", rows=2), view.moved_notice("old", "")

    assert json.loads(reset.payload_json) == {"doc_class": "Ticket", "op": "reset", "seq": "7", "view": "v", "rows": 2}
    assert json.loads(moved.payload_json) == {"doc_class": "Ticket", "op": "moved", "seq": "", "view": "old", "to": "v"}
