"""The inbox, and the inboxes of all who are connected: pure, so every order can be tried."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from wsflask.connection import Connection
from wsflask.services.inbox import Inbox
from wsflask.services.inboxes import Inboxes, unread_of

IDS = [ObjectId(f"{number:024x}") for number in range(1, 30)]
A, B, C, D, E = IDS[:5]


def inbox(*unread: ObjectId, state: dict[str, Any] | None = None, groups: tuple[str, ...] = ()) -> Inbox:
    made = Inbox("ada", frozenset(groups))
    made.load(state, [(identity, 10) for identity in unread])
    return made


def test_what_was_loaded_is_unread() -> None:
    box = inbox(A, B)

    assert (box.unread, box.category, box.is_loaded) == (2, 10, True)


def test_an_inbox_that_is_not_loaded_knows_that() -> None:
    assert not Inbox("ada", frozenset()).is_loaded


def test_a_notification_counts_once_however_often_it_is_told() -> None:
    box = inbox()

    told = [box.put(A, 10), box.put(A, 10), box.put(A, 20), box.discard(A), box.discard(A)]

    assert told == [True, False, True, True, False]
    assert (box.unread, box.category) == (0, None)


def test_the_category_is_that_of_the_newest_unread() -> None:
    box = inbox()

    categories = []
    for identity, category in ((B, 20), (A, 10), (C, 30)):
        box.put(identity, category)
        categories.append(box.category)
    for identity in (C, A, B):
        box.discard(identity)
        categories.append(box.category)

    assert categories == [20, 20, 30, 20, 20, None]


def test_what_was_read_does_not_become_unread_by_being_told_again() -> None:
    box = inbox(state={"rev": 3, "read_before": B, "read": [D]})

    told = [box.put(identity, 10) for identity in (A, B, C, D)]

    assert told == [False, False, True, False]
    assert box.is_read(A)
    assert not box.is_read(C)


def test_a_read_state_is_applied_once_and_never_an_older_one() -> None:
    box = inbox(A, B, C)

    assert box.apply({"rev": 2, "read_before": A, "read": [C]})
    assert box.apply({"rev": 1, "read_before": None, "read": [B]})

    assert (box.ids, box.rev) == (frozenset({B}), 2)


def test_a_watermark_that_takes_up_read_ids_is_no_loss() -> None:
    box = inbox(A, B, C, state={"rev": 1, "read_before": None, "read": [A, B]})

    assert box.apply({"rev": 2, "read_before": B, "read": []})

    assert box.ids == {C}


@pytest.mark.parametrize(
    "state",
    [
        {"rev": 6, "read_before": None, "read": [C]},
        {"rev": 6, "read_before": A, "read": [C]},
        {"rev": 6, "read_before": B, "read": []},
    ],
)
def test_a_state_that_makes_something_unread_asks_to_be_loaded(state: dict[str, Any]) -> None:
    box = inbox(D, state={"rev": 5, "read_before": B, "read": [C]})

    assert not box.apply(state)
    assert (box.ids, box.rev) == (frozenset({D}), 5)


def test_a_read_state_that_came_during_a_query_wins_over_the_queried_one() -> None:
    box = inbox(A, B, C, state={"rev": 5})
    since = box.rev
    box.apply({"rev": 7, "read": [A]})

    box.load({"rev": 6, "read": []}, [(A, 10), (B, 10), (C, 10), (D, 10)], since_rev=since)

    assert (box.ids, box.rev) == (frozenset({B, C, D}), 7)


def test_a_queried_state_is_the_truth_even_when_it_is_older() -> None:
    """Somebody has deleted the read state, or restored a backup."""
    box = inbox(C, state={"rev": 5, "read": [A]})

    box.load(None, [(A, 10), (C, 10)], since_rev=5)

    assert (box.ids, box.rev) == (frozenset({A, C}), 0)


@pytest.mark.parametrize(
    ("raw", "is_for_ada"),
    [
        ({"everyone": True}, True),
        ({"everyone": False, "users": ["ada", "bob"]}, True),
        ({"everyone": False, "groups": ["desk"]}, True),
        ({"users": ["bob"], "groups": ["crew"]}, False),
        ({"everyone": 1}, False),
        ({"users": None, "groups": None}, False),
    ],
)
def test_a_notification_is_for_those_it_names(raw: dict[str, Any], is_for_ada: bool) -> None:
    assert inbox(groups=("desk", "night")).is_addressed(raw) is is_for_ada


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_at_rest_the_inbox_holds_what_the_query_would_find(data: st.DataObject) -> None:
    """Changes told late, twice, or already known to the query lead to the same end."""
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    existing: dict[ObjectId, int] = {}
    state: dict[str, Any] = {"rev": 0, "read_before": None, "read": []}
    log: list[tuple[str, Any]] = []
    snapshots = []
    for _ in range(data.draw(st.integers(1, 40))):
        snapshots.append((len(log), dict(existing), dict(state)))
        kind = rng.choice("iiiimmad")
        if kind == "i":
            identity = rng.choice(IDS)
            existing[identity] = 10
            log.append(("put", identity))
        elif kind == "d" and existing:
            identity = rng.choice(list(existing))
            del existing[identity]
            log.append(("discard", identity))
        elif kind in "ma":
            read = set(state["read"]) | ({rng.choice(IDS)} if kind == "m" else set(existing))
            before = max([state["read_before"], rng.choice(IDS)] if state["read_before"] else [rng.choice(IDS)])
            before = before if kind == "a" else state["read_before"]
            state = {"rev": state["rev"] + 1, "read_before": before, "read": sorted(read)}
            log.append(("state", state))
    seen_from, found, known = rng.choice(snapshots)
    box = Inbox("ada", frozenset())
    box.load(known if known["rev"] else None, [(identity, 10) for identity in found])

    for kind, value in log[rng.randint(0, seen_from) :]:
        if kind == "state":
            assert box.apply(value)
        elif kind == "put":
            box.put(value, 10)
        else:
            box.discard(value)

    def is_unread(identity: ObjectId) -> bool:
        return identity not in state["read"] and not (state["read_before"] and identity <= state["read_before"])

    assert box.ids == {identity for identity in existing if is_unread(identity)}


class Tab:
    def __init__(self, user_id: str, *groups: str) -> None:
        self.user_id, self.groups = user_id, frozenset(groups)


def tab(user_id: str, *groups: str) -> Connection:
    return cast(Connection, Tab(user_id, *groups))


def test_two_tabs_of_a_user_share_a_box_and_the_last_one_drops_it() -> None:
    inboxes, one, two = Inboxes(), tab("ada", "desk"), tab("ada", "desk")

    first, second = inboxes.join(one), inboxes.join(two)
    inboxes.leave(one)
    inboxes.leave(one)
    is_kept = first[0] in inboxes
    inboxes.leave(two)

    assert first[0] is second[0]
    assert (first[1], second[1], is_kept) == (True, False, True)
    assert (len(inboxes), inboxes.of(two), inboxes.of_user("ada")) == (0, None, [])


def test_tabs_with_other_groups_have_their_own_box() -> None:
    inboxes = Inboxes()

    boxes = [inboxes.join(tab("ada", *groups))[0] for groups in ((), ("desk",), ("desk", "crew"))]

    assert inboxes.of_user("ada") == boxes


def test_a_notification_finds_each_box_once() -> None:
    inboxes = Inboxes()
    ada, bob, eve = (inboxes.join(each)[0] for each in (tab("ada", "desk"), tab("bob", "desk", "crew"), tab("eve")))

    found = [
        inboxes.addressed(raw)
        for raw in (
            {"everyone": True},
            {"users": ["ada", "nobody"], "groups": ["desk", "crew", "none"]},
            {"users": ["eve"]},
            {"groups": ["crew"]},
            {},
        )
    ]

    assert found == [[ada, bob, eve], [ada, bob], [eve], [bob], []]


def test_what_one_query_found_is_shared_out_among_the_boxes() -> None:
    inboxes = Inboxes()
    ada, bob = (inboxes.join(each)[0] for each in (tab("ada"), tab("bob", "desk")))
    found: list[dict[str, Any]] = [
        {"_id": A, "category": 20, "everyone": True},
        {"_id": B, "users": ["ada"]},
        {"_id": C, "category": 10, "groups": ["desk"]},
    ]

    assert unread_of([ada, bob], {}, found, 30) == {ada: {A: 20, B: 30}, bob: {A: 20, C: 10}}


def test_what_lies_before_a_watermark_is_not_shared_out() -> None:
    inboxes = Inboxes()
    ada, bob = (inboxes.join(each)[0] for each in (tab("ada"), tab("bob")))
    found = [{"_id": identity, "category": 10, "everyone": True} for identity in (C, A, B)]

    unread = unread_of([ada, bob], {"ada": {"read_before": B}, "bob": {"read_before": None}}, found, 10)

    assert [set(unread[box]) for box in (ada, bob)] == [{C}, {A, B, C}]
