"""Views: what a change does to the rows, found through the index, and kept for those who come back."""

from __future__ import annotations

import json
import random
from collections.abc import Hashable
from typing import Any

import mongoengine as me
import pytest
from wsflask.live.history import History

from wsflask.access import ALL, Access, Condition, Exposure, Scope
from wsflask.encoding import dumps
from wsflask.feed.base import Change
from wsflask.live.catalog import Right, parse_catalog
from wsflask.live.index import ViewIndex
from wsflask.live.keys import row_key
from wsflask.live.references import References
from wsflask.live.view import Emission, Query, View, digest
from wsflask.protocol.messages import Message


class Order(me.Document):
    status = me.StringField(db_field="s")
    total = me.IntField()
    owner = me.StringField()
    tags = me.ListField(me.StringField())
    note = me.StringField()
    meta = {"collection": "view_order"}


EXPOSED = Exposure(Order, fields=("status", "total", "tags"), hidden=("note",))
OPEN = Condition("s", "==", "open")
MINE = Access([Scope([Condition("owner", "==", "ann")])])
NONE = References()


def query(*conditions: Condition, access: Access = ALL, catalog: Any = None) -> Query:
    right = Right(EXPOSED, access, EXPOSED.visible(show_hidden=False))
    return Query(EXPOSED, Scope(conditions), access, parse_catalog(catalog, right, lambda _: None))


def loaded(asked: Query, *documents: dict[str, Any]) -> View:
    view = View(asked, "v")
    view.begin_load()
    view.finish_load({row_key(document["_id"]): row_of(asked, document) for document in documents})
    return view


def row_of(asked: Query, document: dict[str, Any]) -> bytes:
    return dumps(asked.projection.row(document, NONE))


def change(op: str, identity: Any, document: dict[str, Any] | None = None, seq: str = "2") -> Change:
    whole = None if document is None else {"_id": identity, **document}
    return Change(seq, op, "view_order", identity, whole)


def told(emission: Emission | None) -> Any:
    return None if emission is None else (emission.op, json.loads(emission.body))


