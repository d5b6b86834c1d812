"""The inbox, and the inboxes of all who are connected: pure, so every order can be tried."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from wsflask.connection import Connection
from wsflask.services.bulletin import Bulletin
from wsflask.services.inbox import Inbox
from wsflask.services.inboxes import Inboxes, unread_of
from wsflask.services.rounds import Addressees

IDS = [ObjectId(f"{number:024x}") for number in range(1, 30)]
KEYS = [identity.binary for identity in IDS]
A, B, C, D, E = IDS[:5]


def inbox(*unread: ObjectId, state: dict[str, Any] | None = None, groups: tuple[str, ...] = ()) -> Inbox:
    made = Inbox("ada", frozenset(groups), Bulletin())
    made.load(state, [(identity.binary, 10) for identity in unread])
    return made


def bulletin(*posted: ObjectId) -> Bulletin:
    made = Bulletin()
    made.load(dict.fromkeys((identity.binary for identity in posted), 10))
    return made


def ids(box: Inbox) -> set[ObjectId]:
    """Return what is unread; its number has to be right too."""
    found = {identity for identity in IDS if box.counts(identity.binary)}
    assert box.unread == len(found)
    return found


def tell(box: Inbox, identity: ObjectId, category: int | None) -> bool:
    """Tell an inbox of a notification to its user; return whether that changed anything."""
    before, after = box.revise(identity.binary, category, None, None)
    return before != after


def test_what_was_loaded_is_unread() -> None:
    box = inbox(A, B)

    assert (box.unread, box.category, box.is_loaded) == (2, 10, True)


def test_an_inbox_that_is_not_loaded_knows_that() -> None:
    assert not Inbox("ada", frozenset(), Bulletin()).is_loaded


def test_a_notification_counts_once_however_often_it_is_told() -> None:
    box = inbox()

    told = [tell(box, A, category) for category in (10, 10, 20, None, None)]

    assert told == [True, False, True, True, False]
    assert (box.unread, box.category) == (0, None)


def test_the_category_is_that_of_the_newest_unread() -> None:
    box = inbox()

    categories = []
    for identity, category in ((B, 20), (A, 10), (C, 30)):
        tell(box, identity, category)
        categories.append(box.category)
    for identity in (C, A, B):
        tell(box, identity, None)
        categories.append(box.category)

    assert categories == [20, 20, 30, 20, 20, None]


def test_what_was_read_does_not_become_unread_by_being_told_again() -> None:
    box = inbox(state={"rev": 3, "read_before": B, "read": [D]})

    told = [tell(box, identity, 10) for identity in (A, B, C, D)]

    assert told == [False, False, True, False]
    assert box.is_read(A.binary)
    assert not box.is_read(C.binary)


def test_a_read_state_is_applied_once_and_never_an_older_one() -> None:
    box = inbox(A, B, C)

    assert box.apply({"rev": 2, "read_before": A, "read": [C]})
    assert box.apply({"rev": 1, "read_before": None, "read": [B]})

    assert (ids(box), box.rev) == (set({B}), 2)


def test_a_watermark_that_takes_up_read_ids_is_no_loss() -> None:
    box = inbox(A, B, C, state={"rev": 1, "read_before": None, "read": [A, B]})

    assert box.apply({"rev": 2, "read_before": B, "read": []})

    assert ids(box) == {C}


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
    assert (ids(box), box.rev) == (set({D}), 5)


def test_a_read_state_that_came_during_a_query_wins_over_the_queried_one() -> None:
    box = inbox(A, B, C, state={"rev": 5})
    since = box.rev
    box.apply({"rev": 7, "read": [A]})

    box.load({"rev": 6, "read": []}, [(key, 10) for key in KEYS[:4]], since_rev=since)

    assert (ids(box), box.rev) == (set({B, C, D}), 7)


def test_a_queried_state_is_the_truth_even_when_it_is_older() -> None:
    """Somebody has deleted the read state, or restored a backup."""
    box = inbox(C, state={"rev": 5, "read": [A]})

    box.load(None, [(A.binary, 10), (C.binary, 10)], since_rev=5)

    assert (ids(box), box.rev) == (set({A, C}), 0)


@pytest.mark.parametrize(
    ("raw", "is_for_ada"),
    [
        ({"users": ["ada", "bob"]}, True),
        ({"groups": ["desk"]}, True),
        ({"users": ["bob"], "groups": ["crew"]}, False),
        ({"users": None, "groups": None}, False),
    ],
)
def test_a_notification_is_for_those_it_names(raw: dict[str, Any], is_for_ada: bool) -> None:
    assert (inbox(groups=("desk", "night")) in Addressees(raw)) is is_for_ada


_State = dict[str, Any]
_Change = tuple[ObjectId, str] | _State


def history(rng: random.Random, length: int) -> tuple[list[_Change], list[tuple[dict[ObjectId, str], _State]]]:
    """Return a log, and what the database holds after none, one, two … of its changes.

    A notification goes to ada, to bob or to all, and that may change; a state is ada's read state.
    """
    existing: dict[ObjectId, str] = {}
    state: _State = {"rev": 0, "read_before": None, "read": []}
    log: list[_Change] = []
    snapshots = [(dict(existing), state)]
    while len(log) < length:
        kind = rng.choice("iiiimmad")
        if kind == "i":
            identity = rng.choice(IDS)
            existing[identity] = rng.choice(["ada", "bob", "all", "all"])
            log.append((identity, existing[identity]))
        elif kind == "d" and existing:
            identity = rng.choice(list(existing))
            del existing[identity]
            log.append((identity, "nobody"))
        elif kind in "ma":
            read = set(state["read"]) | ({rng.choice(IDS)} if kind == "m" else set(existing))
            before = max([state["read_before"], rng.choice(IDS)] if state["read_before"] else [rng.choice(IDS)])
            before = before if kind == "a" else state["read_before"]
            state = {"rev": state["rev"] + 1, "read_before": before, "read": sorted(read)}
            log.append(state)
        else:
            continue
        snapshots.append((dict(existing), state))
    return log, snapshots


def post(board: Bulletin, change: _Change) -> tuple[int | None, int | None]:
    """Take the change in on the bulletin; return the category there before and now."""
    if isinstance(change, dict):
        return None, None
    key = change[0].binary
    before = board.category(key)
    if change[1] == "all":
        board.put(key, 10)
    else:
        board.discard(key)
    return before, board.category(key)


def take(box: Inbox, change: _Change, was_posted: int | None, is_posted: int | None) -> None:
    if isinstance(change, dict):
        assert box.apply(change)
    else:
        box.revise(change[0].binary, 10 if change[1] == "ada" else None, was_posted, is_posted)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32))
def test_at_rest_the_inbox_holds_what_the_query_would_find(length: int, seed: int) -> None:
    """Changes told late, twice, or already known to one of the queries lead to the same end."""
    rng = random.Random(seed)
    log, snapshots = history(rng, length)
    followed_from = rng.randint(0, length)
    joined = rng.randint(followed_from, length)
    filled = rng.randint(joined, length)
    posted, _ = snapshots[rng.randint(followed_from, length)]
    found, state = snapshots[rng.randint(joined, length)]
    board = bulletin(*(identity for identity, to in posted.items() if to == "all"))
    box = Inbox("ada", frozenset(), board)

    for change in log[followed_from:filled]:
        post(board, change)
    latest = {"ada": True, "all": rng.random() < 0.5, "bob": False}
    box.load(state if state["rev"] else None, [(identity.binary, 10) for identity, to in found.items() if latest[to]])
    for change in log[joined:filled]:
        now = None if isinstance(change, dict) else board.category(change[0].binary)
        take(box, change, now, now)
    for change in log[filled:]:
        take(box, change, *post(board, change))

    existing, state = snapshots[-1]
    before = state["read_before"]
    assert ids(box) == {
        identity
        for identity, to in existing.items()
        if to != "bob" and identity not in state["read"] and not (before and identity <= before)
    }


def test_those_to_everyone_are_counted_without_being_kept_in_each_inbox() -> None:
    board = bulletin(A, B, C, D)
    states = [None, {"rev": 1, "read_before": B}, {"rev": 1, "read_before": A, "read": [C, E]}]

    boxes = [Inbox(str(number), frozenset(), board) for number in range(3)]
    for box, state in zip(boxes, states, strict=True):
        box.load(state, [])

    assert [ids(box) for box in boxes] == [{A, B, C, D}, {C, D}, {B, D}]
    assert [box.own for box in boxes] == [None] * 3


def test_what_a_query_found_before_the_feed_told_of_it_counts_once_and_is_no_arrival() -> None:
    board = bulletin(A)
    box = Inbox("ada", frozenset(), board)
    box.load(None, [(A.binary, 10), (B.binary, 10)])

    board.put(B.binary, 10)
    told = box.revise(B.binary, None, None, 10)

    assert told == (10, 10)
    assert (ids(box), box.own) == ({A, B}, None)


def test_the_newest_unread_may_be_on_the_bulletin_or_not() -> None:
    board = Bulletin()
    board.load({A.binary: 20, C.binary: 30, E.binary: 40})
    box = Inbox("ada", frozenset(), board)

    categories = []
    for state in (None, {"rev": 1, "read": [E]}, {"rev": 2, "read": [C, D, E]}, {"rev": 3, "read_before": E}):
        box.load(state, [(D.binary, 10)])
        categories.append(box.category)

    assert categories == [40, 10, 20, None]


def test_a_bulletin_that_is_loaded_anew_says_what_is_new() -> None:
    board = bulletin(A, B)

    posted = board.load(dict.fromkeys((key for key in KEYS[1:4]), 10))

    assert posted == {C.binary, D.binary}
    assert (len(board), A.binary in board, board.newest()) == (3, False, (D.binary, 10))


class Tab:
    def __init__(self, user_id: str, *groups: str) -> None:
        self.user_id, self.groups = user_id, frozenset(groups)


def tab(user_id: str, *groups: str) -> Connection:
    return cast(Connection, Tab(user_id, *groups))


def test_two_tabs_of_a_user_share_a_box_and_the_last_one_drops_it() -> None:
    inboxes, one, two = Inboxes(Bulletin()), tab("ada", "desk"), tab("ada", "desk")

    first, second = inboxes.join(one), inboxes.join(two)
    inboxes.leave(one)
    inboxes.leave(one)
    is_kept = first in inboxes
    inboxes.leave(two)

    assert first is second
    assert is_kept
    assert (len(inboxes), inboxes.of(two), inboxes.of_user("ada"), inboxes.addressed({"groups": ["desk"]})) == (
        0, None, [], [],
    )  # fmt: skip


def test_tabs_with_other_groups_have_their_own_box() -> None:
    inboxes = Inboxes(Bulletin())

    boxes = [inboxes.join(tab("ada", *groups)) for groups in ((), ("desk",), ("desk", "crew"))]

    assert inboxes.of_user("ada") == boxes


def test_a_notification_finds_each_box_once() -> None:
    inboxes = Inboxes(Bulletin())
    ada, bob, eve = (inboxes.join(each) for each in (tab("ada", "desk"), tab("bob", "desk", "crew"), tab("eve")))

    found = [
        inboxes.addressed(raw)
        for raw in (
            {"users": ["ada", "nobody"], "groups": ["desk", "crew", "none"]},
            {"users": ["eve"]},
            {"groups": ["crew"]},
            {},
        )
    ]

    assert found == [[ada, bob], [eve], [bob], []]
    assert inboxes.all() == [ada, bob, eve]


def test_what_one_query_found_is_shared_out_among_the_boxes() -> None:
    inboxes = Inboxes(Bulletin())
    ada, bob = (inboxes.join(each) for each in (tab("ada"), tab("bob", "desk")))
    found: list[dict[str, Any]] = [
        {"_id": A, "category": 20, "everyone": True},
        {"_id": B, "users": ["ada"]},
        {"_id": C, "category": 10, "groups": ["desk"]},
        {"_id": D, "category": 10, "everyone": True},
    ]

    unread = unread_of([ada, bob], found, bulletin(D), lambda raw: raw.get("category", 30))

    assert unread == {ada: {A.binary: 20, B.binary: 30}, bob: {A.binary: 20, C.binary: 10}}
