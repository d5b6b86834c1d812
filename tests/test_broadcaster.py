"""The Broadcaster on a real database: load, follow, leave, resume, and the older system's failures."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import mongoengine as me
import pytest

from tests import harness
from wsflask.access import Exposures
from wsflask.config import Settings
from wsflask.errors import Refusal
from wsflask.feed.bus import Bus
from wsflask.feed.mongo import MongoFeed
from wsflask.hub import Hub
from wsflask.live import Broadcaster
from wsflask.protocol.codes import CloseCode
from wsflask.protocol.messages import Message
from wsflask.tasks import Supervised, supervise


class Airline(me.Document):
    code = me.StringField(primary_key=True)
    name = me.StringField()
    meta = {"collection": "airlines"}


class Flight(me.Document):
    number = me.StringField(primary_key=True)
    carrier = me.StringField(db_field="c")
    gate = me.StringField()
    delay = me.IntField()
    airline = me.ReferenceField(Airline)
    crew_remark = me.StringField()
    unlisted = me.StringField()
    meta = {"collection": "flights"}


class Unexposed(me.Document):
    name = me.StringField()
    meta = {"collection": "unexposed"}


class User:
    def __init__(self, name: str, airline: str | None = None, *, sees_hidden: bool = False) -> None:
        self.name = name
        self.airline = airline
        self.sees_hidden = sees_hidden


ANN, BEN = User("ann", "UA"), User("ben", "DL")
CHIEF = User("chief", sees_hidden=True)
NOBODY = User("nobody", "none")


class Client:
    """A connection that records what it gets."""

    def __init__(self, world: World, user: User) -> None:
        self.world = world
        self.id = self.user_id = user.name
        self.user = user
        self.groups: frozenset[str] = frozenset()
        self.is_open = True
        self.closed_with = 0
        self.got: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.answers: list[Any] = []
        self.fails = False

    def send(self, message: Message) -> None:
        if self.fails:
            raise OSError("this client is broken")
        self.raw.append(message.payload_json)
        self.got.append(json.loads(message.payload_json))

    def reply(self, payload: Any) -> None:
        self.answers.append(payload)

    def drain(self, timeout: float) -> bool:
        return True

    def close(self, code: int, reason: str = "") -> None:
        self.is_open, self.closed_with = False, code
        self.world.broadcaster.on_disconnect(self, self.user)  # type: ignore[arg-type]

    def ask(self, action: str, data: Any) -> Any:
        self.answers.clear()
        answer = self.world.broadcaster.on_message(self, self.user, {"action": action, "data": data})  # type: ignore[arg-type]
        return answer if answer is not None else self.answers[-1]

    def subscribe(self, **data: Any) -> Any:
        return self.ask("subscribe", {"class_name": "Flight", **data})

    def code_of(self, action: str, data: Any) -> str:
        with pytest.raises(Refusal) as caught:
            self.ask(action, data)
        return caught.value.code

    def has_more_than(self, messages: int) -> bool:
        return len(self.got) > messages

    @property
    def ops(self) -> list[tuple[str, Any]]:
        return [(one["op"], one["message"]["_id"]) for one in self.got if "message" in one]

    def rows(self, view: str) -> dict[str, dict[str, Any]]:
        """Return the rows as a client keeps them that obeys the protocol."""
        rows: dict[str, dict[str, Any]] = {}
        for one in self.got:
            if one["view"] != view:
                continue
            if one["op"] == "reset":
                rows.clear()
            elif one["op"] in "DR":
                rows.pop(one["message"]["_id"], None)
            else:
                rows[one["message"]["_id"]] = one["message"]
        return rows


class Careful(Broadcaster):
    """A broadcaster with a way of its own to send."""

    def send_message(self, websocket: Any, message: Message) -> None:
        websocket.send(message)


class Room(Hub):
    """A hub whose clients have no sockets."""

    def send(self, message: Message, connections: Iterable[Any]) -> None:
        for connection in connections:
            connection.send(message)


@dataclass
class World:
    """A server around a Broadcaster, without sockets."""

    database: harness.Database
    settings: Settings
    exposures: Exposures
    feed: MongoFeed
    hub: Hub
    secret: bytes = b"secret"
    bus: Bus | None = None

    def __post_init__(self) -> None:
        self.broadcaster = Broadcaster()
        self.broadcaster.bind(self)
        self.task: Supervised | None = None

    def start(self) -> None:
        self.task = supervise("broadcaster", self.broadcaster.run)

    def render_row(self, template: str, name: str, row: dict[str, Any]) -> str:
        return f"<p>{template} {name} {row}</p>"

    def client(self, user: User = CHIEF) -> Client:
        return Client(self, user)

    def settle(self) -> None:
        """Wait until every change that was written by now has been taken in."""
        marker = f"marker-{random.getrandbits(60):x}"
        witness = self.client()
        witness.subscribe(data_scope=[{"fn": "_id", "op": "==", "val": marker}])
        self.database["flights"].insert_one({"_id": marker})
        harness.wait_until(lambda: ("I", marker) in witness.ops)
        self.database["flights"].delete_one({"_id": marker})
        harness.wait_until(lambda: ("D", marker) in witness.ops)
        self.broadcaster.disconnect(witness)  # type: ignore[arg-type]

    def stop(self) -> None:
        self.feed.stop()
        if self.task is not None:
            self.task.stop()


def rights_of(user: User) -> Any:
    if user.airline == "none":
        return []
    return True if user.airline is None else [{"obj": f"Flight/airline/{user.airline}", "act": "read"}]


@pytest.fixture
def settings() -> Settings:
    return Settings(view_max_rows=50, subscriptions_per_connection=5, scope_max_conditions=3)


@pytest.fixture
def world(database: harness.Database, settings: Settings) -> Iterator[World]:
    exposures = Exposures()
    exposures.expose(
        Flight,
        fields=("number", "carrier", "gate", "delay", "airline"),
        hidden=("crew_remark",),
        read=rights_of,
        show_hidden=lambda user: user.sees_hidden,
        key_sets={"airline": ("carrier",)},
    )
    exposures.expose(Airline, fields=("name",), read=lambda user: user is not NOBODY)
    Airline(code="UA", name="United").save()
    for number, carrier in (("1", "UA"), ("2", "UA"), ("3", "DL")):
        Flight(number=number, carrier=carrier, gate="A", delay=0, airline="UA", crew_remark="x").save()
    feed = MongoFeed(settings)
    feed.start()
    made = World(database, settings, exposures, feed, Room())
    made.start()
    yield made
    made.stop()


def flight(number: str, carrier: str = "UA", gate: str = "A", **fields: Any) -> dict[str, Any]:
    return {
        "_id": number, "number": number, "carrier": carrier, "gate": gate, "delay": 0, "airline": "UA", **fields,
    }  # fmt: skip


# --- the first load, and what follows


def test_a_subscription_is_answered_then_loaded_then_followed(world: World) -> None:
    client = world.client(ANN)

    answer = client.subscribe(catalog={"gate": None})
    assert answer == {
        "view": answer["view"], "class_name": "Flight", "data_scope": [], "catalog": {"gate": None},
        "show_hidden": False, "order_by": None, "limit": None, "seq": "", "state": "loaded", "rows": 2,
    }  # fmt: skip
    assert client.got[-1] == {
        "doc_class": "Flight", "op": "L", "seq": client.got[-1]["seq"], "view": answer["view"],
        "message": {"_id": "2", "gate": "A"},
    }  # fmt: skip

    world.database["flights"].update_many({}, {"$set": {"gate": "B"}})
    world.settle()
    world.database["flights"].insert_one({"_id": "4", "c": "UA"})
    world.database["flights"].delete_one({"_id": "1"})
    world.database["flights"].update_one({"_id": "2"}, {"$set": {"c": "DL"}})
    world.settle()
    assert client.ops == [("L", "1"), ("L", "2"), ("U", "1"), ("U", "2"), ("I", "4"), ("D", "1"), ("R", "2")]
    assert client.rows(answer["view"]) == {"4": {"_id": "4", "gate": None}}
    seqs = [one["seq"] for one in client.got[2:]]
    assert seqs == sorted(set(seqs))


def test_a_scope_is_compared_with_strict_types(world: World) -> None:
    """In the older system None passed `>= 5`, and `in` on a string raised for None."""
    world.database["flights"].insert_many(
        [
            {"_id": "n", "delay": None},
            {"_id": "s", "delay": "9"},
            {"_id": "b", "delay": True},
            {"_id": "f", "delay": 9.5},
        ]
    )
    client = world.client()

    client.subscribe(data_scope=[{"fn": "delay", "op": ">=", "val": 1}])
    client.subscribe(data_scope=[{"fn": "gate", "op": "in", "val": ["Z"]}])
    wrong: tuple[Any, ...] = (None, "9", True, [], {"a": 9})
    for value in wrong:
        world.database["flights"].update_one({"_id": "1"}, {"$set": {"delay": value}})
    world.settle()
    assert client.ops == [("L", "f")]


class Writers:
    """Four writers that write as fast as they can, each its own documents."""

    def __init__(self, world: World) -> None:
        self._collection = world.database["flights"]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(seed,)) for seed in range(4)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _write(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stopped.is_set():
            identity = {"_id": str(chance.randrange(5) * 4 + seed)}
            values = {"c": chance.choice(["UA", "DL"]), "gate": chance.choice("ABC"), "delay": chance.randrange(4)}
            hidden = {"crew_remark": chance.choice("xyz"), "airline": chance.choice(["UA", "??"])}
            act = chance.randrange(5)
            if act == 0:
                self._collection.delete_one(identity)
            elif act == 1:
                self._collection.replace_one(identity, values)
            elif act == 2:
                self._collection.update_one(identity, {"$set": hidden})
            else:
                self._collection.update_one(identity, {"$set": values}, upsert=True)


WISHES: list[dict[str, Any]] = [
    {},
    {"data_scope": [{"fn": "gate", "op": "==", "val": "A"}]},
    {"data_scope": [{"fn": "delay", "op": ">", "val": 1}], "catalog": {"airline": {"name": None}, "gate": None}},
    {"data_scope": [{"fn": "gate", "op": "in", "val": ["A", "B"]}, {"fn": "delay", "op": "!=", "val": 2}]},
    {"show_hidden": True, "catalog": {"crew_remark": None}},
]


def expected_rows(world: World, user: User, wish: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of a fresh load."""
    check = world.client(user)
    return check.rows(check.subscribe(**wish)["view"])


