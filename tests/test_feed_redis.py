"""The feed through Redis: who reads, who writes, and what is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from bson.codec_options import CodecOptions
from mongoengine import Document, StringField

from tests.harness import PATIENCE, Database, RedisServer, wait_until
from wsflask.config import Settings
from wsflask.errors import ConfigError
from wsflask.feed import Change, Gap, HistoryCut, Subscription, create_feed
from wsflask.feed import redis as redis_feed
from wsflask.feed.positions import position_of
from wsflask.feed.redis import RedisFeed
from wsflask.feed.redis_frames import Forged
from wsflask.feed.redis_stream import Deposed, Entry, RedisStream, connect

SECRET = b"of all workers"


class Gate(Document):
    meta = {"collection": "feed_gates", "strict": False}

    name = StringField()


class Lounge(Document):
    meta = {"collection": "feed_lounges", "strict": False}

    name = StringField()


Workers = Callable[..., RedisFeed]


@pytest.fixture
def workers(database: Database, redis: RedisServer) -> Iterator[Workers]:
    """Start feeds, each as in a worker of its own."""
    started: list[RedisFeed] = []

    def start(*classes: type[Document], url: str = redis.url, **settings: Any) -> RedisFeed:
        feed = RedisFeed(Settings(feed="redis", redis_url=url, **settings), SECRET)
        feed.start()
        started.append(feed)
        for document_class in classes:
            feed.watch(document_class, name="first")
        wait_until(lambda: feed.follows_redis)
        return feed

    yield start
    for feed in started:
        feed.stop()


def next_change(subscription: Subscription) -> Change:
    item = subscription.take(PATIENCE)
    assert isinstance(item, Change), item
    return item


def relay_of(*feeds: RedisFeed) -> RedisFeed:
    found: list[RedisFeed] = wait_until(lambda: [feed for feed in feeds if feed.is_relay])
    assert len(found) == 1
    return found[0]


def change_streams(database: Database) -> int:
    """Return how many change streams are open on this database, or on all."""
    pipeline = [{"$currentOp": {"allUsers": True, "idleCursors": True}}]
    found = database.client.admin.aggregate(pipeline)
    commands = [str(each.get("cursor", {}).get("originatingCommand", {})) for each in found]
    return sum("$changeStream" in each and database.name in each for each in commands)


def settled(database: Database, feed: RedisFeed) -> str:
    now = position_of(database.client.admin.command("hello")["lastWrite"]["opTime"]["ts"])
    wait_until(lambda: feed.position >= now)
    return feed.position


def stream_of(feed: RedisFeed) -> RedisStream:
    assert feed._stream is not None
    return feed._stream


# --- the usual


def test_one_worker_reads_the_database_for_all(workers: Workers, database: Database) -> None:
    feeds = [workers(Gate) for _ in range(4)]
    subscriptions = [feed.watch(Gate) for feed in feeds]
    written = [database["feed_gates"].insert_one({"n": n}).inserted_id for n in range(200)]
    arrived = [[next_change(each) for _ in written] for each in subscriptions]

    assert [[change.id for change in each] for each in arrived] == [written] * 4
    assert arrived[0] == arrived[1] == arrived[2] == arrived[3]
    assert [feed.follows_redis for feed in feeds] == [True] * 4
    assert sum(feed.is_relay for feed in feeds) == 1
    assert wait_until(lambda: change_streams(database) == 1)  # one that is just changing hands is not counted


def test_what_another_worker_wants_already_needs_no_detour(workers: Workers, database: Database) -> None:
    workers(Gate, Lounge)
    feed = workers(Gate)

    with feed.watch(Lounge) as lounges:
        database["feed_lounges"].insert_one({"_id": 1})
        assert next_change(lounges).id == 1

    assert feed.detours == 0


def test_what_nobody_wanted_yet_is_whole_from_the_start_and_soon_in_redis(
    workers: Workers, database: Database
) -> None:
    others = workers(Gate)
    feed = workers(Gate)
    with feed.watch(Gate) as gates, feed.watch(Lounge) as lounges:
        for number in range(50):
            database["feed_lounges"].insert_one({"_id": number})
            database["feed_gates"].insert_one({"_id": number})
        assert [next_change(lounges).id for _ in range(50)] == list(range(50))
        assert [next_change(gates).id for _ in range(50)] == list(range(50))
        wait_until(lambda: feed.follows_redis)
        with others.watch(Lounge) as elsewhere:
            database["feed_lounges"].insert_one({"_id": 99})
            assert next_change(elsewhere) == next_change(lounges)

    assert wait_until(lambda: change_streams(database) == 1)


def test_the_position_follows_what_nobody_watches(workers: Workers, database: Database) -> None:
    feed = workers(Gate)
    with feed.watch(Gate) as gates:
        for number in range(5):
            database["others"].insert_one({"_id": number})
            written = position_of(database.client.admin.command("hello")["lastWrite"]["opTime"]["ts"])
            began = time.monotonic()
            gates.wake_at(written)

            assert gates.take(PATIENCE) is None
            assert gates.position >= written
            assert time.monotonic() - began < PATIENCE / 10


def test_an_idle_database_leaves_one_entry_and_a_feed_that_lives(workers: Workers, redis: RedisServer) -> None:
    feed = workers(Gate)
    time.sleep(2.5)

    assert feed.is_live
    assert feed.follows_redis
    assert feed.detours == 0
    assert redis.client.xlen(stream_of(feed).key) == 1


def test_large_documents_are_looked_up(workers: Workers, database: Database, redis: RedisServer) -> None:
    workers(Gate)
    feed = workers(Gate)
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        sizes = [1_000, 300_000, 15_000_000]
        for size in sizes:
            gates.insert_one({"_id": {"size": size}, "name": "x" * size})
        gates.update_one({"_id": {"size": 300_000}}, {"$set": {"n": 1}})
        changes = [next_change(subscription) for _ in range(4)]
        gates.delete_one({"_id": {"size": 15_000_000}})
        last = next_change(subscription)

    assert [change.document and len(change.document["name"]) for change in changes] == [*sizes, 300_000]
    assert changes[3].document is not None
    assert changes[3].document["n"] == 1
    assert (last.op, last.document) == ("D", None)
    assert redis.client.memory_usage(stream_of(feed).key) < 200_000
    assert feed.follows_redis


def test_a_large_document_that_is_gone_tells_only_that(workers: Workers, database: Database) -> None:
    feed = workers(Gate)
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        gates.insert_one({"_id": 0})
        next_change(subscription)
        with database.client.start_session() as session, session.start_transaction():
            gates.insert_one({"_id": 1, "x": "x" * 300_000}, session=session)
            gates.delete_one({"_id": 1}, session=session)
        change = next_change(subscription)

    assert (change.op, change.id) == ("D", 1)


def test_touches_come_from_redis_and_are_the_same(
    workers: Workers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = workers(Gate, Lounge)
    gates = database["feed_gates"]
    gates.insert_one({"_id": 0})
    since = settled(database, feed)
    with database.client.start_session() as session, session.start_transaction():
        for number in range(1, 4):
            gates.insert_one({"_id": number}, session=session)
        gates.update_one({"_id": 1}, {"$set": {"name": "A"}}, session=session)
        gates.delete_one({"_id": 1}, session=session)
    database["feed_lounges"].insert_one({"_id": 1})
    gates.insert_one({"_id": 9})
    until = settled(database, feed)
    gates.insert_one({"_id": 10})
    expected = super(RedisFeed, feed).touches(Gate, since, until, 100)
    monkeypatch.setattr(feed, "_historian", None)

    assert feed.touches(Gate, since, until, 100) == expected
    assert len(expected) == 6
    with pytest.raises(HistoryCut) as told:
        feed.touches(Gate, since, until, 5)
    assert told.value.touches == expected[:5]
    for one in expected:
        for other in expected:
            assert feed.touches(Gate, one.seq, other.seq, 100) == [
                each for each in expected if one.seq < each.seq <= other.seq[:20] + "~"
            ]


def test_touches_that_redis_has_dropped_come_from_the_database(workers: Workers, database: Database) -> None:
    feed = workers(Gate, redis_bytes=20_000)
    since = settled(database, feed)
    written = [database["feed_gates"].insert_one({"x": "x" * 500}).inserted_id for _ in range(200)]
    until = settled(database, feed)

    assert [touch.id for touch in feed.touches(Gate, since, until, 1000)] == written


def test_redis_holds_no_more_than_it_may(workers: Workers, database: Database, redis: RedisServer) -> None:
    feed = workers(Gate, redis_bytes=100_000)
    with feed.watch(Gate) as subscription:
        for number in range(600):
            database["feed_gates"].insert_one({"_id": number, "x": "x" * 1000})
        assert [next_change(subscription).id for _ in range(600)] == list(range(600))

    assert redis.client.memory_usage(stream_of(feed).key, samples=0) < 200_000


def test_a_worker_that_ends_hands_over(workers: Workers, database: Database) -> None:
    feeds = [workers(Gate) for _ in range(3)]
    first = relay_of(*feeds)
    rest = [feed for feed in feeds if feed is not first]
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            written.append(database["feed_gates"].insert_one({}).inserted_id)
            gevent.sleep(0.002)

    with rest[0].watch(Gate) as subscription:
        writer = gevent.spawn(write)
        gevent.sleep(0.2)
        first.stop()
        relay_of(*rest)
        gevent.sleep(0.2)
        stop.set()
        writer.join()
        arrived = [next_change(subscription).id for _ in written]

    assert arrived == written
    assert [feed.follows_redis for feed in rest] == [True, True]


def test_it_needs_a_url_a_secret_and_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(feed="redis", redis_url="redis://127.0.0.1:1/0")

    with pytest.raises(ConfigError, match="SECRET_KEY"):
        create_feed(settings)
    with pytest.raises(ConfigError, match="WSFLASK_REDIS_URL"):
        RedisFeed(Settings(feed="redis"), SECRET)
    monkeypatch.setitem(__import__("sys").modules, "wsflask.feed.redis", None)
    with pytest.raises(ConfigError, match="pip install"):
        create_feed(settings, SECRET)


# --- the stream and its lease


def a_stream(redis: RedisServer, name: str, token: str) -> RedisStream:
    stream = RedisStream(connect(redis.url), SECRET, token, CodecOptions(), 1_000_000)
    stream.belong_to(name)
    return stream


def position(number: int) -> str:
    return f"{number:020d}"


def test_only_the_holder_of_the_lease_appends(redis: RedisServer) -> None:
    one, two = a_stream(redis, "lease", "one"), a_stream(redis, "lease", "two")

    assert one.take_lease()
    assert not two.take_lease()
    one.take_up(None)
    one.append(b"a", position(5), is_quiet=False, replaces=False)
    two.take_up(None)
    with pytest.raises(Deposed):
        two.append(b"b", position(6), is_quiet=False, replaces=False)
    two.release()
    assert not two.take_lease()
    one.release()
    assert two.take_lease()
    with pytest.raises(Deposed):
        one.append(b"c", position(6), is_quiet=False, replaces=False)
    assert redis.client.xlen("{wsflask:lease}:changes") == 1
    one.close()
    two.close()


def test_the_holder_of_the_lease_appends_only_behind_what_it_knows(redis: RedisServer) -> None:
    stream = a_stream(redis, "behind", "one")
    assert stream.take_lease()
    stream.take_up(None)
    stream.append(b"a", position(5), is_quiet=False, replaces=False)
    redis.client.xadd("{wsflask:behind}:changes", {"b": b"x"}, id="7-0")

    with pytest.raises(Deposed):
        stream.append(b"b", position(8), is_quiet=False, replaces=False)
    stream.take_up(None)
    stream.append(b"b", position(6), is_quiet=False, replaces=False)
    assert [each[0] for each in redis.client.xrange("{wsflask:behind}:changes")] == [b"6-0"]
    stream.close()


def test_a_frame_takes_the_place_of_a_quiet_one(redis: RedisServer) -> None:
    stream = a_stream(redis, "quiet", "one")
    assert stream.take_lease()
    stream.take_up(None)
    stream.append(b"a", position(5), is_quiet=False, replaces=False)
    stream.append(b"b", position(5), is_quiet=True, replaces=False)
    stream.append(b"c", position(5), is_quiet=True, replaces=True)
    stream.append(b"d", position(6), is_quiet=False, replaces=True)

    assert [each[0] for each in redis.client.xrange("{wsflask:quiet}:changes")] == [b"5-0", b"6-0"]
    stream.close()


def test_only_our_own_wishes_count_and_not_for_ever(redis: RedisServer) -> None:
    stream = a_stream(redis, "wishes", "one")
    stream.want([("ui", "gates"), ("ui", "a.b")])
    redis.client.zadd("{wsflask:wishes}:wanted", {b"0" * 16 + b"ui.users": 2**40})

    assert stream.wanted() == (3, frozenset({("ui", "gates"), ("ui", "a.b")}))
    redis.client.zadd("{wsflask:wishes}:wanted", dict.fromkeys(redis.client.zrange("{wsflask:wishes}:wanted", 0, 1), 5))
    assert stream.wanted()[1] == frozenset()
    stream.close()


# --- what does not come from us


def test_what_nobody_of_us_has_written_is_not_told(
    workers: Workers, database: Database, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    feeds = [workers(Gate), workers(Gate)]
    feed = next(each for each in feeds if not each.is_relay)
    key = stream_of(feed).key
    with feed.watch(Gate) as subscription:
        written = []
        for number in range(5):
            written.append(database["feed_gates"].insert_one({"_id": number}).inserted_id)
            wait_until(lambda: feed.follows_redis)
            (place, fields), *_ = redis.client.xrevrange(key, count=1)
            ahead = f"{int(place.split(b'-')[0]) + 2**33}-0"
            bodies = [fields[b"b"], b"", b"x" * 100, fields[b"b"][:-3] + b"abc"]
            redis.client.xadd(key, {"b": bodies[number]} if number < 4 else {"other": "field"}, id=ahead)
        arrived = [next_change(subscription).id for _ in written]
        wait_until(lambda: all(each.follows_redis for each in feeds))
        database["feed_gates"].insert_one({"_id": 99})

        assert arrived == written
        assert next_change(subscription).id == 99
        assert subscription.statistics()["gaps"] == 0
    assert "none of our workers" in caplog.text
    assert len(caplog.records) < 100


def test_a_redis_that_repeats_the_past_keeps_nothing_from_us_for_long(
    workers: Workers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_feed, "_LATE", 0.5)
    feeds = [workers(Gate), workers(Gate)]
    feed = next(each for each in feeds if not each.is_relay)
    stream = stream_of(feed)
    with feed.watch(Gate) as subscription:
        database["feed_gates"].insert_one({"_id": 0})
        next_change(subscription)
        wait_until(lambda: feed.follows_redis)
        past = stream.after("0-0", most=1, wait=None)
        asked = []

        def repeat(place: str, *, most: int, wait: int | None) -> list[Entry]:
            asked.append(place)
            time.sleep(0.1)
            return past

        monkeypatch.setattr(stream, "after", repeat)
        wait_until(lambda: asked)
        deadline = time.monotonic() + PATIENCE
        written = 0
        while not (told := subscription.take_many(1000, 0.2)) and time.monotonic() < deadline:
            written += 1
            database["feed_gates"].insert_one({"_id": written})

        assert isinstance(told[0], Change)
        assert told[0].id == 1
        assert feed.detours


def test_an_entry_told_twice_is_taken_once(workers: Workers, database: Database, redis: RedisServer) -> None:
    feed = workers(Gate)
    key = stream_of(feed).key
    with feed.watch(Gate) as subscription:
        database["feed_gates"].insert_one({"_id": 1})
        next_change(subscription)
        wait_until(lambda: feed.follows_redis)
        database["feed_gates"].insert_one({"_id": 2})
        next_change(subscription)
        old = list(redis.client.xrange(key))
        redis.client.delete(key)
        for place, fields in old:
            redis.client.xadd(key, fields, id=place)
        database["feed_gates"].insert_one({"_id": 3})

        assert next_change(subscription).id == 3
        assert subscription.take(0.3) is None


def test_workers_of_another_secret_are_no_workers_of_ours(
    workers: Workers, database: Database, redis: RedisServer
) -> None:
    feed = workers(Gate)
    other = RedisStream(connect(redis.url), b"another", "x", CodecOptions(), 1)
    other.belong_to(feed.epoch)

    with pytest.raises(Forged):
        other.last()
    assert other.wanted()[1] == frozenset()
    other.close()
    assert feed.follows_redis


def test_the_password_of_redis_is_never_shown(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("wsflask", "redis"):
        caplog.set_level(logging.DEBUG, logger=name)
    url = "redis://ann:hush-hush@127.0.0.1:1/0"
    settings = Settings(feed="redis", redis_url=url)
    feed = RedisFeed(settings, SECRET)
    feed.start()
    wait_until(lambda: "Redis can not be used" in caplog.text)
    feed.stop()
    with pytest.raises(ConfigError) as caught:
        RedisFeed(Settings(feed="redis", redis_url="redis//hush-hush"), SECRET).start()

    assert "hush" not in caplog.text + repr(settings) + str(caught.value)


# --- gaps


def test_a_dropped_collection_is_a_gap_for_those_who_watch_it(workers: Workers, database: Database) -> None:
    database["feed_gates"].insert_one({"_id": 1})
    workers(Gate, Lounge)
    feed = workers(Gate, Lounge)
    with feed.watch(Gate) as gates, feed.watch(Lounge) as lounges:
        database["feed_gates"].drop()
        gap = gates.take(PATIENCE)
        database["feed_lounges"].insert_one({"_id": 1})
        next_change(lounges)

    assert isinstance(gap, Gap)
    assert gap.collection == "feed_gates"
    assert lounges.statistics()["gaps"] == 0
