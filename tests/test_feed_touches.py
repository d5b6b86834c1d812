"""What happened between two positions, read from the database's history."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from bson import Timestamp
from mongoengine import Document, StringField
from pymongo.errors import ExecutionTimeout, NetworkTimeout, PyMongoError

from tests.harness import PATIENCE, Database, wait_until
from wsflask.config import Settings
from wsflask.feed import Change, HistoryCut, HistoryLost, Subscription, Touch
from wsflask.feed import touches as touches_module
from wsflask.feed.mongo import MongoFeed
from wsflask.feed.positions import moment_after, moment_end, position_of
from wsflask.feed.signals import SignalFeed
from wsflask.feed.tail import Event, Tail


class Gate(Document):
    meta = {"collection": "feed_gates", "strict": False}

    name = StringField()


class Lounge(Document):
    meta = {"collection": "feed_lounges", "strict": False}

    name = StringField()


@pytest.fixture
def feed(database: Database) -> Iterator[MongoFeed]:
    feed = MongoFeed(Settings())
    feed.start()
    yield feed
    feed.stop()


def settled(feed: MongoFeed, database: Database) -> str:
    """Return the position of all that was written until now."""
    reply = database.client.admin.command("hello")
    now = position_of(reply["lastWrite"]["opTime"]["ts"])
    wait_until(lambda: feed.position >= now)
    return feed.position


def changes_of(subscription: Subscription, count: int) -> list[Change]:
    items = [subscription.take(PATIENCE) for _ in range(count)]
    assert all(isinstance(item, Change) for item in items)
    return [item for item in items if isinstance(item, Change)]


def touches_of(changes: list[Change]) -> list[Touch]:
    return [Touch(change.seq, change.op, change.id) for change in changes]


def write_in_one_moment(database: Database, count: int) -> None:
    """Write documents of both collections in one transaction."""
    for name in ("feed_gates", "feed_lounges"):
        database[name].insert_one({"_id": "first"})  # a transaction may not create a collection beside others
    with database.client.start_session() as session, session.start_transaction():
        database["feed_lounges"].insert_one({"_id": "a"}, session=session)
        for number in range(count):
            database["feed_gates"].insert_one({"_id": number}, session=session)
        database["feed_gates"].update_one({"_id": 0}, {"$set": {"name": "A"}}, session=session)
        database["feed_gates"].delete_one({"_id": 0}, session=session)
        database["feed_lounges"].insert_one({"_id": "b"}, session=session)


def test_touches_are_what_the_feed_told(feed: MongoFeed, database: Database) -> None:
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        since = settled(feed, database)
        gates.insert_one({"_id": 1})
        database["feed_lounges"].insert_one({"_id": 9})
        gates.update_one({"_id": 1}, {"$set": {"name": "A"}})
        gates.replace_one({"_id": 1}, {"name": "B"})
        gates.delete_one({"_id": 1})
        until = settled(feed, database)
        gates.insert_one({"_id": 2})

        touches = feed.touches(Gate, since, until, 100)

        assert [(touch.op, touch.id) for touch in touches] == [("I", 1), ("U", 1), ("U", 1), ("D", 1)]
        assert feed.touches(Gate, touches[0].seq, touches[2].seq, 100) == touches[1:3]
        assert feed.touches(Gate, since, since, 100) == []
        assert feed.touches(Gate, until, since, 100) == []
        assert {change.seq for change in changes_of(subscription, 2)} <= {touch.seq for touch in touches}


def test_changes_of_one_moment_have_the_same_positions_everywhere(feed: MongoFeed, database: Database) -> None:
    since = settled(feed, database)
    other = MongoFeed(Settings())
    other.start()
    try:
        with feed.watch(Gate) as gates, other.watch(Lounge, Gate) as both:
            write_in_one_moment(database, 3)
            told = changes_of(gates, 5)
            elsewhere = [change for change in changes_of(both, 8) if change.collection == "feed_gates"]
            touches = feed.touches(Gate, since, settled(feed, database), 100)
    finally:
        other.stop()

    moment = told[1].seq
    # The update has a number of its own, though the document was gone when it was looked up.
    assert [change.seq for change in told[1:]] == [moment, f"{moment}.0001", f"{moment}.0002", f"{moment}.0004"]
    assert told == elsewhere
    assert [touch.op for touch in touches] == ["I", "I", "I", "I", "U", "D"]
    assert [touch for touch in touches if touch.op != "U"] == touches_of(told)


def test_touches_begin_and_end_between_changes_of_one_moment(feed: MongoFeed, database: Database) -> None:
    since = settled(feed, database)
    write_in_one_moment(database, 3)
    touches = feed.touches(Gate, since, settled(feed, database), 100)

    assert feed.touches(Gate, touches[2].seq, feed.position, 100) == touches[3:]
    assert feed.touches(Gate, touches[0].seq, touches[2].seq, 100) == touches[1:]  # a moment is read to its end
    assert feed.touches(Gate, touches[0].seq, touches[1].seq, 100) == touches[1:]


def test_more_than_the_limit_is_lost_history(feed: MongoFeed, database: Database) -> None:
    since = settled(feed, database)
    database["feed_gates"].insert_many([{} for _ in range(2500)])
    until = settled(feed, database)

    touches = feed.touches(Gate, since, until, 2500)
    assert len(touches) == 2500
    with pytest.raises(HistoryCut, match="2499") as told:
        feed.touches(Gate, since, until, 2499)
    assert told.value.touches == touches[:2499]
    assert feed.touches(Gate, moment_end(told.value.reached), until, 2500) == touches[2499:]


def test_what_is_more_than_the_limit_is_cut_between_two_moments(feed: MongoFeed, database: Database) -> None:
    since = settled(feed, database)
    write_in_one_moment(database, 3)
    until = settled(feed, database)
    touches = feed.touches(Gate, since, until, 100)

    with pytest.raises(HistoryCut) as told:
        feed.touches(Gate, since, until, 3)
    assert told.value.touches == touches[:1]
    with pytest.raises(HistoryLost) as lost:
        feed.touches(Gate, moment_end(told.value.reached), until, 3)
    assert not isinstance(lost.value, HistoryCut)
    assert len(feed.touches(Gate, moment_end(told.value.reached), until, 5)) == 5


@pytest.mark.parametrize("error", [NetworkTimeout, ExecutionTimeout])
def test_what_was_read_before_the_server_was_too_slow_is_the_beginning(
    feed: MongoFeed, database: Database, monkeypatch: pytest.MonkeyPatch, error: type[PyMongoError]
) -> None:
    class Slow(Tail):
        reads = 0

        def read(self, wait: int) -> list[tuple[str, Event]]:
            Slow.reads += 1
            if Slow.reads > 2:
                raise error("too slow")
            return super().read(wait)

    since = settled(feed, database)
    database["feed_gates"].insert_many([{} for _ in range(2500)])
    until = settled(feed, database)
    whole = feed.touches(Gate, since, until, 2500)

    monkeypatch.setattr(touches_module, "Tail", Slow)
    with pytest.raises(HistoryCut) as told:
        feed.touches(Gate, since, until, 2500)
    count = len(told.value.touches)
    assert 1000 < count < 2500
    assert told.value.touches == whole[:count]
    assert feed.position >= told.value.reached
    with pytest.raises(NetworkTimeout if error is NetworkTimeout else HistoryLost):
        feed.touches(Gate, since, until, 2500)


@pytest.mark.parametrize("way", ["drop", "rename", "replace", "dropDatabase"])
def test_a_collection_that_was_dropped_or_renamed_meanwhile_is_lost_history(
    feed: MongoFeed, database: Database, way: str
) -> None:
    gates = database["feed_gates"]
    gates.insert_one({"_id": 1})
    database["others"].insert_one({"_id": 1})
    since = settled(feed, database)
    if way == "replace":
        database["others"].rename("feed_gates", dropTarget=True)
    elif way == "dropDatabase":
        database.client.drop_database(database.name)
    else:
        gates.drop() if way == "drop" else gates.rename("elsewhere")
    database["others"].insert_one({"_id": 2})
    after = settled(feed, database)
    gates.insert_one({"_id": 2})
    until = settled(feed, database)

    with pytest.raises(HistoryLost, match="drop" if way.startswith("drop") else "rename"):
        feed.touches(Gate, since, until, 100)
    assert [touch.id for touch in feed.touches(Gate, after, until, 100)] == [2]


def test_dropping_another_collection_loses_nothing(feed: MongoFeed, database: Database) -> None:
    database["feed_lounges"].insert_one({"_id": 1})
    since = settled(feed, database)
    database["feed_lounges"].drop()
    database["feed_gates"].insert_one({"_id": 2})

    assert [touch.id for touch in feed.touches(Gate, since, settled(feed, database), 100)] == [2]


def test_a_quiet_collection_is_read_to_its_end_at_once(feed: MongoFeed, database: Database) -> None:
    since = settled(feed, database)
    for number in range(20):
        database["others"].insert_one({"_id": number})
    until = settled(feed, database)
    began = time.monotonic()

    assert feed.touches(Gate, since, until, 100) == []
    assert time.monotonic() - began < PATIENCE / 4


def test_a_position_that_is_not_reached_in_time_is_lost_history(database: Database) -> None:
    feed = MongoFeed(Settings(database_timeout=0.3))
    feed.start()
    try:
        with pytest.raises(HistoryLost):
            feed.touches(Gate, settled(feed, database), moment_after(moment_after(feed.position)), 100)
        far = position_of(Timestamp(2**32 - 1, 1))
        with pytest.raises(HistoryLost):
            feed.touches(Gate, far, moment_after(far), 100)
    finally:
        feed.stop()


@pytest.mark.parametrize("since", ["", "826B009BF9000000012B022C0100296E", "$where"])
def test_what_is_no_position_has_no_history(feed: MongoFeed, since: str) -> None:
    with pytest.raises(HistoryLost):
        feed.touches(Gate, since, feed.position, 100)


def test_many_may_read_the_history_at_once(feed: MongoFeed, database: Database) -> None:
    since = settled(feed, database)
    database["feed_gates"].insert_many([{"_id": number} for number in range(50)])
    until = settled(feed, database)

    readers = [gevent.spawn(feed.touches, Gate, since, until, 100) for _ in range(30)]
    gevent.joinall(readers, timeout=PATIENCE)

    assert [len(reader.value or ()) for reader in readers] == [50] * 30


def test_signals_have_no_history() -> None:
    with pytest.raises(HistoryLost):
        SignalFeed(Settings()).touches(Gate, "0" * 20, "1" * 20, 100)


def test_a_feed_that_was_not_started_has_no_history() -> None:
    with pytest.raises(HistoryLost):
        MongoFeed(Settings()).touches(Gate, "0" * 20, "1" * 20, 100)