def test_at_rest_the_rows_are_those_of_the_query(world: World) -> None:
    chance = random.Random(11)
    watched = []
    with Writers(world):
        for _ in range(60):
            client, wish = world.client(chance.choice([ANN, BEN, CHIEF])), chance.choice(WISHES)
            watched.append((client, wish, client.subscribe(**wish)["view"]))
    world.settle()

    for client, wish, view in watched:
        assert client.rows(view) == expected_rows(world, client.user, wish)


def test_who_is_cut_off_anywhere_and_comes_back_has_the_rows_of_the_query(world: World) -> None:
    """Each client loses a random part of the end of what was sent to it, and goes on from what it has."""
    chance = random.Random(5)
    watched = []
    with Writers(world):
        for number in range(80):
            first, wish = world.client(chance.choice([ANN, BEN, CHIEF])), chance.choice(WISHES)
            view = first.subscribe(**wish)["view"]
            harness.wait_until(partial(first.has_more_than, number % 7))
            first.close(1006)
            first.got = kept = first.got[: chance.randrange(len(first.got) + 1)]
            back = world.client(first.user)
            rows = list(first.rows(view)) if chance.random() < 0.7 else None
            answer = back.subscribe(**wish, view=view, start_seq=kept[-1]["seq"] if kept else "", rows=rows)
            if answer["state"] == "resumed":
                back.got[:0] = kept
            watched.append((back, wish, answer))
    world.settle()

    assert {answer["state"] for _, _, answer in watched} == {"resumed", "reset"}
    for client, wish, answer in watched:
        assert client.rows(answer["view"]) == expected_rows(world, client.user, wish)


