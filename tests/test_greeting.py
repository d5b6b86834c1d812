"""What a client is sent first: all rows, or what differs from those it has."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import pytest

from tests.live_world import COLLECTION, NONE, Connection, query
from wsflask.feed.base import Change
from wsflask.live.before import Before, Held, Shown, Unknown
from wsflask.live.greeting import Greeting
from wsflask.live.keys import row_key
from wsflask.live.past import Touch
from wsflask.live.rows import RowsView
from wsflask.live.subscriber import Stage, Subscriber
from wsflask.live.view import Loaded, Query, Row, digest, row_of
from wsflask.live.window import WindowView

CHANGED, NEW = Touch(is_new=False, op="U"), Touch(is_new=True, op="I")


def row(identity: Any, total: int = 1) -> Row:
    return row_of(query(), {"_id": identity, "total": total}, NONE)


def rows(*ids: int) -> dict[Hashable, Row]:
    return {row_key(identity): row(identity) for identity in ids}


def greeted(
    before: Before | None, *ids: int, asked: Query | None = None, position: str = "9", **state: Any
) -> tuple[Subscriber, list[dict[str, Any]]]:
    """Greet a client of a view with these rows; return it, and the messages that wait for it."""
    asked = asked or query()
    view = (RowsView if asked.order is None else WindowView)(asked, "v")
    view.begin_load()
    loaded = Loaded({row_key(key): row_of(asked, {"_id": key, "total": 1}, NONE) for key in ids}, "9")
    view.finish_load(loaded)
    ws: Any = Connection()
    subscriber = Subscriber(ws, view, {})
    for name, value in state.items():
        setattr(subscriber, name, value)
    Greeting(view, loaded, position).greet(subscriber, before)
    return subscriber, [json.loads(message.payload_json) for message in subscriber.outgoing]


def ops(messages: list[dict[str, Any]]) -> list[Any]:
    return [(one["op"], one["message"]["_id"]) if "message" in one else one["op"] for one in messages]


# --- what it has


def test_of_rows_whose_ids_it_tells_a_client_gets_those_that_changed_and_those_it_lacks() -> None:
    before = Held({1: 1, 2: 2, 4: 4}, {2: CHANGED, 3: CHANGED})

    assert [before.op_for(key, row(key)) for key in (1, 2, 3)] == ["", "U", "I"]
    assert [(one.op, one.body) for one in before.gone(rows(1, 2, 3))] == [("R", b'{"_id":4}')]
    assert before.is_enough(rows(1, 2, 3))
    assert not before.has_all(RowsView(query(), "v"))


def test_who_names_rows_that_never_were_is_told_that_they_are_none_like_any_other() -> None:
    before = Held({1: 1, 99: "99"}, {})

    assert [one.body for one in before.gone({})] == [b'{"_id":1}', b'{"_id":"99"}']


def test_of_unknown_rows_what_changed_is_enough_where_nothing_can_have_left() -> None:
    touched: dict[Hashable, Touch] = {1: CHANGED, 2: NEW, 3: NEW}
    before = Unknown(touched, touched)

    assert [before.op_for(key, row(key)) for key in (1, 2, 4)] == ["U", "I", ""]
    assert before.is_enough(rows(1, 2, 4))
    assert not before.is_enough(rows(2, 4))
    assert before.gone(rows(1)) == []


def test_of_unknown_rows_what_may_be_ahead_is_told_again_or_is_not_enough() -> None:
    """The view is ahead of its position where documents were looked up late: a row may have left it early."""
    before = Unknown({2: CHANGED}, {1: NEW, 2: CHANGED})

    assert [before.op_for(key, row(key)) for key in (1, 2, 3)] == ["U", "U", ""]
    assert before.is_enough(rows(1, 2))
    assert not before.is_enough(rows(2))


def test_of_the_rows_of_another_view_what_looks_the_same_stays() -> None:
    before = Shown({1: digest(row(1).body), 2: digest(row(2, total=5).body), 3: b"", 4: digest(row(4).body)})

    assert [before.op_for(key, row(key)) for key in (1, 2, 3, 5)] == ["", "L", "L", "L"]
    assert [(one.op, one.body) for one in before.gone(rows(1, 2, 3))] == [("R", b'{"_id":4}')]


def test_who_has_every_row_as_it_is_needs_no_query() -> None:
    view = RowsView(query(), "v")
    view.begin_load()
    view.finish_load(Loaded(rows(1, 2), "9"))

    assert Shown({**view.digests(), 3: b"other"}).has_all(view)
    assert not Shown({1: view.digests()[1]}).has_all(view)
    view.begin_load()
    view.finish_load(Loaded(rows(1), "9"))  # some have 2, some do not
    assert not Shown(view.digests()).has_all(view)


# --- messages


def test_only_the_last_message_of_a_load_bears_a_position() -> None:
    subscriber, messages = greeted(None, 1, 2, 3)

    assert ops(messages) == [("L", 1), ("L", 2), ("L", 3)]
    assert [one["seq"] for one in messages] == ["", "", "9"]
    assert (subscriber.rows, subscriber.position, subscriber.state) == (3, "", "loaded")
    assert subscriber.stage is Stage.SENDING
    assert not subscriber.is_awaited


def test_where_there_are_no_rows_the_answer_bears_the_position() -> None:
    subscriber, messages = greeted(None)

    assert (messages, subscriber.rows, subscriber.position) == ([], 0, "9")


def test_who_goes_on_stays_at_its_position_until_it_has_all() -> None:
    before = Held({1: 1, 5: 5}, {1: CHANGED})
    subscriber, messages = greeted(before, 1, 2, start_seq="3", held={1: 1, 5: 5})

    assert ops(messages) == [("R", 5), ("U", 1), ("I", 2)]
    assert [one["seq"] for one in messages] == ["3", "3", "9"]
    assert (subscriber.state, subscriber.rows, subscriber.position) == ("resumed", 3, "3")


def test_who_does_not_say_what_it_holds_cannot_go_on_from_the_middle() -> None:
    touched: dict[Hashable, Touch] = {1: CHANGED, 2: NEW}
    subscriber, messages = greeted(Unknown(touched, touched), 1, 2, start_seq="3")

    assert ops(messages) == [("U", 1), ("I", 2)]
    assert [one["seq"] for one in messages] == ["", "9"]
    assert (subscriber.state, subscriber.position) == ("resumed", "")


def test_who_missed_nothing_is_told_the_position() -> None:
    subscriber, messages = greeted(Held({1: 1}, {}), 1, start_seq="3", held={1: 1})

    assert (messages, subscriber.position, subscriber.state) == ([], "9", "resumed")


def test_who_cannot_be_told_what_left_gets_all_rows() -> None:
    touched: dict[Hashable, Touch] = {5: CHANGED}
    subscriber, messages = greeted(Unknown(touched, touched), 1, start_seq="3", state="reset")

    assert ops(messages) == [("L", 1)]
    assert subscriber.state == "reset"


def test_who_has_rows_and_nobody_to_answer_is_told_to_drop_them() -> None:
    subscriber, messages = greeted(None, 1, 2, is_reset=True)

    assert ops(messages) == ["reset", ("L", 1), ("L", 2)]
    assert [one["seq"] for one in messages] == ["", "", "9"]
    assert messages[0]["rows"] == 2
    assert not subscriber.is_reset
    _, messages = greeted(None, is_reset=True)
    assert [(one["op"], one["seq"], one["rows"]) for one in messages] == [("reset", "9", 0)]


def test_who_moves_is_told_the_new_name_first() -> None:
    shown = Shown({1: digest(row(1).body), 7: b"x"})
    _, messages = greeted(shown, 1, 2, moved_from="old")

    assert ops(messages) == ["moved", ("R", 7), ("L", 2)]
    assert (messages[0]["view"], messages[0]["to"]) == ("old", "v")
    assert [one["seq"] for one in messages] == ["", "", "9"]


def test_who_moves_and_sees_no_difference_goes_on_at_once() -> None:
    _, messages = greeted(Shown({1: digest(row(1).body)}), 1, moved_from="old")

    assert [(one["op"], one["seq"]) for one in messages] == [("moved", "9")]


def test_in_an_order_each_message_tells_the_row_in_front() -> None:
    asked = query(order="total", limit=3)
    _, messages = greeted(None, 1, 2, 3, asked=asked)
    assert [one["after"] for one in messages] == [None, 1, 2]

    _, messages = greeted(Held({1: 1, 3: 3}, {3: CHANGED}), 1, 2, 3, asked=asked, start_seq="3", held={})
    assert [(one["op"], one["message"]["_id"], one["after"]) for one in messages] == [("I", 2, 1), ("U", 3, 2)]


@pytest.mark.parametrize("position", ["9", ""])
def test_a_crowd_shares_the_messages_of_a_load(position: str) -> None:
    view = RowsView(query(), "v")
    view.begin_load()
    loaded = Loaded(rows(1, 2), "9")
    view.finish_load(loaded)
    ws: Any = Connection()
    crowd = [Subscriber(ws, view, {}) for _ in range(3)]
    for one in crowd:
        Greeting(view, loaded, position).greet(one, None)

    assert crowd[0].outgoing == crowd[1].outgoing == crowd[2].outgoing
    assert crowd[0].outgoing[0] is crowd[1].outgoing[0]
    view.apply(Change("10", "U", COLLECTION, 1, {"_id": 1, "total": 7}))
    late = Subscriber(ws, view, {})
    Greeting(view, loaded, position).greet(late, None)
    assert json.loads(late.outgoing[0].payload_json)["message"]["total"] == 7
