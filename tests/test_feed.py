"""What every feed promises, on each of them."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import gevent
import pytest
from bson import ObjectId
from mongoengine import (
    DateTimeField,
    DictField,
    Document,
    DynamicDocument,
    IntField,
    ListField,
    StringField,
    UUIDField,
)

from tests.harness import PATIENCE, Database, RedisServer, wait_until
from wsflask.config import Settings
from wsflask.errors import ConfigError
from wsflask.feed import Change, Feed, Gap, Subscription, create_feed
from wsflask.feed.positions import is_position
from wsflask.feed.redis import RedisFeed
from wsflask.feed.signals import WARNING


class Gate(Document):
    meta = {"collection": "feed_gates", "strict": False}

    name = StringField(db_field="n")
    opened = DateTimeField()
    doors = ListField(IntField())
    extra = DictField()
    key = UUIDField()


class Lounge(Document):
    meta = {"collection": "feed_lounges", "allow_inheritance": True}

    name = StringField()


class QuietLounge(Lounge):
    seats = IntField()


class Sketch(Document):
    meta = {"abstract": True}


class Note(DynamicDocument):
    meta = {"collection": "feed_notes"}


@pytest.fixture(params=["mongo", "signals", "redis"])
def feed(request: pytest.FixtureRequest, database: Database, redis_server: RedisServer) -> Iterator[Feed]:
    url = request.getfixturevalue("redis").url if request.param == "redis" else None
    feed = create_feed(Settings(feed=request.param, feed_backlog=50, redis_url=url), secret=b"of all workers")
    feed.start()
    if isinstance(feed, RedisFeed):
        wait_until(lambda: feed.follows_redis)
    yield feed
    feed.stop()


def next_item(subscription: Subscription) -> Change | Gap:
    item = subscription.take(PATIENCE)
    assert item is not None, "nothing came"
    return item


def next_change(subscription: Subscription) -> Change:
    item = next_item(subscription)
    assert isinstance(item, Change)
    return item


def test_an_insert_an_update_and_a_delete_arrive_in_order(feed: Feed) -> None:
    with feed.watch(Gate) as subscription:
        gate = Gate(name="B7").save()
        first = next_change(subscription)
        gate.name = "B8"
        gate.save()
        second = next_change(subscription)
        gate.delete()
        third = next_change(subscription)

    assert [first.op, second.op, third.op] == ["I", "U", "D"]
    assert {first.id, second.id, third.id} == {gate.id}
    assert {first.collection, second.collection, third.collection} == {"feed_gates"}
    assert first.seq < second.seq < third.seq
    assert first.document == {"_id": gate.id, "n": "B7", "doors": [], "extra": {}}
    assert second.document is not None
    assert second.document["n"] == "B8"


def test_a_document_comes_as_a_query_would_give_it(feed: Feed) -> None:
    moment = datetime.datetime(2016, 12, 21, 14, 50, 42, 123456, tzinfo=datetime.UTC)
    with feed.watch(Gate) as subscription:
        Gate(name="B7", opened=moment, doors=(1, 2), extra={"a": {"b": [None]}}, key=uuid4()).save()
        change = next_change(subscription)

    stored = Gate._get_collection().find_one({"_id": change.id})

    assert change.document == stored
    assert change.document is not None
    assert change.document["opened"].microsecond == 123000
    assert isinstance(change.document["key"], UUID)


def test_nothing_written_after_the_start_is_missed(feed: Feed) -> None:
    with feed.watch(Gate) as subscription:
        saved = [Gate(name=str(number)).save().id for number in range(30)]
        arrived = [next_change(subscription).id for _ in saved]

    assert arrived == saved


def test_a_collection_watched_later_misses_nothing_either(feed: Feed) -> None:
    stop = threading.Event()
    written: list[ObjectId] = []

    def write() -> None:
        while not stop.is_set():
            written.append(Gate(name="busy").save().id)
            gevent.sleep(0.005)

    with feed.watch(Gate) as gates:
        writer = gevent.spawn(write)
        for _ in range(3):
            with feed.watch(Lounge, Gate) as both, feed.watch(Note) as notes:
                lounge = Lounge(name="quiet").save()
                note = Note(text="hello").save()
                while next_change(both).id != lounge.id:
                    pass
                assert next_change(notes).id == note.id
        stop.set()
        writer.join()
        arrived = [next_change(gates).id for _ in written]

    assert arrived == written


def test_subclasses_share_the_collection(feed: Feed) -> None:
    with feed.watch(Lounge) as subscription:
        lounge = QuietLounge(name="library", seats=3).save()
        change = next_change(subscription)

    assert change.id == lounge.id
    assert change.document is not None
    assert change.document["_cls"] == "Lounge.QuietLounge"


def test_everybody_gets_the_same_changes_in_the_same_order(feed: Feed) -> None:
    with feed.watch(Gate) as one, feed.watch(Gate, Lounge) as two:
        for number in range(10):
            Gate(name=str(number)).save()
            Lounge(name=str(number)).save()
        gates = [next_change(one) for _ in range(10)]
        both = [next_change(two) for _ in range(20)]

    assert [change.seq for change in both] == sorted(change.seq for change in both)
    assert [change for change in both if change.collection == "feed_gates"] == gates


def test_the_position_is_that_of_what_was_handed_on(feed: Feed) -> None:
    with feed.watch(Gate) as subscription:
        before = feed.position
        Gate(name="B7").save()
        change = next_change(subscription)

        assert before != ""
        assert before < change.seq
        assert wait_until(lambda: feed.position >= change.seq)


def test_the_position_of_a_subscription_is_that_of_what_was_taken(feed: Feed) -> None:
    with feed.watch(Gate) as subscription:
        before = subscription.position
        Gate(name="B7").save()
        Gate(name="B8").save()
        first = next_change(subscription)
        between = subscription.position
        second = next_change(subscription)

        assert before < first.seq
        assert between < second.seq
        assert wait_until(lambda: subscription.position >= second.seq)


def test_one_who_awaits_a_position_is_woken(feed: Feed) -> None:
    with feed.watch(Gate) as subscription, feed.watch(Gate) as other:
        Gate(name="B7").save()
        change = next_change(other)
        next_change(subscription)
        subscription.wake_at(change.seq)

        assert subscription.take(PATIENCE) is None
        assert subscription.position >= change.seq


def test_positions_have_one_form(feed: Feed) -> None:
    with feed.watch(Gate) as subscription:
        Gate(name="B7").save()
        change = next_change(subscription)

        assert [is_position(each) for each in (change.seq, subscription.position, feed.position)] == [True] * 3


def test_one_who_falls_behind_gets_one_gap_and_then_goes_on(feed: Feed) -> None:
    with feed.watch(Gate, name="slow") as slow, feed.watch(Gate, name="quick") as quick:
        for number in range(51):
            Gate(name=str(number)).save()
            last = next_change(quick)
        Gate(name="after").save()
        gap, change = next_item(slow), next_change(slow)

        assert isinstance(gap, Gap)
        assert gap.seq == last.seq
        assert change.document is not None
        assert change.document["n"] == "after"
        assert slow.statistics() == {"waiting": 0, "taken": 2, "dropped": 51, "gaps": 1}
        assert quick.statistics()["gaps"] == 0


def test_closing_wakes_the_one_who_waits(feed: Feed) -> None:
    subscription = feed.watch(Gate)
    seen: list[Change | Gap] = []
    reader = gevent.spawn(lambda: seen.extend(subscription))
    gevent.sleep(0)

    subscription.close()
    reader.join(PATIENCE)

    assert reader.ready()
    assert seen == []
    subscription.close()


def test_a_closed_subscription_gets_nothing(feed: Feed) -> None:
    with feed.watch(Gate) as other:
        subscription = feed.watch(Gate)
        subscription.close()
        Gate(name="B7").save()
        next_change(other)

    assert subscription.statistics()["waiting"] == 0
    assert list(subscription) == []


def test_stopping_closes_the_subscriptions_and_may_be_done_twice(feed: Feed) -> None:
    subscription = feed.watch(Gate)

    feed.stop()
    feed.stop()

    assert list(subscription) == []
    assert not feed.is_live


def test_a_feed_is_live_while_it_follows(feed: Feed) -> None:
    feed.start()

    assert wait_until(lambda: feed.is_live)


def test_waiting_for_the_next_change_has_an_end(feed: Feed) -> None:
    with feed.watch(Gate) as subscription:
        assert subscription.take(0.01) is None


@pytest.mark.parametrize("classes", [(), (Sketch,), (dict,)], ids=["none", "abstract", "no document"])
def test_what_has_no_collection_cannot_be_watched(feed: Feed, classes: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError):
        feed.watch(*classes)


def test_auto_takes_the_change_stream_of_a_replica_set(database: Database) -> None:
    feed = create_feed(Settings())

    assert type(feed).__name__ == "MongoFeed"
    assert feed.sees_every_write
    assert feed.position == ""


def test_auto_asks_the_database_of_its_own_uri(database: Database) -> None:
    assert type(create_feed(Settings(mongodb_uri=database.uri))).__name__ == "MongoFeed"


def test_a_feed_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="carrier pigeon"):
        create_feed(Settings(feed="carrier pigeon"))


def test_signals_say_loudly_what_they_cannot_promise(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    feed = create_feed(Settings(feed="signals"))

    feed.start()
    feed.stop()

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [WARNING]
    assert not feed.sees_every_write