def row(identity: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": identity, "status": None, "total": None, "tags": None, **fields}


# --- transitions


def test_a_document_that_is_inserted_into_the_scope_is_sent_whole() -> None:
    view = loaded(query(OPEN))

    assert told(view.apply(change("I", 1, {"s": "open", "total": 5}))) == ("I", row(1, status="open", total=5))
    assert 1 in view


@pytest.mark.parametrize("op", ["I", "U"])
def test_a_document_that_comes_into_the_scope_is_an_insert(op: str) -> None:
    assert told(loaded(query(OPEN)).apply(change(op, 1, {"s": "open"}))) == ("I", row(1, status="open"))


def test_a_row_that_changes_is_sent_whole() -> None:
    view = loaded(query(OPEN), {"_id": 1, "s": "open", "total": 5})

    assert told(view.apply(change("U", 1, {"s": "open", "total": 6}))) == ("U", row(1, status="open", total=6))


def test_a_row_that_leaves_the_scope_is_removed_by_its_id_only() -> None:
    """The older system sent nothing, and the client kept the row for ever."""
    view = loaded(query(OPEN), {"_id": 1, "s": "open"})

    assert told(view.apply(change("U", 1, {"s": "closed", "total": 9}))) == ("R", {"_id": 1})
    assert told(view.apply(change("U", 1, {"s": "closed", "total": 10}))) is None


def test_a_row_that_may_not_be_read_any_more_is_removed_by_its_id_only() -> None:
    view = loaded(query(access=MINE), {"_id": 1, "owner": "ann"})

    assert told(view.apply(change("U", 1, {"owner": "ben"}))) == ("R", {"_id": 1})
    assert 1 not in view


def test_a_row_that_is_deleted_is_told_by_its_id_or_by_its_last_state() -> None:
    for image, sent in ((None, {"_id": 1}), ({"s": "open"}, row(1, status="open")), ({"s": "closed"}, {"_id": 1})):
        view = loaded(query(OPEN), {"_id": 1, "s": "open"})
        assert told(view.apply(change("D", 1, image))) == ("D", sent)
        assert told(view.apply(change("D", 1, image))) is None


def test_the_delete_of_a_document_that_one_never_saw_sends_nothing() -> None:
    view = loaded(query(OPEN), {"_id": 1, "s": "open"})

    assert told(view.apply(change("D", 2))) is None
    assert told(view.apply(change("D", 2, {"s": "open"}))) is None


def test_a_change_to_fields_that_are_not_shown_sends_nothing() -> None:
    view = loaded(query(OPEN, catalog={"total": None}), {"_id": 1, "s": "open", "total": 5})

    for hidden in ({"note": "secret"}, {"owner": "ben"}, {"tags": ["x"]}, {"undeclared": 1}):
        assert told(view.apply(change("U", 1, {"s": "open", "total": 5, **hidden}))) is None
    assert told(view.apply(change("U", 1, {"s": "open", "total": 6, "note": "x"}))) == ("U", {"_id": 1, "total": 6})


def test_two_databases_that_differ_in_hidden_fields_only_send_the_same_bytes() -> None:
    """Random changes; the second database writes hidden fields too, at random and also on their own."""
    chance = random.Random(7)
    for _ in range(50):
        streams: tuple[list[Emission], list[Emission]] = ([], [])
        views = [loaded(query(OPEN), {"_id": 1, "s": "open"}) for _ in streams]
        stored: dict[int, dict[str, Any]] = {1: {"s": "open"}}

        def write(which: int, met: Change, views: Any = views, streams: Any = streams) -> None:
            emission = views[which].apply(met)
            if emission is not None:
                streams[which].append(emission)

        for _ in range(40):
            identity, op = chance.randrange(3), chance.choice("IUUUD")
            visible = {"s": chance.choice(["open", "closed"]), "total": chance.randrange(2)}
            if op == "D":
                stored.pop(identity, None)
            else:
                stored[identity] = visible
            write(0, change(op, identity, stored.get(identity)))
            for hidden in [chance.random() for _ in range(chance.randrange(3))] or [0.5]:
                known = stored.get(identity)
                write(1, change(op, identity, known and {**known, "note": hidden, "owner": str(hidden)}))
                op = "U" if op == "I" else op
        assert streams[0] == streams[1]


# --- load and follow


def test_what_changes_while_the_query_runs_counts_in_its_result() -> None:
    view = View(query(OPEN), "v")
    view.begin_load()
    for met in (
        change("U", 1, {"s": "closed"}),
        change("U", 2, {"s": "open", "total": 2}),
        change("I", 3, {"s": "open"}),
        change("D", 4),
    ):
        assert view.apply(met) is None

    asked = view.query
    stale: dict[Hashable, bytes] = {
        number: row_of(asked, {"_id": number, "s": "open", "total": 1}) for number in (1, 2, 4, 5)
    }
    rows = [json.loads(found) for found in view.finish_load(stale)]

    assert sorted(rows, key=lambda found: found["_id"]) == [
        row(2, status="open", total=2),
        row(3, status="open"),
        row(5, status="open", total=1),
    ]
    assert {2, 3, 5} == set(view.members())


def test_a_later_load_that_reads_ahead_of_the_feed_is_made_good_by_the_feed() -> None:
    """Who loads later may see a document newer than the feed has told the others."""
    asked = query(OPEN)
    view = loaded(asked, {"_id": 1, "s": "open", "total": 1})
    view.begin_load()
    ahead: dict[Hashable, bytes] = {
        1: row_of(asked, {"_id": 1, "s": "open", "total": 3}),
        2: row_of(asked, {"_id": 2, "s": "open", "total": 1}),
    }
    view.finish_load(ahead)

    # The first change back to what the others have has to be sent: one has total 3.
    assert told(view.apply(change("U", 1, {"s": "open", "total": 1}))) == ("U", row(1, status="open", total=1))
    assert told(view.apply(change("U", 1, {"s": "open", "total": 1}))) is None
    # The others do not have 2 yet, but who loaded has: that it goes has to be told.
    assert told(view.apply(change("I", 2, {"s": "open", "total": 1}))) == ("I", row(2, status="open", total=1))
    assert told(view.apply(change("U", 2, {"s": "closed"}))) == ("R", {"_id": 2})


def test_a_later_load_that_misses_a_row_which_comes_back_is_made_good_by_the_feed() -> None:
    """A document leaves the scope, is not in the load, and returns before the feed has looked it up."""
    view = loaded(query(OPEN), {"_id": 1, "s": "open"})
    view.begin_load()
    view.finish_load({})

    assert told(view.apply(change("U", 1, {"s": "open"}))) == ("U", row(1, status="open"))
    assert told(view.apply(change("U", 1, {"s": "open"}))) is None


# --- names


def test_equal_queries_of_equal_rights_have_equal_names_that_tell_nothing() -> None:
    one = query(OPEN, Condition("total", ">", 5), access=MINE, catalog={"status": None, "total": None})
    other = query(Condition("total", ">", 5.0), OPEN, access=MINE, catalog={"total": True, "status": None, "x": None})
    different = query(OPEN, access=MINE)

    assert one.key == other.key
    assert one.name(b"secret") == other.name(b"secret")
    assert len({one.name(b"secret"), one.name(b"another"), different.name(b"secret")}) == 3
    assert len(one.name(b"secret")) == 16


def test_ids_are_told_apart_as_mongodb_does() -> None:
    assert row_key(1) == row_key(1.0)
    assert len({row_key(1), row_key(True), row_key("1"), row_key({"a": 1}), row_key({"a": 2})}) == 5


# --- the index


class Found:
    """An index whose views are checked against all of them being asked."""

    def __init__(self, views: list[View]) -> None:
        self.index = ViewIndex()
        for view in views:
            self.index.add(view)

    def apply(self, met: Change) -> dict[str, Any]:
        sent = {}
        for view in self.index.candidates(met):
            emission = self.index.apply(view, met, NONE)
            if emission is not None:
                sent[view.key] = told(emission)
        return sent


def test_a_change_asks_only_the_views_that_it_can_touch() -> None:
    views = [loaded(query(Condition("s", "==", str(number)))) for number in range(1000)]
    found = Found(views)

    assert found.index.candidates(change("U", 1, {"s": "7"})) == [views[7]]
    found.apply(change("U", 1, {"s": "7"}))
    assert set(found.index.candidates(change("U", 1, {"s": "8"}))) == {views[7], views[8]}
    assert found.index.candidates(change("D", 1)) == [views[7]]
    assert found.index.candidates(change("D", 2)) == []


def test_the_index_finds_every_view_that_a_change_touches() -> None:
    """Random views and changes, against the same views asked one by one."""
    chance = random.Random(3)
    conditions = [
        OPEN,
        Condition("s", "in", ["open", None, 5]),
        Condition("s", "==", None),
        Condition("s", "!=", "open"),
        Condition("total", "==", 1.0),
        Condition("total", ">", 1),
        Condition("tags", "==", "a"),
        Condition("tags", "in", ["a", "b"]),
        Condition("total", "in", []),
    ]
    rights = [ALL, MINE, Access([Scope([OPEN]), Scope([Condition("total", ">", 3)])])]
    queries = {}
    for _ in range(60):
        asked = query(*chance.sample(conditions, chance.choice([0, 1, 2])), access=chance.choice(rights))
        queries[asked.key] = asked
    found = Found([loaded(asked) for asked in queries.values()])
    asked_each = [loaded(asked) for asked in queries.values()]

    for _ in range(2000):
        document = {
            "s": chance.choice(["open", "closed", None, 5]),
            "total": chance.choice([1, 1.0, 2, 5, "1"]),
            "owner": chance.choice(["ann", "ben"]),
            "tags": chance.choice([[], ["a"], ["b", "c"], "a", None]),
        }
        for field in chance.sample(sorted(document), chance.choice([0, 1])):
            del document[field]
        op = chance.choice("IUUD")
        met = change(op, chance.randrange(10), None if op == "D" else document)
        expected = {view.key: told(emission) for view in asked_each if (emission := view.apply(met)) is not None}
        assert found.apply(met) == expected


def test_a_view_that_loads_hears_of_every_change_of_its_collection() -> None:
    """What its query saw may have left the scope meanwhile: no value and no row would lead from it to the view."""
    asked = query(OPEN)
    view = View(asked, "v")
    found = Found([view])
    found.index.begin_load(view)

    found.apply(change("U", 1, {"s": "closed"}))
    found.apply(change("D", 2))
    stale: dict[Hashable, bytes] = {number: row_of(asked, {"_id": number, "s": "open"}) for number in (1, 2, 3)}
    assert [json.loads(one)["_id"] for one in found.index.finish_load(view, stale)] == [3]
    assert found.index.candidates(change("D", 2)) == []


def test_a_view_that_is_removed_leaves_nothing_in_the_index() -> None:
    views = [loaded(query(OPEN)), loaded(query(Condition("total", ">", 1))), loaded(query(access=MINE))]
    found = Found(views)
    for number in range(5):
        found.apply(change("I", number, {"s": "open", "total": 5, "owner": "ann"}))
    assert [len(view.members()) for view in views] == [5, 5, 5]

    for view in views:
        found.index.remove(view)
    assert len(found.index) == 0
    assert vars(found.index) == {"_by_key": {}, "_collections": {}}


# --- history


def message(number: int, size: int = 1) -> Message:
    return Message("documents", payload_json=b"%d" % number * size)


def test_who_comes_back_gets_exactly_what_was_missed() -> None:
    history = History(10, 1000)
    history.begin("3")
    sent = [message(number) for number in range(4, 8)]
    for number, one in enumerate(sent, 4):
        history.add(str(number), one)

    assert history.since("3", "7") == sent
    assert history.since("5", "7") == sent[2:]
    assert history.since("7", "9") == []
    assert history.since("8", "9") == []


@pytest.mark.parametrize("start_seq", ["", "2", "99", "zzzz"])
def test_who_cannot_be_told_what_was_missed_is_not_resumed(start_seq: str) -> None:
    history = History(10, 1000)
    history.begin("3")
    history.add("5", message(5))

    assert history.since(start_seq, "7") is None


@pytest.mark.parametrize("history", [History(2, 1000), History(100, 2)])
def test_a_history_is_bounded_and_knows_from_where_it_is_whole(history: History) -> None:
    history.begin("1")
    sent = [message(number) for number in range(2, 6)]
    for number, one in enumerate(sent, 2):
        history.add(str(number), one)

    assert history.since("3", "5") == sent[2:]
    assert history.since("2", "5") is None


def test_only_the_last_row_of_a_load_can_be_resumed_from() -> None:
    view = loaded(query(OPEN), {"_id": 1, "s": "open"})
    view.advance("7")
    messages = view.load_messages([b'{"_id":1}', b'{"_id":2}'])

    payloads = [json.loads(one.payload_json) for one in messages]
    assert [payload["seq"] for payload in payloads] == ["", "7"]
    assert payloads[0] == {
        "doc_class": "Order", "op": "L", "seq": "", "view": "v", "message": {"_id": 1},
    }  # fmt: skip


def test_a_digest_is_short_and_tells_rows_apart() -> None:
    assert len(digest(b"a")) == 8
    assert digest(b"a") != digest(b"b")
