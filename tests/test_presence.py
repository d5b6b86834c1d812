"""Who is here, on each store: two workers in this process, each with a feed of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness import MS, Commands, Database, RedisServer, wait_until
from tests.harness.stage import Actor, Stage
from tests.presence_shelves import KINDS, RedisShelf, Shelf, lease_of
from wsflask import Presence
from wsflask.documents import EndedSession
from wsflask.errors import ConfigError
from wsflask.protocol.codes import CloseCode

CHANNEL = "presence"
FAST = {"messages_per_second": 10_000, "message_burst": 10_000}
LINGER = 600 * MS
ADA, BOB, EVE = ("", "ada", "1"), ("", "bob", "1"), ("", "eve", "1")


def service(**options: Any) -> Presence:
    return Presence(**{"linger": LINGER, "may_join": lambda user, room: room != "secret", **options})


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, database: Database, redis_server: RedisServer) -> Iterator[Shelf]:
    shelf = KINDS[request.param](redis_server)
    shelf.settings |= FAST
    if isinstance(shelf, RedisShelf):
        shelf.secret = Stage(**shelf.settings).server.secret
    yield shelf
    shelf.close()


@pytest.fixture
def one(shelf: Shelf) -> Iterator[Stage]:
    with Stage(service(), **shelf.settings) as stage:
        yield stage


@pytest.fixture
def other(shelf: Shelf) -> Iterator[Stage]:
    with Stage(service(), **shelf.settings) as stage:
        yield stage


def ask(actor: Actor, action: str, room: str = "", **data: Any) -> Any:
    return actor.ask(CHANNEL, {"action": action, "data": {"room": room, **data}})


def join(actor: Actor, room: str = "", tab: str = "1", **data: Any) -> Any:
    answer = ask(actor, "join", room, tab=tab, **data)
    assert answer["channel"] == CHANNEL, answer
    return answer["payload"]


def here(actor: Actor, room: str = "") -> dict[str, Any]:
    """Return the tabs of everybody of whom this client knows, by all that it was sent."""
    members: dict[str, Any] = {}
    for payload in actor.on(CHANNEL):
        if payload is None or payload.get("room") != room or "code" in payload:
            continue
        if "members" in payload:
            members = {each["user"]: each["tabs"] for each in payload["members"]}
        else:
            members.update({each["user"]: each["tabs"] for each in payload["joined"] + payload["changed"]})
            for user in payload["left"]:
                del members[user]
    return members


def left(actor: Actor, room: str = "") -> list[str]:
    return [user for p in actor.on(CHANNEL) if p and p.get("room") == room and "left" in p for user in p["left"]]


def await_here(actor: Actor, expected: Any, room: str = "") -> None:
    is_there: Callable[[Any], bool] = expected if callable(expected) else lambda members: members == expected
    wait_until(lambda: is_there(here(actor, room)), what=f"{expected}, but {actor.on(CHANNEL)}")


def cut(actor: Actor) -> None:
    """Have the connection end without a close frame."""
    actor.connection.peer_gone()


def quiet(actor: Actor, seconds: float) -> None:
    """Fail if the actor is told of somebody who left."""
    before = left(actor)
    time.sleep(seconds)
    assert left(actor) == before


def test_who_joins_is_told_who_is_here(one: Stage) -> None:
    ada, bob = one.connect("ada"), one.connect("bob")
    join(ada, meta={"editing": True})
    await_here(ada, {"ada": {"1": {"editing": True}}})

    answer = join(bob)

    ada_here = {"user": "ada", "about": {}, "tabs": {"1": {"editing": True}}}
    assert answer == {"room": "", "you": "bob", "members": [ada_here], "total": 1, "next": None}
    for actor in (ada, bob):
        await_here(actor, {"ada": {"1": {"editing": True}}, "bob": {"1": {}}})


def test_who_joins_on_one_worker_is_seen_on_the_other(one: Stage, other: Stage) -> None:
    ada, bob = one.connect("ada"), other.connect("bob")
    join(ada)
    join(bob)

    ask(bob, "update", meta={"n": 1})

    for actor in (ada, bob):
        await_here(actor, {"ada": {"1": {}}, "bob": {"1": {"n": 1}}})
    assert ask(bob, "leave")["payload"] is None
    await_here(ada, {"ada": {"1": {}}})


def test_three_tabs_are_one_user_who_leaves_with_the_last(one: Stage, other: Stage) -> None:
    bob = one.connect("bob")
    join(bob)
    tabs = [stage.connect("ada") for stage in (one, other, one)]
    for number, actor in enumerate(tabs):
        join(actor, tab=str(number))
    await_here(bob, lambda members: members.get("ada") == {"0": {}, "1": {}, "2": {}})

    for actor in tabs[:2]:
        ask(actor, "leave")
    await_here(bob, lambda members: members.get("ada") == {"2": {}})
    assert left(bob) == []

    ask(tabs[2], "leave")
    await_here(bob, {"bob": {"1": {}}})


def test_a_plain_client_takes_part(one: Stage) -> None:
    ada, bob = one.connect("ada"), one.connect("bob", form="plain")
    join(ada)
    await_here(ada, {"ada": {"1": {}}})

    bob.say(CHANNEL, {"action": "join", "data": {"room": "", "tab": "1"}})

    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
    assert all(set(envelope) == {"channel", "payload"} for envelope in bob.envelopes)


def test_rooms_do_not_hear_of_one_another(one: Stage) -> None:
    ada, bob = one.connect("ada"), one.connect("bob")
    join(ada, "a")
    join(bob, "b")

    await_here(bob, {"bob": {"1": {}}}, "b")

    assert {payload["room"] for payload in ada.on(CHANNEL)} == {"a"}


# --- linger


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_tab_that_is_back_in_time_has_not_left(one: Stage, other: Stage, is_elsewhere: bool) -> None:
    bob = one.connect("bob")
    join(bob)
    ada = one.connect("ada")
    join(ada)
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
    count = len(bob.on(CHANNEL))

    cut(ada)
    again = (other if is_elsewhere else one).connect("ada")
    join(again)
    time.sleep(2 * LINGER)

    assert len(bob.on(CHANNEL)) == count
    ask(again, "leave")
    await_here(bob, {"bob": {"1": {}}})


def test_a_closed_tab_leaves_after_the_linger(one: Stage, other: Stage) -> None:
    ada, bob = one.connect("ada"), other.connect("bob")
    join(bob)
    join(ada)
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})

    began = time.monotonic()
    ada.leave()
    await_here(bob, {"bob": {"1": {}}})

    assert LINGER <= time.monotonic() - began < LINGER + 1.5


@pytest.mark.parametrize("is_connected", [True, False])
def test_who_signs_out_leaves_at_once(shelf: Shelf, is_connected: bool) -> None:
    with Stage(service(linger=30.0), **shelf.settings) as one:
        ada, bob = one.connect("ada"), one.connect("bob")
        ada.connection.identity.session_id = "session of ada"
        join(bob)
        join(ada)
        await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
        if not is_connected:
            ada.leave()

        EndedSession.end("session of ada", "ada")

        await_here(bob, {"bob": {"1": {}}})


# --- rights


def test_without_may_join_there_is_one_room(shelf: Shelf) -> None:
    with Stage(Presence, **shelf.settings) as stage:
        ada = stage.connect("ada")

        assert ask(ada, "join", "a", tab="1")["payload"]["code"] == "forbidden"
        assert join(ada)["you"] == "ada"


def test_who_may_not_join_gets_nothing(shelf: Shelf, one: Stage) -> None:
    ada = one.connect("ada")

    assert ask(ada, "join", "secret", tab="1")["payload"]["code"] == "forbidden"
    assert ask(ada, "list", "secret")["payload"]["code"] == "not_found"
    assert ask(ada, "update", "secret", meta={})["payload"]["code"] == "not_found"
    assert shelf.owners() == {}


def test_who_loses_the_right_is_put_out(shelf: Shelf) -> None:
    allowed = {"ada", "bob"}
    presence = service(may_join=lambda user, room: user.get_id() in allowed)
    with Stage(presence, **shelf.settings) as stage:
        ada, bob = stage.connect("ada"), stage.connect("bob")
        join(ada, "a")
        join(bob, "a")
        await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}}, "a")

        allowed.remove("ada")
        presence.on_rights_changed(ada.connection, ada.connection.user)

        await_here(bob, {"bob": {"1": {}}}, "a")
        assert ada.on(CHANNEL)[-1] == {"room": "a", "code": "forbidden", "message": "That is not allowed."}


def test_others_are_shown_what_describe_returns(shelf: Shelf) -> None:
    presence = service(describe=lambda user: {"name": user.name})
    with Stage(presence, **shelf.settings) as stage:
        user = SimpleNamespace(get_id=lambda: "ada", name="Ada", is_authenticated=True, is_active=True, groups=[])
        ada, bob = stage.connect(user), stage.connect(SimpleNamespace(**{**vars(user), "get_id": lambda: "bob"}))
        join(ada)
        join(bob)
        await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})

        user.name = "Ada King"
        presence.on_rights_changed(ada.connection, user)

        names = [each["about"] for payload in bob.on(CHANNEL) for each in payload.get("joined", [])]
        assert {"name": "Ada"} in names
        wait_until(lambda: bob.on(CHANNEL)[-1].get("changed"))
        assert bob.on(CHANNEL)[-1]["changed"] == [{"user": "ada", "about": {"name": "Ada King"}, "tabs": {"1": {}}}]


def test_bad_requests_are_refused(one: Stage) -> None:
    ada = one.connect("ada")
    bad: list[Any] = [
        None, [], {"action": "shout"}, {"action": ["join"]}, {"action": "join"},
        {"action": "join", "data": {"room": "", "tab": "1", "meta": {"a": "x" * 2000}}},
        {"action": "update", "data": {"room": "", "meta": {}}}, {"action": "list", "data": {"room": ""}},
    ]  # fmt: skip
    codes = [ada.ask(CHANNEL, payload)["payload"]["code"] for payload in bad]

    assert codes == [
        "bad_data", "bad_data", "bad_action", "bad_action", "bad_data", "too_big", "not_found", "not_found",
    ]  # fmt: skip
    for number in range(20):
        join(ada, f"r{number}")
    assert ask(ada, "join", "r20", tab="1")["payload"]["code"] == "too_big"
    ask(ada, "leave", "r3")
    join(ada, "r20")


def test_a_linger_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="linger"):
        Presence(linger=0)


# --- pages


def test_members_are_listed_in_pages(shelf: Shelf) -> None:
    with Stage(service(), presence_page=3, **shelf.settings) as stage:
        actors = [stage.connect(f"u{number}") for number in range(8)]
        for actor in actors:
            join(actor)
        await_here(actors[-1], lambda members: len(members) >= 1)
        wait_until(lambda: ask(actors[0], "list")["payload"]["total"] == 8)

        found: list[str] = []
        after: Any = None
        while True:
            answer = ask(actors[0], "list", **({"after": after} if after else {}))["payload"]
            found += [each["user"] for each in answer["members"]]
            after = answer["next"]
            if after is None:
                break

        assert found == [f"u{number}" for number in range(8)]


# --- workers that end, the store that loses something


def test_the_entries_of_a_worker_that_died_are_swept(shelf: Shelf, one: Stage) -> None:
    bob = one.connect("bob")
    join(bob)
    shelf.put_lease(lease_of("dead"), 1.0)
    shelf.put(ADA, lease_of("dead"))
    await_here(bob, lambda members: {"ada", "bob"} <= members.keys())

    await_here(bob, {"bob": {"1": {}}})

    assert left(bob) == ["ada"]
    assert lease_of("dead") not in shelf.leases()


def test_entries_without_a_lease_are_swept(shelf: Shelf, one: Stage) -> None:
    """Their sweeper died in the midst of it."""
    bob = one.connect("bob")
    join(bob)
    shelf.put(EVE, lease_of("never"))
    await_here(bob, lambda members: {"eve", "bob"} <= members.keys())

    with Stage(service(), **shelf.settings):
        await_here(bob, {"bob": {"1": {}}})


def test_a_worker_whose_lease_was_over_writes_its_entries_again(
    shelf: Shelf, one: Stage, other: Stage
) -> None:
    ada, bob = one.connect("ada"), other.connect("bob")
    join(ada)
    join(bob)
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
    lease = shelf.owners()[ADA]

    shelf.sweep(lease)

    wait_until(lambda: shelf.owners().get(ADA, lease) != lease, what="an entry under another lease")
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
    assert left(ada) == []


def test_a_tab_that_is_elsewhere_by_now_is_not_taken_back(
    shelf: Shelf, one: Stage, other: Stage
) -> None:
    """The worker whose lease was over had lost the tab's connection without noticing."""
    ada, bob = one.connect("ada"), one.connect("bob")
    join(bob)
    join(ada)
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
    lease = shelf.owners()[ADA]
    again = other.connect("ada")
    join(again)
    wait_until(lambda: shelf.owners()[ADA] != lease)
    elsewhere = shelf.owners()[ADA]

    shelf.end(lease)
    wait_until(lambda: shelf.owners()[BOB] != lease, what="another lease")
    cut(ada)
    quiet(bob, 2 * LINGER)

    assert shelf.owners()[ADA] == elsewhere


