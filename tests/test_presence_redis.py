"""Who is here through a Redis that is killed, begins empty, is frozen, forgets, or lies."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import MS, Database, RedisServer, wait_until
from tests.harness.stage import Actor, Stage
from tests.presence_shelves import RedisShelf, lease_of
from wsflask import Presence
from wsflask.services.presence.redis_frames import id_of, key_in
from wsflask.services.presence.store import Entry, Left, Missed, PresenceStore, StoreUnavailable

CHANNEL = "presence"
LINGER = 600 * MS
ADA, EVE = ("", "ada", "1"), ("", "eve", "1")


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def settings_of(redis: RedisServer) -> dict[str, Any]:
    return {"redis_url": redis.url, "messages_per_second": 10_000, "message_burst": 10_000}


@pytest.fixture
def stages(database: Database, own_redis: RedisServer) -> Iterator[tuple[Stage, Stage]]:
    """Two workers."""
    settings = settings_of(own_redis)
    with Stage(Presence(linger=LINGER), **settings) as one, Stage(Presence(linger=LINGER), **settings) as other:
        yield one, other


@pytest.fixture
def shelf(database: Database, redis: RedisServer) -> Iterator[RedisShelf]:
    shelf = RedisShelf(redis)
    yield shelf
    shelf.close()


def join(stage: Stage, user: str) -> Actor:
    actor = stage.connect(user)
    answer = actor.ask(CHANNEL, {"action": "join", "data": {"room": "", "tab": "1"}})
    assert answer["payload"].get("you") == user, answer
    return actor


def here(actor: Actor) -> set[str]:
    """Return who is here by all that this client was sent."""
    members: set[str] = set()
    for payload in actor.on(CHANNEL):
        if "members" in payload:
            members = {each["user"] for each in payload["members"]}
        else:
            members = members.union(each["user"] for each in payload["joined"]).difference(payload["left"])
    return members


def left(*actors: Actor) -> list[str]:
    return [user for actor in actors for payload in actor.on(CHANNEL) for user in payload.get("left", ())]


def await_here(users: set[str], *actors: Actor) -> None:
    wait_until(lambda: all(here(actor) == users for actor in actors), what=f"{users} for {list(map(here, actors))}")


Stages = tuple[Stage, Stage]
Fault = Callable[[RedisServer], None]


def _kill(redis: RedisServer) -> None:
    redis.kill()
    time.sleep(3.0)
    redis.start()


def _restart_at_once(redis: RedisServer) -> None:
    redis.kill()
    redis.start()


def _freeze(redis: RedisServer) -> None:
    redis.freeze()
    time.sleep(4.0)
    redis.thaw()


def _forget(redis: RedisServer) -> None:
    redis.client.flushall()


@pytest.mark.parametrize("fault", [_kill, _restart_at_once, _freeze, _forget])
def test_nobody_leaves_who_is_here(stages: Stages, own_redis: RedisServer, fault: Fault) -> None:
    one, other = stages
    ada, bob = join(one, "ada"), join(other, "bob")
    await_here({"ada", "bob"}, ada, bob)

    fault(own_redis)
    eve = join(one, "eve")

    await_here({"ada", "bob", "eve"}, ada, bob, eve)
    time.sleep(LINGER + 5.0)  # past the moment in which who did not come again has left
    assert left(ada, bob, eve) == []
    eve.leave()
    await_here({"ada", "bob"}, ada, bob)


def test_joins_are_answered_while_redis_is_away_and_told_when_it_is_back(
    stages: Stages, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = stages
    ada, bob, cut = join(one, "ada"), join(other, "bob"), join(other, "cut")
    await_here({"ada", "bob", "cut"}, ada, bob)

    own_redis.kill()
    cut.connection.peer_gone()
    began = time.monotonic()
    eve = join(one, "eve")
    assert time.monotonic() - began < 2.0
    assert here(eve) == {"ada", "bob", "cut"}
    time.sleep(LINGER + 2.0)
    assert left(ada, bob, eve) == []
    own_redis.start()

    await_here({"ada", "bob", "eve"}, ada, bob, eve)
    assert set(left(ada, bob, eve)) == {"cut"}
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 0 < len(lines) <= 12
    assert all(record.exc_info is None for record in lines)


def test_who_was_awaited_when_redis_went_has_the_linger_after_it(stages: Stages, own_redis: RedisServer) -> None:
    one, other = stages
    ada, bob = join(one, "ada"), join(other, "bob")
    await_here({"ada", "bob"}, ada, bob)

    own_redis.freeze()
    bob.connection.peer_gone()
    time.sleep(LINGER + 2.5)
    own_redis.thaw()
    again = join(one, "bob")

    await_here({"ada", "bob"}, ada, again)
    time.sleep(LINGER + 3.0)
    assert left(ada, again) == []


def test_a_worker_that_begins_without_redis_says_so_and_goes_on_when_it_is_there(
    database: Database, own_redis: RedisServer
) -> None:
    own_redis.kill()
    with Stage(Presence(linger=LINGER), database_timeout=0.3, **settings_of(own_redis)) as stage:
        ada = stage.connect("ada")
        answer = ada.ask(CHANNEL, {"action": "join", "data": {"room": "", "tab": "1"}})
        assert answer["payload"]["code"] == "unavailable"

        own_redis.start()

        wait_until(lambda: "you" in ada.ask(CHANNEL, {"action": "join", "data": {"room": "", "tab": "1"}})["payload"])
        wait_until(lambda: "ada" in here(ada))


def test_a_join_is_one_write_and_a_return_none(database: Database, own_redis: RedisServer) -> None:
    with Stage(Presence(linger=30.0), **settings_of(own_redis)) as stage:
        shelf = RedisShelf(own_redis)
        bob = join(stage, "bob")
        await_here({"bob"}, bob)
        before = shelf.calls.head().count

        ada = join(stage, "ada")
        await_here({"ada", "bob"}, bob)
        assert shelf.calls.head().count == before + 1

        for _ in range(5):
            ada.connection.peer_gone()
            ada = join(stage, "ada")
        time.sleep(0.2)
        assert shelf.calls.head().count == before + 1
        shelf.close()


def test_a_gap_while_others_write_into_an_empty_redis_makes_nobody_leave(
    database: Database, own_redis: RedisServer
) -> None:
    with Stage(Presence(linger=LINGER), **settings_of(own_redis)) as stage:
        shelf = RedisShelf(own_redis, secret=stage.server.secret)
        bob = join(stage, "bob")
        shelf.put_lease(lease_of("p"), 100.0)
        shelf.put(EVE, lease_of("p"))
        await_here({"bob", "eve"}, bob)

        shelf.lose()
        wait_until(lambda: ("", "bob", "1") in shelf.owners(), what="written again")
        head = shelf.calls.head()
        own_redis.client.xadd(shelf.keys["log"], {"i": ""}, id=f"{head.born}-{head.count + 5}")
        time.sleep(2.0)
        shelf.put(EVE, lease_of("p"))

        time.sleep(LINGER + 4.5)  # past the moment in which who did not come again has left
        assert left(bob) == []
        assert here(bob) == {"bob", "eve"}
        shelf.close()


def test_who_forges_that_somebody_left_is_answered(stages: Stages, own_redis: RedisServer) -> None:
    one, other = stages
    ada, bob = join(one, "ada"), join(other, "bob")
    await_here({"ada", "bob"}, ada, bob)
    shelf = RedisShelf(own_redis)

    shelf.calls.purge([])  # so that the log is there
    head = shelf.calls.head()
    own_redis.client.xadd(shelf.keys["log"], {"i": id_of(ADA)}, id=f"{head.born}-{head.count + 1}")

    wait_until(lambda: shelf.calls.head().count > head.count + 1, what="an answer")
    await_here({"ada", "bob"}, ada, bob)
    shelf.close()


# --- the log, without servers around it


def begun(store: PresenceStore) -> PresenceStore:
    store.renew()
    return store


def users(store: PresenceStore) -> set[str]:
    return {entry.key[1] for entry in store.load().entries}


def write(store: PresenceStore, *names: str) -> None:
    store.write([Entry(("", name, "1"), store.lease, "{}", "{}") for name in names], [], [])


def test_an_entry_that_none_of_our_workers_wrote_is_passed_over(
    shelf: RedisShelf, caplog: pytest.LogCaptureFixture
) -> None:
    store = begun(shelf.open())
    follower = store.follow()
    own = shelf.frames.pack(Entry(ADA, store.lease, "{}", "{}"))
    shelf.secret = b"another"
    foreign = shelf.frames.pack(Entry(EVE, store.lease, "{}", "{}"))

    shelf.calls.write(store.lease, [], [(id_of(EVE), foreign), (id_of(EVE), own)], [], [])  # own: for another tab
    write(store, "bob")

    assert [item.key[1] for item in follower.take(10, 1.0) if isinstance(item, Entry)] == ["bob"]
    assert users(store) == {"bob"}
    assert "none of our workers" in caplog.text
    store.write([Entry(EVE, store.lease, "{}", "{}")], [], [])
    assert users(store) == {"bob", "eve"}
    follower.close()


def test_a_log_that_was_trimmed_away_is_noticed(shelf: RedisShelf) -> None:
    store = begun(shelf.open(log=100))
    follower = store.follow()
    for start in range(0, 1000, 100):
        write(store, *(f"u{number}" for number in range(start, start + 100)))
    assert shelf.client.xlen(shelf.keys["log"]) < 400

    items = [*follower.take(1000, 1.0), *follower.take(1000, 1.0)]

    assert items == [Missed()]
    assert len(users(store)) == 1000
    write(store, "bob")
    assert [item.key[1] for item in follower.take(1000, 1.0) if isinstance(item, Entry)] == ["bob"]
    assert not store.load().is_anew
    follower.close()


@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_log_that_was_begun_anew_is_noticed(shelf: RedisShelf, is_quiet: bool) -> None:
    store = begun(shelf.open())
    write(store, "ada")
    follower = store.follow()
    assert not store.load().is_anew

    shelf.lose()
    if not is_quiet:
        write(store, *(f"u{number}" for number in range(10)))

    items: list[Any] = []
    wait_until(lambda: items.extend(follower.take(100, 0.2)) or Missed() in items)  # type: ignore[func-returns-value]
    assert store.load().is_anew
    assert not store.load().is_anew
    follower.close()


def test_what_is_missed_all_the_time_is_not_told_all_the_time(shelf: RedisShelf) -> None:
    store = begun(shelf.open())
    follower = store.follow()
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 2.5:
        shelf.client.delete(shelf.keys["log"])
        write(store, "ada")
        count += follower.take(100, 0.1).count(Missed())

    assert 1 <= count <= 4
    follower.close()


def test_a_log_whose_end_is_none_is_begun_anew(shelf: RedisShelf) -> None:
    store = begun(shelf.open())
    follower = store.follow()
    log = shelf.keys["log"]
    for spoil in ("SET", log, "no log"), ("XADD", log, f"{2**64 - 1}-{2**64 - 1}", "i", "x"):
        shelf.client.delete(log)
        shelf.client.execute_command(*spoil)

        write(store, "ada")

        assert shelf.client.xlen(log) == 2
    assert Missed() in follower.take(100, 0.1) + follower.take(100, 0.1)
    follower.close()


def test_without_its_lease_a_worker_writes_nothing(shelf: RedisShelf) -> None:
    store = begun(shelf.open())
    shelf.end(store.lease)

    with pytest.raises(StoreUnavailable):
        write(store, "ada")

    assert shelf.owners() == {}
    assert not store.renew()
    write(store, "ada")
    assert users(store) == {"ada"}


def test_the_entries_of_a_lease_are_swept_in_parts_and_not_if_it_lives(shelf: RedisShelf) -> None:
    store = begun(shelf.open())
    write(store, *(f"u{number}" for number in range(25)))
    follower = store.follow()
    seen = shelf.calls.leases()[store.lease]

    assert shelf.calls.sweep(store.lease, seen, 10) == 15
    assert store.renew()
    assert shelf.calls.sweep(store.lease, seen, 10) == 0
    assert len(shelf.owners()) == 15

    seen = shelf.calls.leases()[store.lease]
    while shelf.calls.sweep(store.lease, seen, 10):
        pass
    gone = [item for _ in range(3) for item in follower.take(100, 0.1) if isinstance(item, Left)]
    assert len(gone) == 25
    assert shelf.client.keys(f"{shelf.keys['of:']}*") == []
    assert shelf.leases() == set()
    follower.close()


def test_a_lease_that_none_of_our_workers_wrote_is_over_too(shelf: RedisShelf) -> None:
    store = begun(shelf.open(patience=0.3))
    shelf.calls.found(lease_of("forged"), b"x" * 40)

    def is_swept() -> bool:
        store.sweep()
        return shelf.leases() == {store.lease}

    wait_until(is_swept)


def test_a_sweep_of_many_ends_in_time_for_the_own_lease(shelf: RedisShelf) -> None:
    store = begun(shelf.open(patience=0.3))
    for number in range(5):
        shelf.put_lease(lease_of(f"p{number}"), 0.2)
    store.sweep()
    time.sleep(0.3)

    store._timeout = 0.0  # type: ignore[attr-defined]
    store.sweep()

    assert len(shelf.leases()) == 5  # this one's, and four
    store.sweep()
    assert len(shelf.leases()) == 4


def test_redis_and_database_may_be_shared(shelf: RedisShelf, database: Database, redis: RedisServer) -> None:
    """Keys name the database's history."""
    database.client[database.name]["wsflask_feed"].delete_many({})
    elsewhere = RedisShelf(redis)
    store, foreign = begun(shelf.open()), begun(elsewhere.open())
    store._place = shelf.calls, shelf.frames  # type: ignore[attr-defined]
    store.renew()
    write(store, "ada")

    assert users(foreign) == set()
    elsewhere.close()


def test_names_that_are_none_of_ours_are_no_keys() -> None:
    assert key_in("room\ntab\nuser\nwith a line") == ("room", "user\nwith a line", "tab")
    assert key_in("room\ntab") is None
    assert key_in(7) is None