def test_subscribing_again_loads_again_under_the_same_name(world: World) -> None:
    client = world.client(ANN)
    first = client.subscribe()
    again = client.subscribe(data_scope=[], catalog={})

    assert again["view"] == first["view"]
    assert client.ops == [("L", "1"), ("L", "2")] * 2
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "B"}})
    world.settle()
    assert client.ops[4:] == [("U", "1")]


def test_several_subscriptions_of_one_connection_end_one_by_one(world: World) -> None:
    client = world.client()
    all_of_it = client.subscribe()["view"]
    gate_a = client.subscribe(data_scope=[{"fn": "gate", "op": "==", "val": "A"}])["view"]
    airlines = client.ask("subscribe", {"class_name": "Airline"})["view"]
    assert len({all_of_it, gate_a, airlines}) == 3

    assert client.ask("unsubscribe", {"view": all_of_it}) == {"view": all_of_it}
    client.got.clear()
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "B"}})
    world.settle()
    assert [(one["op"], one["view"]) for one in client.got] == [("R", gate_a)]
    assert client.code_of("unsubscribe", {"view": all_of_it}) == "not_found"


def test_equal_subscriptions_share_one_view_one_query_and_one_encoding(world: World) -> None:
    views = world.broadcaster.views
    clients = [world.client(user) for user in (ANN, User("amy", "UA"), User("abe", "UA"))]
    names = {client.subscribe(data_scope=[{"fn": "gate", "op": "==", "val": "A"}])["view"] for client in clients}
    other = world.client(BEN).subscribe(data_scope=[{"fn": "gate", "op": "==", "val": "A"}])["view"]

    assert len(names) == 1
    assert other not in names
    assert len(views) == 2
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"delay": 5}})
    world.settle()
    assert clients[0].raw[-1] is clients[1].raw[-1] is clients[2].raw[-1]


