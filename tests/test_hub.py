"""Who is connected, and what reaches whom."""

from __future__ import annotations

from tests.harness.links import MemoryLink, Recorder
from tests.harness.raw import client_frame
from wsflask.config import Settings
from wsflask.connection import Connection, Counts
from wsflask.hub import EVERYONE, Hub, Recipients
from wsflask.identity import Identity
from wsflask.protocol.messages import Message


def connect(
    user_id: str,
    *groups: str,
    form: str = "plain",
    settings: Settings | None = None,
    counts: Counts | None = None,
) -> Connection:
    link = MemoryLink()
    identity = Identity(None, user_id, frozenset(groups), "s")
    connection = Connection(link, identity, form, settings or Settings(), Recorder(), counts=counts)
    link.owner = connection
    return connection


def taken(connection: Connection) -> bytes:
    """Return what a client was sent."""
    link = connection._link
    assert isinstance(link, MemoryLink)
    return link.taken


ADA1, ADA2 = connect("ada", "staff"), connect("ada", "staff")
BOB = connect("bob", "staff", "crew")
EVE = connect("eve")


def hub_of(*connections: Connection) -> Hub:
    hub = Hub()
    for connection in connections:
        hub.add(connection)
    return hub


def test_an_empty_hub_has_nobody() -> None:
    hub = Hub()

    assert (len(hub), hub.connections(), hub.user_ids(), hub.connections_of("ada")) == (0, [], [], ())
    assert hub.select(EVERYONE) == []
    assert hub.select(Recipients(users=("ada",), groups=("staff",))) == []


def test_connections_are_kept_in_the_order_of_their_coming() -> None:
    hub = hub_of(ADA1, BOB, ADA2, EVE)

    assert hub.connections() == [ADA1, BOB, ADA2, EVE]
    assert hub.connections_of("ada") == (ADA1, ADA2)
    assert hub.user_ids() == ["ada", "bob", "eve"]
    assert len(hub) == 4


def test_recipients_are_everyone_or_the_union_of_users_and_groups_each_once() -> None:
    hub = hub_of(ADA1, BOB, ADA2, EVE)

    assert hub.select(EVERYONE) == [ADA1, BOB, ADA2, EVE]
    assert hub.select(Recipients(users=("ada",))) == [ADA1, ADA2]
    assert hub.select(Recipients(groups=("staff",))) == [ADA1, BOB, ADA2]
    assert hub.select(Recipients(users=("eve", "bob"), groups=("crew", "staff"))) == [EVE, BOB, ADA1, ADA2]
    assert hub.select(Recipients(users=("nobody",), groups=("none",))) == []
    assert hub.select(Recipients()) == []


def test_who_leaves_is_gone_from_every_index() -> None:
    hub = hub_of(ADA1, ADA2, BOB)

    assert hub.remove(ADA1)
    assert hub.connections_of("ada") == (ADA2,)
    assert hub.remove(ADA2)
    assert hub.remove(BOB)
    assert (len(hub), hub.user_ids(), hub._by_user, hub._by_group) == (0, [], {}, {})


def test_leaving_twice_or_without_having_come_is_told() -> None:
    hub = hub_of(ADA1)

    assert [hub.remove(ADA1), hub.remove(ADA1), hub.remove(EVE)] == [True, False, False]


def test_who_becomes_another_is_found_by_his_groups_of_now() -> None:
    ada, eve = connect("ada", "staff"), connect("eve")
    hub = hub_of(ada)

    taken_in = [hub.become(each, Identity(None, each.user_id, frozenset({"crew"}), "s")) for each in (ada, eve)]

    assert taken_in == [True, False]
    assert ada.groups == eve.groups == {"crew"}
    assert hub.select(Recipients(groups=("staff", "crew"))) == [ada]
    assert hub.remove(ada)
    assert hub._by_group == {}


def test_a_message_goes_out_as_the_same_bytes_to_all_of_a_form() -> None:
    plain, other, v1 = connect("ada"), connect("bob"), connect("eve", form="v1")
    message = Message("echo", {"a": 1}, seq="7")
    hub = hub_of(plain, other, v1)

    hub.send(message, hub.select(EVERYONE))

    assert taken(plain) is not taken(v1)
    assert taken(plain) == taken(other) == message.frame("plain")
    assert taken(v1) == message.frame("v1")


def test_a_slow_client_is_closed_not_waited_for() -> None:
    slow, quick = connect("ada", settings=Settings(outbox_bytes=100)), connect("bob")
    slow._link.capacity = 10  # type: ignore[attr-defined]
    hub = hub_of(slow, quick)

    for number in range(20):
        hub.send(Message("echo", number), hub.select(EVERYONE))

    assert slow.close_code == 4001
    assert taken(quick) == b"".join(Message("echo", number).frame("plain") for number in range(20))


def test_who_closes_during_a_fan_out_does_not_disturb_it() -> None:
    first, second = connect("ada"), connect("bob")
    hub = hub_of(first, second)

    def leave(connection: Connection) -> None:
        hub.remove(connection)

    first._handler.closed = leave  # type: ignore[method-assign]
    first._link.is_broken = True  # type: ignore[attr-defined]
    hub.send(Message("echo", 1), hub.select(EVERYONE))

    assert hub.connections() == [second]
    assert taken(second) == Message("echo", 1).frame("plain")


def test_what_is_told_to_whom_is_counted() -> None:
    hub = Hub()
    slow = connect("ada", settings=Settings(outbox_bytes=200), counts=hub.counts)
    quick = connect("bob", counts=hub.counts)
    link = slow._link
    assert isinstance(link, MemoryLink)
    link.capacity = 10
    for connection in (slow, quick):
        hub.add(connection)

    hub.send(Message("news", 1), [slow, quick])
    hub.send(Message("news", 2, key="k"), iter([slow, quick]))
    hub.send(Message("news", 3, key="k"), (slow, quick))
    quick.send(Message("news", 4))
    quick.bytes_arrived(client_frame(b"hello"))
    found = hub.statistics()

    assert found == {
        "connections": 2,
        "arriving": 0,
        "users": 2,
        "waiting": 1,
        "waiting_bytes": slow.waiting_bytes,
        "sent": 7,
        "received": 1,
        "conflated": 1,
        "too_slow": 0,
        "closed": {},
    }
    assert found["waiting_bytes"] > 0


def test_those_who_are_closed_are_counted_by_their_code() -> None:
    hub = Hub()
    slow = connect("ada", settings=Settings(outbox_bytes=100), counts=hub.counts)
    link = slow._link
    assert isinstance(link, MemoryLink)
    link.capacity = 10
    for number in range(20):
        slow.send(Message("news", number))
    connect("bob", counts=hub.counts).peer_gone()
    connect("eve", counts=hub.counts).close(1012)

    found = hub.statistics()

    assert (found["too_slow"], found["closed"]) == (1, {1006: 1, 1012: 1, 4001: 1})
