"""Live documents at the edges: scopes that nothing meets, rights that change in the midst, references that vanish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import mongoengine
import pytest
from pymongo import ReadPreference
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from tests import harness
from tests.test_broadcaster import Airline, Client, Flight, Room, User, World
from tests.test_feed_mongo import own_mongo  # noqa: F401 - a fixture
from wsflask.access import ALL, EVERYTHING, Exposure, Exposures
from wsflask.config import Settings
from wsflask.embedded import EmbeddedMongo
from wsflask.errors import Refusal
from wsflask.feed.base import Change, HistoryLost, Touch
from wsflask.feed.mongo import MongoFeed
from wsflask.live import expanding, intake
from wsflask.live.catalog import Right, parse_catalog
from wsflask.live.loads import load_rows
from wsflask.live.past import Past
from wsflask.live.resuming import Resuming
from wsflask.live.view import Query
from wsflask.tasks import spawn


class Crew(User):
    """A user whose rights a test changes."""

    def __init__(self, name: str, *fields: str, right: Any = True) -> None:
        super().__init__(name)
        self.fields = fields
        self.right: Any = right
        self.on_asked: Callable[[], None] = lambda: None

    def get_id(self) -> str:
        return self.name

    def copy(self, *fields: str, right: Any = True) -> Crew:
        return Crew(self.name, *fields, right=right)


class Seat(Client):
    """A connection whose user changes."""

    user: Crew
    is_revoked = False

    def revoke(self) -> bool:
        self.is_revoked = True
        return False

    def become(self, user: Crew) -> None:
        """Have the user be another one, as the server does."""
        self.user = user
        self.world.broadcaster.on_rights_changed(self, user)  # type: ignore[arg-type]


class Slow(Seat):
    """A connection that takes no more until a test says so."""

    def __init__(self, world: World, user: User) -> None:
        super().__init__(world, user)
        self.reads = threading.Event()

    def drain(self, timeout: float) -> bool:
        return self.reads.wait(timeout)


def right_of(user: Crew) -> Any:
    right = getattr(user, "right", True)
    getattr(user, "on_asked", lambda: None)()
    return right


@pytest.fixture
def settings() -> Settings:
    return Settings(view_linger=0.1, database_timeout=2.0)


@pytest.fixture
def world(database: harness.Database, settings: Settings) -> Iterator[World]:
    exposures = Exposures()
    exposures.expose(Flight, fields=lambda user: getattr(user, "fields", FIELDS), read=right_of)
    exposures.expose(Airline, fields=("name",), read=lambda user: True)
    Airline(code="UA", name="United").save()
    for number in ("1", "2"):
        Flight(number=number, carrier="UA", gate="A", delay=0, airline="UA").save()
    feed = MongoFeed(settings)
    feed.start()
    made = World(database, settings, exposures, feed, Room())
    made.start()
    yield made
    made.stop()


FIELDS = ("number", "carrier", "gate", "delay", "airline")


def seat(world: World, *fields: str, right: Any = True) -> Seat:
    return Seat(world, Crew("crew", *(fields or FIELDS), right=right))


def test_views_that_nothing_can_meet_come_and_go(world: World) -> None:
    client, other = seat(world), seat(world)
    watched = client.subscribe()["view"]
    for gate in "AB":
        other.subscribe(data_scope={"delay": {"in": []}, "gate": gate})
    world.broadcaster.disconnect(other)  # type: ignore[arg-type]
    harness.wait_until(lambda: len(world.broadcaster.views) == 1)

    world.database["flights"].update_one({"_id": "1"}, {"$set": {"gate": "Z"}})
    harness.wait_until(lambda: client.rows(watched)["1"]["gate"] == "Z")
    assert [one["op"] for one in client.got] == ["L", "L", "U"]


def test_views_of_those_who_lost_every_right_come_and_go(world: World) -> None:
    client, other = seat(world), seat(world)
    client.subscribe()
    for gate in "AB":
        other.subscribe(data_scope={"gate": gate})
    other.become(other.user.copy(*FIELDS, right=False))
    world.broadcaster.disconnect(other)  # type: ignore[arg-type]
    harness.wait_until(lambda: len(world.broadcaster.views) == 1)
    world.settle()
    assert client.ops[:2] == [("L", "1"), ("L", "2")]
    assert "reset" not in [one["op"] for one in client.got]


def test_rights_that_change_while_a_subscription_waits_count(world: World) -> None:
    client = seat(world)
    world.settle()
    ahead = f"{int(world.broadcaster.views.position) + (20 << 32):020d}"
    asked = spawn("subscribe", lambda: client.subscribe(start_seq=ahead, view="v"))
    time.sleep(0.2)
    client.become(client.user.copy("gate", right={"gate": "B"}))
    assert asked.join(10)
    world.settle()
    assert client.ops == []


def test_rights_that_change_while_read_is_asked_count(world: World) -> None:
    client = seat(world)

    def change() -> None:
        client.user.on_asked = lambda: None
        client.become(client.user.copy("gate", right={"gate": "B"}))

    client.user.on_asked = change
    client.subscribe()
    world.settle()
    assert client.ops == []


def test_who_moves_to_a_view_without_rows_shares_it(world: World) -> None:
    client, other = seat(world), seat(world, right={"gate": "Z"})
    empty = other.subscribe()["view"]
    client.subscribe()
    client.become(client.user.copy(*FIELDS, right={"gate": "Z"}))

    first, second = world.broadcaster.views.watchers
    assert first.view is second.view
    world.settle()
    assert [one["to"] for one in client.got if one["op"] == "moved"] == [empty]


def test_views_that_become_one_are_both_told(world: World) -> None:
    client = seat(world)
    views = [client.subscribe(catalog={"gate": None, name: None})["view"] for name in ("delay", "carrier")]
    client.become(client.user.copy("gate"))
    world.settle()

    moved = {one["view"]: one["to"] for one in client.got if one["op"] == "moved"}
    assert moved.keys() == set(views)


def test_rows_that_show_documents_of_a_dropped_collection_are_read_again(world: World) -> None:
    client = seat(world)
    view = client.subscribe(catalog={"airline": {"name": None}})["view"]
    assert client.rows(view)["1"]["airline"] == {"_id": "UA", "name": "United"}
    world.database["airlines"].drop()
    world.settle()
    harness.wait_until(lambda: client.rows(view).get("1", {}).get("airline") == "UA")


def test_judging_a_view_that_nobody_watches_any_more_changes_nothing(world: World) -> None:
    client = seat(world)
    client.subscribe(catalog={"airline": {"name": None}})
    (subscriber,) = world.broadcaster.views.watchers.of_connection(client)  # type: ignore[arg-type]
    world.broadcaster.disconnect(client)  # type: ignore[arg-type]
    world.broadcaster.views.judge(subscriber.view)
    world.settle()
    harness.wait_until(lambda: len(world.broadcaster.views) == 0)
    assert world.broadcaster.views.index.rows == 0


def test_rows_on_their_way_are_dropped_when_rights_are_judged_again(world: World) -> None:
    allowed = {"1", "2"}

    def may_read(user: Any, flight: Flight) -> bool:
        return flight.number in allowed

    world.exposures.expose(Flight, name="Judged", fields=FIELDS, read=may_read)
    client = Slow(world, Crew("crew", *FIELDS))
    world.database["flights"].update_many({}, {"$set": {"gate": "x" * 70_000}})
    asked = spawn("subscribe", lambda: client.ask("subscribe", {"class_name": "Judged"}))
    harness.wait_until(lambda: len(client.got) == 1)

    allowed.discard("2")
    client.become(client.user)
    client.reads.set()
    assert asked.join(10)
    world.settle()
    assert client.ops == [("L", "1"), ("L", "1")]
    assert client.is_revoked


def test_nobody_goes_on_behind_rows_that_do_not_show_a_change_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, goes_on = seat(world), threading.Event()
    view = client.subscribe(catalog={"gate": None, "airline": {"name": None}})["view"]
    world.settle()

    def read_again(*given: Any) -> Any:
        assert goes_on.wait(10)
        return expanding.read_again(*given)

    monkeypatch.setattr(intake, "read_again", read_again)
    first, second = (f"{int(world.broadcaster.views.position) + more:020d}" for more in (1, 2))
    row = {**world.database["flights"].find_one({"_id": "2"}), "gate": "Z"}
    changes = [
        Change(first, "U", "airlines", "UA", {"_id": "UA", "name": "Union"}),
        Change(second, "U", "flights", "2", row),
    ]
    taken = spawn("follow", world.broadcaster.intake.follow, changes)
    harness.wait_until(lambda: client.rows(view)["2"]["gate"] == "Z")
    assert client.rows(view)["1"]["airline"]["name"] == "United"
    assert client.got[-1]["seq"] < first
    assert not world.broadcaster._followed.reach(first, 0.1)

    world.database["airlines"].update_one({"_id": "UA"}, {"$set": {"name": "Union"}})
    goes_on.set()
    assert taken.join(10)
    assert world.broadcaster._followed.reach(first, 10)
    assert client.rows(view)["1"]["airline"]["name"] == "Union"


def test_what_rows_behind_a_window_show_is_not_kept(world: World) -> None:
    client = seat(world)
    client.subscribe(catalog={"airline": {"name": None}}, limit=1, order_by="_id")
    world.database["flights"].insert_many([{"_id": f"z{number:02d}", "airline": "UA"} for number in range(40)])
    world.settle()
    (subscriber,) = world.broadcaster.views.watchers.of_connection(client)  # type: ignore[arg-type]
    assert subscriber.view.dependents is not None
    assert len(subscriber.view.dependents) == len(subscriber.view)


def test_rows_are_read_again_where_nothing_lags_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = seat(world), []
    view = client.subscribe(catalog={"airline": {"name": None}})["view"]
    find = Collection.find

    def noted(self: Any, *given: Any, **options: Any) -> Any:
        asked.append(self.read_preference)
        return find(self, *given, **options)

    lagging = Flight._get_collection().with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    monkeypatch.setattr(Flight, "_collection", lagging)
    monkeypatch.setattr(Collection, "find", noted)
    world.database["airlines"].update_one({"_id": "UA"}, {"$set": {"name": "Union"}})
    harness.wait_until(lambda: client.rows(view)["1"]["airline"]["name"] == "Union")
    assert asked
    assert all(preference == ReadPreference.PRIMARY for preference in asked)


def test_a_client_that_asks_further_and_further_back_gets_no_more_than_is_remembered() -> None:
    past, asked = Past(10), []
    past.begin(f"{1000:020d}")
    resuming = Resuming(threading.RLock(), past)

    def history(document_class: Any, since: str, until: str, limit: int) -> list[Touch]:
        asked.append(since)
        if int(until) - int(since) > limit:
            raise HistoryLost("more")
        return [Touch(f"{at:020d}", "U", str(at)) for at in range(int(since) + 1, int(until) + 1)]

    exposure: Any = SimpleNamespace(collection="flights", document_class=Flight, name="Flight")
    for since in [*range(995, 900, -5), *range(1, 900)]:
        resuming.reach_back(exposure, f"{since:020d}", history)
    assert len(past._journals["flights"]) == 20
    assert past.floor("flights") == f"{980:020d}"
    assert len(asked) < 10


def test_a_load_whose_greenlet_is_killed_is_run_by_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, loads = seat(world), []
    load = world.broadcaster.views._loading._find

    def die_first(view: Any) -> Any:
        loads.append(view)
        if len(loads) == 1:
            raise gevent.GreenletExit
        return load(view)

    monkeypatch.setattr(world.broadcaster.views._loading, "_find", die_first)
    view = client.subscribe()["view"]
    assert client.rows(view).keys() == {"1", "2"}
    assert len(loads) == 2


def test_the_server_subscribes_with_an_order_and_a_limit(world: World) -> None:
    client = seat(world)
    parameters = world.broadcaster.subscribe(client, "Flight", order_by="-gate", limit=1, colour="red")  # type: ignore[arg-type]
    assert (parameters["order_by"], parameters["limit"], parameters["colour"]) == (["-gate"], 1, "red")
    assert client.ops == [("L", "1")]
    with pytest.raises(Refusal, match="bad_data"):
        world.broadcaster.subscribe(client, "Flight", limit="1")  # type: ignore[arg-type]


def test_a_load_does_not_wait_for_a_frozen_database(own_mongo: EmbeddedMongo) -> None:  # noqa: F811
    harness.disconnect()
    mongoengine.connect(host=own_mongo.uri_of("frozen"), uuidRepresentation="standard", tz_aware=True)
    Flight(number="1").save()
    exposure = Exposure(Flight, fields=("gate",))
    right = Right(exposure, ALL, exposure.visible(show_hidden=False))
    query = Query(exposure, EVERYTHING, ALL, parse_catalog(None, right, lambda _: None))
    settings = Settings(database_timeout=0.5)
    assert len(load_rows(query, settings).rows) == 1
    assert own_mongo.pid is not None

    harness.freeze(own_mongo.pid)
    began = time.monotonic()
    woken = gevent.spawn_later(harness.PATIENCE, harness.thaw, own_mongo.pid)
    try:
        with pytest.raises(PyMongoError):
            load_rows(query, settings)
        assert time.monotonic() - began < harness.PATIENCE / 2
    finally:
        woken.kill()
        harness.thaw(own_mongo.pid)
        harness.disconnect()