def test_a_tab_that_another_worker_has_given_up_is_back_when_it_is_heard_of(
    shelf: Shelf, one: Stage, other: Stage
) -> None:
    """Two connections with one name: the earlier one still lives when the later is closed."""
    earlier, later, bob = one.connect("ada"), other.connect("ada"), one.connect("bob")
    join(bob)
    join(earlier)
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
    lease = shelf.owners()[ADA]
    join(later)
    wait_until(lambda: shelf.owners()[ADA] != lease)
    ask(later, "leave")
    await_here(bob, {"bob": {"1": {}}})

    earlier.say("ping", {})

    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})


def test_after_a_gap_the_difference_is_told(shelf: Shelf, one: Stage) -> None:
    bob = one.connect("bob")
    join(bob)
    await_here(bob, {"bob": {"1": {}}})
    shelf.put_lease(lease_of("p"), 100.0)
    shelf.put(EVE, lease_of("p"))
    await_here(bob, lambda members: "eve" in members)

    shelf.lose()

    await_here(bob, {"bob": {"1": {}}})
    assert left(bob) == ["eve"]
    wait_until(lambda: BOB in shelf.owners(), what="written again")


def test_what_is_none_of_ours_is_passed_over(shelf: Shelf, one: Stage) -> None:
    bob = one.connect("bob")
    shelf.spoil()

    join(bob)

    await_here(bob, {"bob": {"1": {}}})
    with Stage(service(), **shelf.settings) as later:
        assert [each["user"] for each in join(later.connect("ada"))["members"]] == ["bob"]


