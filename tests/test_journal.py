"""What a stream has told lately, and the place in it that a client names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wsflask.feed.positions import moment_end, moment_of
from wsflask.streams.journal import Journal
from wsflask.streams.missed import Missed
from wsflask.streams.place import LOST, Place, epoch_of, places_in, query_of


def at(number: int, part: int = 0) -> str:
    return f"{number:020d}" + (f".{part:04d}" if part else "")


def journal(*numbers: int, begin: int = 10, most: int = 100, most_bytes: int = 100_000) -> Journal[str]:
    made: Journal[str] = Journal(most, most_bytes)
    made.begin(moment_end(at(begin)))
    for number in numbers:
        made.add(at(number), f"item {number}", 10)
    return made


def after(known: Journal[str], seq: str, most: int = 1000) -> list[str] | None:
    found = known.since(seq, most)
    return None if found is None else [item for _, item, _ in found]


# --- the journal


def test_nothing_is_known_before_the_beginning() -> None:
    known: Journal[str] = Journal(10, 10)

    assert known.floor == "" == known.end
    assert known.since(at(1), 10) is None
    assert not known.add(at(1), "item", 1)


def test_what_came_after_a_position_is_told_oldest_first() -> None:
    known = journal(11, 12, 13)

    assert after(known, at(11)) == ["item 12", "item 13"]
    assert after(known, at(11), most=1) == ["item 12"]
    assert after(known, at(13)) == []
    assert after(known, at(99)) == []
    assert known.end == at(13)


def test_before_the_floor_nothing_is_told() -> None:
    assert after(journal(11, 12), at(9)) is None


def test_a_position_within_the_moment_of_the_beginning_is_before_it() -> None:
    """A transaction has several changes of one moment; who has the first of them may miss the second."""
    known = journal(11)

    assert after(known, at(10)) is None
    assert after(known, at(10, 3)) is None
    assert after(known, known.floor) == ["item 11"]
    assert moment_of(known.floor) == at(10)


def test_what_is_told_twice_is_noted_once() -> None:
    known = journal(11, 12)

    assert not known.add(at(12), "again", 1)
    assert not known.add(at(11), "again", 1)
    assert known.add(at(12, 1), "more", 1)
    assert after(known, at(10, 9)) is None
    assert after(known, at(11)) == ["item 12", "more"]


def test_the_oldest_give_way_and_the_floor_rises() -> None:
    known = journal(*range(11, 31), most=5)

    assert len(known) == 10
    assert known.floor == at(20)
    assert after(known, at(19)) is None
    assert after(known, at(20)) == [f"item {n}" for n in range(21, 31)]


def test_bytes_are_bounded_too() -> None:
    known = journal(*range(11, 31), most_bytes=25)

    assert len(known) == 5
    assert known.floor == at(25)


def test_an_item_that_is_too_large_is_not_kept_and_not_forgotten_silently() -> None:
    known = journal(11)

    known.add(at(12), "huge", 10**9)

    assert len(known) == 0
    assert after(known, at(11)) is None
    assert after(known, at(12)) == []
    assert known.end == at(12)
    assert known.add(at(12, 1), "of the same moment", 1)


def test_earlier_items_are_taken_in_up_to_the_floor() -> None:
    known = journal(11, 12)

    known.extend(at(5), [(at(6), "item 6", 1), (at(10), "item 10", 1), (at(10, 1), "item 10b", 1), (at(11), "x", 1)])

    assert known.floor == at(5)
    assert after(known, at(5)) == ["item 6", "item 10", "item 10b", "item 11", "item 12"]
    assert after(known, at(10)) == ["item 10b", "item 11", "item 12"]
    assert after(known, at(4)) is None


def test_earlier_items_have_the_room_of_those_that_are_remembered() -> None:
    def items(*numbers: int, size: int = 1) -> list[tuple[str, str, int]]:
        return [(at(n), f"item {n}", size) for n in numbers]

    known = journal(11, 12, most=2)

    assert known.has_room(items(8, 9))
    assert not known.has_room(items(7, 8, 9))
    assert not known.has_room(items(9, size=200_000))


def test_a_journal_that_begins_anew_has_forgotten_everything() -> None:
    known = journal(11, 12)

    known.begin(at(20))

    assert len(known) == 0
    assert after(known, at(12)) is None
    assert known.add(at(21), "item 21", 1)


# --- who has missed what


def to(*users: str, groups: tuple[str, ...] = (), everyone: bool = False) -> Any:
    return SimpleNamespace(everyone=everyone, users=frozenset(users), groups=frozenset(groups))


ITEMS = [
    (at(1), to(everyone=True), 1), (at(2), to("ada"), 1), (at(3), to(groups=("crew", "staff")), 1),
    (at(4), to("ben"), 1), (at(5), to("ada", groups=("crew",)), 1), (at(6), to(everyone=True), 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("user", "groups", "since", "expected"),
    [
        ("ada", (), 0, [1, 2, 5, 6]),
        ("ada", ("crew", "staff"), 0, [1, 2, 3, 5, 6]),
        ("ada", ("crew", "staff"), 3, [5, 6]),
        ("eve", ("crew",), 0, [1, 3, 5, 6]),
        ("ben", (), 6, []),
    ],
)
def test_everyone_gets_his_own_once_and_in_order(
    user: str, groups: tuple[str, ...], since: int, expected: list[int]
) -> None:
    missed: Missed[Any] = Missed(ITEMS, lambda item: item, {"ada", "ben", "eve"}, {"crew", "staff"})

    assert [seq for seq, _, _ in missed.of(user, frozenset(groups), at(since))] == [at(n) for n in expected]
    assert missed.end == at(6)


# --- places


def test_a_place_survives_the_query() -> None:
    places = {"notifications": Place("0123456789ab", at(7)), "publications": Place("ba9876543210", at(7, 2))}

    assert places_in(query_of(places)) == places
    assert places_in(query_of(places).replace("~", "%7E") + "&other=1") == places


@pytest.mark.parametrize(
    "value",
    ["", "~", "0123456789ab", "0123456789AB~" + at(1), "0123456789ab~1", f"0123456789ab~{at(1)}~x", "x" * 3000],
)
def test_what_is_malformed_is_a_place_no_longer_known(value: str) -> None:
    assert places_in(f"resume=publications~{value}") == {"publications": LOST}


def test_a_query_without_places_has_none() -> None:
    assert places_in("") == places_in("a=b&c") == places_in("resume=") == places_in("resume=%00~x~y") == {}
    assert places_in("x=" + "y" * 3000) == {}


def test_a_stream_that_is_named_twice_has_no_place() -> None:
    one = query_of({"publications": Place("0123456789ab", at(7))})

    assert places_in(f"{one}&{one}") == {"publications": LOST}


def test_of_too_many_places_none_is_known() -> None:
    places = {"a" * n: Place("0123456789ab", at(7)) for n in range(1, 12)}

    found = places_in(query_of(places))

    assert set(found.values()) == {LOST}
    assert len(found) <= 9


def test_an_epoch_binds_to_secret_stream_user_and_database() -> None:
    epoch = epoch_of(b"k", "publications", "ada", "e1")

    assert len(epoch) == 12
    assert epoch == epoch_of(b"k", "publications", "ada", "e1")
    others = [(b"x", "publications", "ada", "e1"), (b"k", "notifications", "ada", "e1")]
    others += [(b"k", "publications", "ben", "e1"), (b"k", "publications", "ada", "e2")]
    assert epoch not in {epoch_of(*other) for other in others}