def test_references_are_expanded_in_loads_and_changes(world: World) -> None:
    client = world.client(ANN)
    view = client.subscribe(catalog={"airline": {"name": None}})["view"]
    world.database["flights"].insert_one({"_id": "9", "c": "UA", "airline": "UA"})
    world.database["flights"].insert_one({"_id": "8", "c": "UA", "airline": "??"})
    world.settle()

    united = {"_id": "UA", "name": "United"}
    assert {number: shown["airline"] for number, shown in client.rows(view).items()} == {
        "1": united, "2": united, "9": united, "8": "??",
    }  # fmt: skip


# --- rights


def test_a_class_that_is_not_exposed_and_one_that_may_not_be_read_get_the_same_answer(world: World) -> None:
    asker = world.client(NOBODY)

    for name in ("Flight", "Airline", "Unexposed", "NoSuchClass", "__class__", ""):
        assert asker.code_of("subscribe", {"class_name": name}) == "not_found"


def test_a_document_that_changes_updates_the_rows_that_show_it(world: World) -> None:
    client, other = world.client(ANN), world.client(ANN)
    view = client.subscribe(catalog={"airline": {"name": None}})["view"]
    window = other.subscribe(catalog={"airline": {"name": None}}, order_by="-number", limit=1)["view"]

    world.database["airlines"].update_one({"_id": "UA"}, {"$set": {"name": "Untied"}})
    shown = {"_id": "UA", "name": "Untied"}
    harness.wait_until(lambda: [row["airline"] for row in client.rows(view).values()] == [shown, shown])
    harness.wait_until(lambda: [row["airline"] for row in other.rows(window).values()] == [shown])

    world.database["airlines"].delete_one({"_id": "UA"})
    harness.wait_until(lambda: [row["airline"] for row in client.rows(view).values()] == ["UA", "UA"])


def test_hidden_fields_are_granted_by_the_server_and_not_by_asking(world: World) -> None:
    asking, allowed, plain = world.client(ANN), world.client(CHIEF), world.client(CHIEF)

    assert asking.subscribe(show_hidden=True)["show_hidden"] is False
    assert allowed.subscribe(show_hidden=True)["show_hidden"] is True
    assert plain.subscribe()["show_hidden"] is False
    assert [("crew_remark" in client.got[0]["message"]) for client in (asking, allowed, plain)] == [False, True, False]
    assert "unlisted" not in allowed.got[0]["message"]


def test_a_scope_over_a_field_one_may_not_see_is_forbidden(world: World) -> None:
    for name in ("crew_remark", "unlisted", "nothing", "c", "$where"):
        data = {"class_name": "Flight", "data_scope": [{"fn": name, "op": "==", "val": "x"}]}
        assert world.client(ANN).code_of("subscribe", data) == "forbidden"