def test_a_worker_that_ends_in_good_order_leaves_its_tabs_the_linger(shelf: Shelf, one: Stage) -> None:
    bob = one.connect("bob")
    join(bob)
    with Stage(service(), **shelf.settings) as ending:
        ada, eve = ending.connect("ada"), ending.connect("eve")
        join(ada)
        join(eve)
        await_here(bob, lambda members: len(members) == 3)
    again = one.connect("ada")
    join(again)

    wait_until(lambda: left(bob) == ["eve"], what="eve to leave")
    quiet(bob, 1.0)


# --- what it costs


def test_a_join_is_one_write_and_a_return_none(commands: Commands) -> None:
    with Stage(service(linger=30.0), **FAST) as stage:
        bob = stage.connect("bob")
        join(bob)
        await_here(bob, {"bob": {"1": {}}})
        commands.clear()

        ada = stage.connect("ada")
        join(ada)
        await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})
        assert commands.on("wsflask_presence") == ["update"]

        commands.clear()
        for _ in range(5):
            cut(ada)
            ada = stage.connect("ada")
            join(ada)
        time.sleep(0.2)
        assert commands.on("wsflask_presence") == []


def test_those_who_come_at_once_are_written_and_told_together(commands: Commands) -> None:
    with Stage(service(), **FAST) as stage:
        bob = stage.connect("bob")
        join(bob)
        await_here(bob, {"bob": {"1": {}}})
        actors = [stage.connect(f"u{number}") for number in range(200)]
        commands.clear()
        told = len(bob.on(CHANNEL))

        for actor in actors:
            actor.say(CHANNEL, {"action": "join", "data": {"room": "", "tab": "1"}})
        await_here(bob, lambda members: len(members) == 201)

        assert len(commands.on("wsflask_presence")) <= 20
        assert len(bob.on(CHANNEL)) - told <= 20


def test_it_works_on_a_server_that_tells_of_no_bulk_writes(shelf: Shelf) -> None:
    with Stage(service(), feed="signals", **shelf.settings) as stage:
        ada, bob = stage.connect("ada"), stage.connect("bob")
        join(ada)
        join(bob)
        await_here(ada, {"ada": {"1": {}}, "bob": {"1": {}}})

        bob.leave()

        await_here(ada, {"ada": {"1": {}}})


def test_a_final_close_is_no_reason_to_wait(one: Stage) -> None:
    ada, bob = one.connect("ada"), one.connect("bob")
    join(bob)
    join(ada)
    await_here(bob, {"ada": {"1": {}}, "bob": {"1": {}}})

    began = time.monotonic()
    ada.connection.close(CloseCode.SESSION_ENDED, "signed out")
    await_here(bob, {"bob": {"1": {}}})

    assert time.monotonic() - began < LINGER
