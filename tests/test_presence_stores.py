"""What each store of presence promises, by itself: two workers, and what the one is told of the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.harness import Database, RedisServer, wait_until
from tests.presence_shelves import KINDS, Shelf, lease_of
from wsflask.services.presence.store import Entry, Follower, Key, Left, Missed, PresenceStore

ADA, BOB, EVE = ("", "ada", "1"), ("a:b", "bob\n2", "x"), ("", "eve", "1")


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, database: Database, redis_server: RedisServer) -> Iterator[Shelf]:
    shelf = KINDS[request.param](redis_server)
    yield shelf
    shelf.close()


@pytest.fixture
def one(shelf: Shelf) -> PresenceStore:
    return begun(shelf.open(patience=0.5))


@pytest.fixture
def other(shelf: Shelf) -> PresenceStore:
    return begun(shelf.open(patience=0.5))


def begun(store: PresenceStore) -> PresenceStore:
    assert not store.renew()
    return store


def entry(store: PresenceStore, key: Key, meta: str = "{}") -> Entry:
    return Entry(key, store.lease, '{"name":"\u00e4"}', meta)


def told(follower: Follower, count: int) -> list[Entry | Left | Missed]:
    """Return the next items, so many at least."""
    items: list[Entry | Left | Missed] = []
    wait_until(lambda: items.extend(follower.take(100, 0.1)) or len(items) >= count)  # type: ignore[func-returns-value]
    return items


def by_key(store: PresenceStore) -> dict[Key, Entry]:
    return {each.key: each for each in store.load().entries}


def test_what_is_written_is_there_and_told_in_order(one: PresenceStore, other: PresenceStore) -> None:
    follower = other.follow()
    first, second = entry(one, ADA), entry(one, BOB, '{"a":1}')

    one.write([first], [second], [])
    one.write([], [], [ADA])

    items = told(follower, 3)
    assert sorted(items[:2], key=str) == sorted([first, second], key=str)
    assert items[2:] == [Left(ADA)]
    assert by_key(other) == by_key(one) == {BOB: second}
    assert other.is_mine(other.lease)
    assert not other.is_mine(one.lease)
    follower.close()
    follower.close()
    assert follower.is_closed
    assert follower.take(100, 5.0) == []


def test_of_much_no_more_is_taken_than_was_asked(one: PresenceStore, other: PresenceStore) -> None:
    follower = other.follow()
    entries = [entry(one, ("", f"u{number}", "1")) for number in range(250)]

    one.write(entries, [], [])

    items = follower.take(100, 5.0)
    assert 0 < len(items) <= 250
    items += told(follower, 250 - len(items))
    assert {each.key for each in items if isinstance(each, Entry)} == {each.key for each in entries}
    wait_until(lambda: not follower.take(100, 0.01) and not follower.is_behind)
    follower.close()


def test_what_another_worker_has_is_taken_but_neither_kept_nor_removed(
    one: PresenceStore, other: PresenceStore
) -> None:
    one.write([entry(one, ADA), entry(one, BOB), entry(one, EVE)], [], [])

    other.write([entry(other, BOB)], [entry(other, ADA)], [EVE])

    assert {key: each.process for key, each in by_key(one).items()} == {
        ADA: one.lease, BOB: other.lease, EVE: one.lease,
    }  # fmt: skip
    one.write([], [entry(one, BOB)], [BOB])
    assert by_key(one)[BOB].process == other.lease


def test_what_was_written_is_written_again_and_removed_twice(one: PresenceStore) -> None:
    for _ in range(2):
        one.write([entry(one, ADA)], [entry(one, BOB)], [])
    assert by_key(one).keys() == {ADA, BOB}

    for _ in range(2):
        one.write([], [], [ADA, EVE])

    assert by_key(one).keys() == {BOB}


def test_a_worker_that_renews_is_not_swept_and_one_that_does_not_is(
    shelf: Shelf, one: PresenceStore, other: PresenceStore
) -> None:
    one.write([entry(one, ADA)], [], [])
    other.write([entry(other, BOB)], [], [])
    follower = one.follow()

    def is_swept() -> bool:
        assert one.renew()
        one.sweep()
        time.sleep(0.1)
        return BOB not in by_key(one)

    wait_until(is_swept)

    assert by_key(one).keys() == {ADA}
    assert shelf.leases() == {one.lease}
    wait_until(lambda: Left(BOB) in follower.take(100, 0.1))
    follower.close()
    former = other.lease
    assert not other.renew()
    assert other.lease != former
    assert other.is_mine(former)
    other.write([], [entry(other, BOB)], [])
    assert by_key(one).keys() == {ADA, BOB}


def test_a_lease_that_was_over_makes_way_for_a_new_one_with_what_it_had(one: PresenceStore, shelf: Shelf) -> None:
    one.write([entry(one, ADA)], [], [])
    former = one.lease
    shelf.end(former)

    assert not one.renew()
    one.write([], [entry(one, ADA)], [])

    assert by_key(one)[ADA].process == one.lease != former


def test_nobody_is_swept_by_who_was_interrupted(one: PresenceStore, shelf: Shelf) -> None:
    shelf.put_lease(lease_of("dead"), 0.3)
    for _ in range(10):
        one.sweep()
        time.sleep(0.1)
        one.interrupted()

    assert lease_of("dead") in shelf.leases()


def test_a_lease_that_was_given_back_ends_when_it_said(one: PresenceStore, shelf: Shelf) -> None:
    ending = begun(shelf.open(patience=100.0))
    ending.write([entry(ending, ADA)], [], [])

    ending.release(0.3)

    def is_swept() -> bool:
        one.sweep()
        return ADA not in by_key(one)

    assert not is_swept()
    wait_until(is_swept)
    shelf.open().release(0.3)  # that had none


def test_what_is_none_of_ours_is_passed_over(shelf: Shelf, one: PresenceStore) -> None:
    follower = one.follow()
    shelf.spoil()

    one.write([entry(one, ADA)], [], [])

    wait_until(lambda: any(isinstance(each, Entry | Missed) for each in follower.take(100, 0.1)))
    assert by_key(one).keys() == {ADA}
    for _ in range(3):
        one.sweep()
    follower.close()