def test_a_hidden_field_never_leaves_not_even_as_the_presence_of_a_message(world: World) -> None:
    """An update of hidden and unlisted fields alone is told to those only who see them."""
    ann, chief = world.client(ANN), world.client(CHIEF)
    ann.subscribe(show_hidden=True)
    chief.subscribe(show_hidden=True)
    ann.got.clear()
    chief.got.clear()

    for number in range(5):
        world.database["flights"].update_one({"_id": "1"}, {"$set": {"crew_remark": str(number), "unlisted": number}})
    world.settle()
    assert ann.got == []
    assert ("U", "1") in chief.ops


def test_an_acl_that_raises_denies(world: World, caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = SimpleNamespace(name="broken")
    with caplog.at_level(logging.ERROR):
        assert world.client(broken).code_of("subscribe", {"class_name": "Flight"}) == "not_found"
    assert "failed and denies" in caplog.text


# --- what clients may ask


REFUSED: list[tuple[Any, Any, str]] = [
    ("subscribe", None, "bad_data"),
    ("subscribe", {}, "bad_data"),
    ("subscribe", {"class_name": 5}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "acl": None}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "data_scope": "x"}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "catalog": [1]}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "show_hidden": "yes"}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "start_seq": 5}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "start_seq": "x" * 1000}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "view": []}, "bad_data"),
    ("subscribe", {"class_name": "Flight", "data_scope": [{"fn": "gate", "op": "==", "val": "A"}] * 4}, "too_big"),
    ("unsubscribe", None, "bad_data"),
    ("unsubscribe", {"view": None}, "bad_data"),
    ("unsubscribe", {"view": "x"}, "not_found"),
    ("drop", {}, "bad_action"),
    ("__init__", {}, "bad_action"),
    (None, {}, "bad_action"),
    ([], {}, "bad_action"),
]


def test_bad_requests_are_refused_and_change_nothing(world: World) -> None:
    client = world.client()

    for action, data, code in REFUSED:
        assert client.code_of(action, data) == code, (action, data)
    assert len(world.broadcaster.views) == 0
    assert client.got == []


def test_a_payload_that_is_no_request_is_refused(world: World) -> None:
    client: Any = world.client()

    no_requests: list[Any] = [None, "subscribe", [], {"action": "subscribe", "more": 1}]
    for message in no_requests:
        with pytest.raises(Refusal) as caught:
            world.broadcaster.on_message(client, client.user, message)
        assert caught.value.code == "bad_data"


def test_a_view_with_too_many_rows_is_refused(world: World) -> None:
    world.database["flights"].insert_many([{"_id": f"x{number}"} for number in range(60)])
    client = world.client()

    assert client.code_of("subscribe", {"class_name": "Flight"}) == "too_big"
    assert len(world.broadcaster.views) == 0
    assert client.subscribe(data_scope=[{"fn": "gate", "op": "==", "val": "A"}])["rows"] == 3


def test_a_connection_has_a_bounded_number_of_subscriptions(world: World) -> None:
    client = world.client()
    for number in range(5):
        client.subscribe(data_scope=[{"fn": "delay", "op": "==", "val": number}])
    data = {"class_name": "Flight"}

    assert client.code_of("subscribe", data) == "too_big"
    client.subscribe(data_scope=[{"fn": "delay", "op": "==", "val": 3}])
    assert len(world.broadcaster.views) == 5


# --- resume


def test_who_comes_back_gets_exactly_what_was_missed(world: World) -> None:
    client = world.client(ANN)
    view = client.subscribe()["view"]
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "B"}})
    world.settle()
    last = client.got[-1]["seq"]
    client.close(1006)

    world.database["flights"].update_one({"_id": "1"}, {"$set": {"crew_remark": "not for ann"}})
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "C"}})
    world.database["flights"].delete_one({"_id": "2"})
    world.settle()
    back = world.client(ANN)
    answer = back.subscribe(view=view, start_seq=last, rows=["1", "2"])

    assert (answer["state"], answer["rows"], answer["view"], answer["seq"]) == ("resumed", 2, view, last)
    assert back.ops == [("R", "2"), ("U", "1")]
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "D"}})
    world.settle()
    assert back.ops[2:] == [("U", "1")]


@pytest.fixture
def other(world: World) -> Iterator[World]:
    """Another worker, that begins when it is started."""
    made = World(world.database, world.settings, world.exposures, MongoFeed(world.settings), Room())
    yield made
    made.stop()


