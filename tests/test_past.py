"""What is remembered of changes, for clients that come back."""

from __future__ import annotations

from wsflask.live.past import Past, Touch


def past_of(*changes: tuple[str, str, str], begin: str = "0", most: int = 10) -> Past:
    past = Past(most)
    past.begin(begin)
    for seq, key, op in changes:
        past.note("orders", seq, key, op)
    return past


def test_what_changed_since_is_told_once_for_each_document_in_the_order_of_the_last_change() -> None:
    past = past_of(("1", "a", "U"), ("2", "b", "I"), ("3", "a", "U"), ("4", "b", "D"), ("5", "c", "U"))

    assert past.since("orders", "0") == {"a": Touch(False, "U"), "b": Touch(True, "D"), "c": Touch(False, "U")}
    assert list(past.since("orders", "0") or ()) == ["a", "b", "c"]
    assert past.since("orders", "2") == {"a": Touch(False, "U"), "b": Touch(False, "D"), "c": Touch(False, "U")}
    assert past.since("orders", "5") == {}
    assert past.since("orders", "9") == {}


def test_before_it_began_nothing_is_known() -> None:
    assert Past(10).since("orders", "5") is None
    assert past_of(begin="3").since("orders", "2") is None
    assert past_of(begin="3").since("orders", "3") == {}


def test_what_is_forgotten_is_not_told_in_part() -> None:
    past = past_of(*((f"{number:02}", str(number), "U") for number in range(1, 30)), begin="00", most=10)

    assert past.since("orders", "00") is None
    assert past.floor("orders") == "09"
    assert len(past.since("orders", "09") or ()) == 20
    assert past.since("others", "00") == {}


def test_a_collection_may_begin_anew_alone() -> None:
    past = past_of(("1", "a", "U"))
    past.note("others", "2", "b", "U")
    past.begin("3", "orders")

    assert past.since("orders", "2") is None
    assert past.since("orders", "3") == {}
    assert past.since("others", "0") == {"b": Touch(False, "U")}


def test_earlier_changes_can_be_taken_in() -> None:
    past = past_of(("5", "a", "U"), begin="4")
    past.extend("orders", "1", [("2", "a", "I"), ("3", "b", "U")])

    assert past.since("orders", "1") == {"a": Touch(True, "U"), "b": Touch(False, "U")}
    assert past.since("orders", "0") is None
    assert past.since("others", "1") is None