@pytest.mark.parametrize("is_restarted", [False, True], ids=["another worker", "a worker that began later"])
def test_who_comes_back_elsewhere_gets_exactly_what_was_missed(world: World, other: World, is_restarted: bool) -> None:
    if not is_restarted:
        other.feed.start()
        other.start()
    client = world.client(ANN)
    view = client.subscribe()["view"]
    world.database["flights"].insert_one({"_id": "4", "c": "UA"})
    world.settle()
    last = client.got[-1]["seq"]
    client.close(1006)

    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "C"}})
    world.database["flights"].delete_one({"_id": "2"})
    world.database["flights"].update_one({"_id": "4"}, {"$set": {"c": "DL"}})
    world.database["flights"].insert_one({"_id": "5", "c": "UA"})
    if is_restarted:
        world.stop()
        other.feed.start()
        other.start()
    back = other.client(ANN)
    answer = back.subscribe(view=view, start_seq=last, rows=["1", "2", "4", "never there"])

    assert (answer["state"], answer["view"], answer["rows"]) == ("resumed", view, 5)
    assert sorted(back.ops) == [("I", "5"), ("R", "2"), ("R", "4"), ("R", "never there"), ("U", "1")]
    assert [one["seq"] for one in back.got[:-1]] == [last] * 4
    assert back.got[-1]["seq"] > last
    again = other.client(ANN).subscribe(view=view, start_seq=back.got[-1]["seq"], rows=["1", "5"])
    assert (again["state"], again["rows"], again["seq"]) == ("resumed", 0, again["seq"])


def test_without_its_rows_who_comes_back_elsewhere_is_reset_where_a_row_may_have_left(
    world: World, other: World
) -> None:
    other.feed.start()
    other.start()
    client = world.client(ANN)
    view = client.subscribe()["view"]
    last = client.got[-1]["seq"]

    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "C"}})
    world.settle()
    assert other.client(ANN).subscribe(view=view, start_seq=last)["state"] == "resumed"
    world.database["flights"].delete_one({"_id": "2"})
    world.settle()
    assert other.client(ANN).subscribe(view=view, start_seq=last)["state"] == "reset"


def test_a_position_before_a_collection_was_dropped_means_a_reset(world: World, other: World) -> None:
    client = world.client(ANN)
    answer = client.subscribe()
    last = client.got[-1]["seq"]
    world.database["flights"].drop()
    harness.wait_until(lambda: client.rows(answer["view"]) == {})
    world.database["flights"].insert_one({"_id": "9", "c": "UA"})
    other.feed.start()
    other.start()

    for where in (world, other):
        back = where.client(ANN)
        assert back.subscribe(view=answer["view"], start_seq=last, rows=["1", "2"])["state"] == "reset"
        assert back.ops == [("L", "9")]


def test_a_position_that_is_not_known_means_a_reset_and_a_fresh_load(world: World) -> None:
    first = world.client(ANN)
    view = first.subscribe()["view"]

    for start_seq in ("0", "zzzz", "+", "!", first.got[0]["seq"]):
        back = world.client(ANN)
        assert back.subscribe(view=view, start_seq=start_seq)["state"] == "reset"
        assert back.ops == [("L", "1"), ("L", "2")]


def test_no_position_tells_of_a_document_that_one_may_not_read(world: World) -> None:
    """The database's own positions hold the ids of the documents they belong to."""
    early = world.client(ANN)
    early.subscribe()

    world.database["flights"].insert_one({"_id": "of-somebody-else", "c": "B6"})
    world.settle()
    late = world.client(ANN)
    answer = late.subscribe(catalog={"gate": None})

    told = json.dumps([early.got, late.got, answer]).lower()
    assert b"of-somebody-else".hex() not in told
    assert [one["seq"] for one in late.got][:-1] == [""]


def test_a_view_of_other_rights_is_not_resumed(world: World) -> None:
    answer = world.client(ANN).subscribe()
    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "B"}})
    world.settle()
    ben = world.client(BEN)

    assert ben.subscribe(view=answer["view"], start_seq=answer["seq"])["state"] == "reset"
    assert ben.ops == [("L", "3")]


def test_a_high_start_seq_starves_nobody(world: World) -> None:
    """In the older system one such subscriber ended the delivery for all behind it."""
    high, behind = world.client(ANN), world.client(ANN)
    high.subscribe(start_seq="f" * 40, view="?")
    behind.subscribe()

    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "B"}})
    world.settle()
    assert high.ops[-1] == behind.ops[-1] == ("U", "1")


def test_a_filtered_subscriber_starves_nobody(world: World) -> None:
    filtered, behind = world.client(BEN), world.client(ANN)
    filtered.subscribe(data_scope=[{"fn": "gate", "op": "==", "val": "nowhere"}])
    behind.subscribe()

    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "B"}})
    world.settle()
    assert filtered.ops == []
    assert behind.ops[-1] == ("U", "1")


def test_a_failed_send_does_not_end_the_delivery(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """In the older system one failed send ended the delivery for all behind it."""
    world.broadcaster.__class__ = Careful
    broken, behind = world.client(ANN), world.client(ANN)
    broken.subscribe()
    behind.subscribe()

    broken.fails = True
    with caplog.at_level(logging.ERROR):
        for gate in "BC":
            world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": gate}})
            world.settle()
    assert behind.ops[2:] == [("U", "1"), ("U", "1")]
    assert "could not be sent" in caplog.text
    assert broken.closed_with == CloseCode.POSITION_LOST


# --- continuity


def test_a_gap_is_told_and_everything_loaded_anew(world: World) -> None:
    ann, chief = world.client(ANN), world.client(CHIEF)
    name, other = ann.subscribe()["view"], chief.subscribe()["view"]
    seq = ann.got[-1]["seq"]
    world.database["flights"].drop()
    world.database["flights"].insert_one({"_id": "7", "c": "UA"})

    harness.wait_until(lambda: any(one["op"] == "reset" for one in ann.got))
    world.settle()
    reset = next(one for one in ann.got if one["op"] == "reset")
    assert reset["view"] == name
    assert reset["doc_class"] == "Flight"
    assert list(ann.rows(name)) == list(chief.rows(other)) == ["7"]
    back = world.client(ANN)
    assert back.subscribe(view=name, start_seq=seq)["state"] == "reset"


def test_the_feed_of_the_service_may_die_and_the_rows_are_true_afterwards(world: World) -> None:
    client = world.client(ANN)
    view = client.subscribe()["view"]
    assert world.task is not None
    world.task.stop()
    world.database["flights"].delete_one({"_id": "1"})
    world.start()

    harness.wait_until(lambda: list(client.rows(view)) == ["2"])
    assert "reset" in [one["op"] for one in client.got]


def test_a_class_that_is_exposed_later_is_followed_too(world: World) -> None:
    client = world.client()
    client.subscribe()
    world.exposures.expose(Unexposed, fields=("name",), read=lambda user: True)

    assert client.ask("subscribe", {"class_name": "Unexposed"})["rows"] == 0
    saved = Unexposed(name="seen").save()
    harness.wait_until(lambda: ("I", str(saved.pk)) in client.ops)


def test_without_a_feed_a_subscription_is_refused_as_unavailable(database: harness.Database) -> None:
    settings = Settings(database_timeout=0.05)
    exposures = Exposures()
    exposures.expose(Flight, fields=("gate",), read=rights_of)
    world = World(database, settings, exposures, MongoFeed(settings), Hub())

    assert world.client().code_of("subscribe", {"class_name": "Flight"}) == "unavailable"


# --- leaving


def test_a_client_that_is_gone_leaves_nothing_but_a_view_that_lingers(world: World) -> None:
    client = world.client(ANN)
    client.subscribe()
    client.close(1006)

    assert world.broadcaster.active_connections == {}
    assert len(world.broadcaster.views) == 1


@pytest.mark.parametrize("limits", [{"view_linger": 0.01}, {"views_lingering": 1}])
def test_views_that_nobody_watches_are_let_go(world: World, settings: Settings, limits: dict[str, Any]) -> None:
    world.settings = replace(settings, **limits)
    world.broadcaster.bind(world)
    world.broadcaster.views.begin()
    client = world.client(ANN)
    for gate in "ABC":
        client.subscribe(data_scope=[{"fn": "gate", "op": "==", "val": gate}])
    assert len(world.broadcaster.views) == 3

    client.close(1006)
    most: int = limits.get("views_lingering", 0)

    def is_swept() -> bool:
        world.broadcaster.views.sweep()
        return len(world.broadcaster.views) <= most

    harness.wait_until(is_swept)


def test_a_connection_that_closes_while_it_subscribes_is_not_kept(world: World) -> None:
    client = world.client(ANN)
    client.is_open = False

    assert client.code_of("subscribe", {"class_name": "Flight"}) == "unavailable"
    assert world.broadcaster.active_connections == {}


# --- for the server's own code


def test_the_server_may_subscribe_a_connection_with_rights_of_its_choice(world: World) -> None:
    client: Any = world.client(ANN)
    broadcaster = world.broadcaster

    given = broadcaster.subscribe(
        client, "Flight", catalog={"crew_remark": None}, show_hidden=True, acl=[{"obj": "Flight/key/3", "act": "read"}],
        note="kept",
    )  # fmt: skip
    assert given["show_hidden"] is True
    assert given["note"] == "kept"
    assert client.got[0]["message"] == {"_id": "3", "crew_remark": "x"}
    assert client.answers == []
    assert broadcaster.active_connections == {"Flight": {client: given}}
    assert broadcaster.unsubscribe(client, given["view"])
    assert not broadcaster.unsubscribe(client, given["view"])


def test_without_an_acl_the_server_side_subscription_is_judged_as_the_users(world: World) -> None:
    client: Any = world.client(ANN)

    assert world.broadcaster.subscribe(client, "Flight", show_hidden=True)["show_hidden"] is False
    assert client.ops == [("L", "1"), ("L", "2")]
    denying: list[Any] = [[], lambda user: None, [{"obj": "Airline/*", "act": "read"}]]
    for acl in denying:
        with pytest.raises(Refusal):
            world.broadcaster.subscribe(client, "Flight", acl=acl)


def test_a_document_can_be_sent_that_the_database_does_not_tell_of(world: World) -> None:
    client = world.client(ANN)
    client.subscribe()
    gone = Flight(number="1", carrier="UA", gate="Z", delay=0, airline="UA")

    world.broadcaster.document_sent(gone, "U")
    world.broadcaster.document_sent(Flight(number="5", carrier="UA"), "L")
    world.broadcaster.document_sent(Flight(number="6", carrier="DL"), "I")
    world.broadcaster.document_sent(gone, "D", "0")
    assert client.ops[2:] == [("U", "1"), ("I", "5"), ("D", "1")]
    assert client.got[2]["message"] == flight("1", gate="Z")
    seqs = [one["seq"] for one in client.got[1:]]
    assert seqs == sorted(seqs)


def test_the_row_of_a_document_is_its_message_body(world: World) -> None:
    body = world.broadcaster.get_message_body
    document = Flight(number="1", carrier="UA", gate="A", delay=0, airline="UA", crew_remark="x")

    assert body(document, None, {}, False) == flight("1")
    assert body(document, [], {"crew_remark": None}, True) == {"_id": "1", "crew_remark": "x"}
    assert body(document, [{"fn": "gate", "op": "==", "val": "B"}], {}, False) is None
    assert body(document, [{"fn": "delay", "op": ">=", "val": "0"}], {}, False) is None
    assert body(Unexposed(name="x"), [], {}, True) is None


def test_an_acl_can_be_asked_about_a_document(world: World) -> None:
    check = world.broadcaster.check_subscriber_acl
    document = Flight(number="1", carrier="UA")

    assert check(document, [{"obj": "Flight/airline/UA", "act": "read"}])
    assert check(document, lambda user: user is ANN, ANN)
    other = [{"obj": "Flight/airline/DL", "act": "read"}]
    denying: list[Any] = [None, [], {}, False, other, "x", 5, lambda user: user.missing]
    for acl in denying:
        assert not check(document, acl)
    assert not check(Unexposed(name="x"), [{"obj": "*", "act": "read"}])


def test_the_remaining_older_names_do_what_they_did(world: World) -> None:
    client: Any = world.client(ANN)
    world.broadcaster.on_connect(client, ANN)
    world.broadcaster.send_json(client, {"a": 1})
    world.broadcaster.send_message(client, Message("documents", {"b": 2}))

    assert client.got == [{"a": 1}, {"b": 2}]
    assert world.broadcaster.subscriber_is_connected(client)
    client.close(1000)
    assert not world.broadcaster.subscriber_is_connected(client)
    world.broadcaster.disconnect(client)
