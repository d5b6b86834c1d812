"""The change stream: other writers, outages, losses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mongoengine
import pytest
from mongoengine import Document, StringField
from pymongo.errors import OperationFailure, PyMongoError

from tests import harness
from tests.harness import PATIENCE, Database, wait_until
from wsflask.config import Settings
from wsflask.embedded import EmbeddedMongo
from wsflask.embedded.children import free_port
from wsflask.errors import ConfigError
from wsflask.feed import Change, Gap, HistoryLost, Subscription
from wsflask.feed.changes import Late
from wsflask.feed.mongo import MongoFeed
from wsflask.feed.positions import moment_of, numbered, position_of
from wsflask.feed.tail import Event, Tail
from wsflask.testing import Faults, Proxy


class Gate(Document):
    meta = {"collection": "feed_gates", "strict": False}

    name = StringField()


class Lounge(Document):
    meta = {"collection": "feed_lounges", "strict": False}

    name = StringField()


class Annex(Document):
    meta = {"collection": "feed_gates", "db_alias": "annex", "strict": False}

    name = StringField()


@pytest.fixture
def feed(database: Database) -> Iterator[MongoFeed]:
    feed = MongoFeed(Settings())
    feed.start()
    yield feed
    feed.stop()


def next_item(subscription: Subscription, timeout: float = PATIENCE) -> Change | Gap:
    item = subscription.take(timeout)
    assert item is not None, "nothing came"
    return item


def next_change(subscription: Subscription) -> Change:
    item = next_item(subscription)
    assert isinstance(item, Change)
    return item


def next_gap(subscription: Subscription) -> Gap:
    while not isinstance(item := next_item(subscription, 3 * PATIENCE), Gap):
        pass
    return item


def test_writes_past_the_documents_are_seen(feed: MongoFeed, database: Database) -> None:
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        gates.insert_many([{"_id": 1, "name": "A"}, {"_id": 2, "name": "B"}])
        gates.update_many({}, {"$set": {"name": "C"}})
        gates.replace_one({"_id": 1}, {"name": "D"})
        gates.delete_one({"_id": 2})
        changes = [next_change(subscription) for _ in range(5)]
        rest = subscription.take(0.6)

    ops = [(change.op, change.id) for change in [*changes, rest] if isinstance(change, Change)]
    assert [op for op in ops if op[1] == 1] == [("I", 1), ("U", 1), ("U", 1)]
    assert next(op for op in ops if op[1] == 2) == ("I", 2)
    assert [op for op in ops if op[1] == 2][-1] == ("D", 2)


def test_a_delete_brings_the_last_state_where_the_database_keeps_it(feed: MongoFeed, database: Database) -> None:
    database.client[database.name].create_collection("feed_gates", changeStreamPreAndPostImages={"enabled": True})
    with feed.watch(Gate) as subscription:
        database["feed_gates"].insert_one({"_id": 1, "name": "A"})
        database["feed_gates"].delete_one({"_id": 1})
        changes = [next_change(subscription), next_change(subscription)]

    assert [change.document for change in changes] == [{"_id": 1, "name": "A"}] * 2


def test_dropping_or_renaming_a_collection_is_a_gap_for_those_who_watch_it(feed: MongoFeed, database: Database) -> None:
    database["feed_gates"].insert_one({"_id": 1})
    database["feed_lounges"].insert_one({"_id": 1})
    database["others"].insert_one({"_id": 9})
    with feed.watch(Gate) as gates, feed.watch(Lounge) as lounges:
        database["feed_gates"].drop()
        first = next_gap(gates)
        database["others"].rename("feed_gates")
        second = next_gap(gates)
        database["feed_lounges"].insert_one({"_id": 2})
        while next_change(lounges).id != 2:
            pass

    assert ["drop" in first.reason, "rename" in second.reason] == [True, True]
    assert lounges.statistics()["gaps"] == 0


def test_dropping_the_database_is_a_gap_and_the_feed_goes_on(feed: MongoFeed, database: Database) -> None:
    with feed.watch(Gate) as gates, feed.watch(Lounge) as lounges:
        database["feed_gates"].insert_one({"_id": 1})
        next_change(gates)

        database.client.drop_database(database.name)
        found = [next_item(gates), next_item(lounges)]
        database["feed_gates"].insert_one({"_id": 2})
        while not isinstance(change := next_item(gates), Change):
            pass

    assert all(isinstance(item, Gap) for item in found)
    assert change.id == 2


def test_several_databases_share_one_stream(feed: MongoFeed, database: Database) -> None:
    other = f"{database.name}_annex"
    uri = database.uri.replace(database.name, other)
    mongoengine.connect(alias="annex", host=uri, uuidRepresentation="standard", tz_aware=True)
    try:
        with feed.watch(Gate) as gates:
            database["feed_gates"].insert_one({"_id": 1})
            next_change(gates)
            with feed.watch(Annex) as annex:
                database.client[other]["feed_gates"].insert_one({"_id": 2})
                database["feed_gates"].insert_one({"_id": 3})
                changes = next_change(annex), next_change(gates)
    finally:
        mongoengine.disconnect(alias="annex")
        database.client.drop_database(other)

    assert [change.id for change in changes] == [2, 3]


def test_a_class_of_another_server_is_refused(feed: MongoFeed, database: Database) -> None:
    mongoengine.connect("annex", alias="annex", host="mongodb://127.0.0.1:9/annex", uuidRepresentation="standard")
    try:
        with pytest.raises(ConfigError, match="another server"):
            feed.watch(Annex)
    finally:
        mongoengine.disconnect(alias="annex")


def test_the_position_moves_on_a_quiet_stream(feed: MongoFeed, database: Database) -> None:
    with feed.watch(Gate):
        before = feed.position
        database["others"].insert_one({"_id": 1})

        assert wait_until(lambda: feed.position > before)


def test_a_subscription_s_position_passes_what_others_write(feed: MongoFeed, database: Database) -> None:
    """A client that wrote something nobody watches has to know soon that nothing is to come."""
    with feed.watch(Gate) as subscription:
        for number in range(5):
            database["others"].insert_one({"_id": number})
            written = position_of(database.client.admin.command("hello")["lastWrite"]["opTime"]["ts"])
            began = time.monotonic()
            subscription.wake_at(written)

            assert subscription.take(PATIENCE) is None
            assert subscription.position >= written
            assert time.monotonic() - began < 1.0 or harness.MS > 0.001


def test_a_moment_is_reached_when_all_of_it_is_told(feed: MongoFeed, database: Database) -> None:
    """Writers of one and of many documents at once; after each turn nothing may come from before the position."""
    stop = threading.Event()

    def write(number: int) -> None:
        gates = database["feed_gates"]
        while not stop.is_set():
            with database.client.start_session() as session, session.start_transaction():
                gates.insert_many([{"by": number} for _ in range(number * number + 1)], session=session)
            database["others"].insert_one({})

    database["feed_gates"].insert_one({})
    seen: set[str] = set()
    with feed.watch(Gate) as subscription:
        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        reached = ""
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            items = subscription.take_many(10, PATIENCE)
            assert all(moment_of(item.seq) > reached for item in items)
            assert seen.isdisjoint(item.seq for item in items)
            seen.update(item.seq for item in items)
            reached = subscription.position
        stop.set()
        for writer in writers:
            writer.join()

    assert len(seen) > 100


def test_a_reply_that_ends_in_the_midst_of_a_moment_is_completed(feed: MongoFeed, database: Database) -> None:
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        gates.insert_one({})
        next_change(subscription)
        with database.client.start_session() as session, session.start_transaction():
            gates.insert_many([{"x": number} for number in range(2500)], session=session)
        items = subscription.take_many(1, PATIENCE)

    assert len(items) == 2500
    assert len({moment_of(item.seq) for item in items}) == 1


def test_a_moment_with_too_much_to_wait_for_comes_in_pieces_and_none_is_lost(
    feed: MongoFeed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsflask.feed.tail._MOST_HELD", 1500)
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        gates.insert_one({"_id": -1})
        next_change(subscription)
        with database.client.start_session() as session, session.start_transaction():
            gates.insert_many([{"_id": number} for number in range(3500)], session=session)
        changes = [next_change(subscription) for _ in range(3500)]

        assert [change.id for change in changes] == list(range(3500))
        assert [change.seq for change in changes] == [numbered(changes[0].seq, number) for number in range(3500)]
        assert wait_until(lambda: subscription.position >= changes[0].seq)


def test_a_moment_larger_than_a_reply_is_told_whole(feed: MongoFeed, database: Database) -> None:
    """A transaction of 24 MB in two collections: the server can not send it at once."""
    with feed.watch(Gate, Lounge) as subscription:
        for name in ("feed_gates", "feed_lounges"):
            database[name].insert_one({})
            next_change(subscription)
        with database.client.start_session() as session, session.start_transaction():
            for _ in range(12):
                for name in ("feed_gates", "feed_lounges"):
                    database[name].insert_one({"x": "x" * 1_000_000}, session=session)
        items = subscription.take_many(1, PATIENCE)

    assert len(items) == 24
    assert [item.seq for item in items][-2:] == [numbered(moment_of(items[0].seq), 11)] * 2


def test_an_update_tells_the_newest_state_and_the_delete_follows(feed: MongoFeed, database: Database) -> None:
    """Documents are looked up after the fact: here all of it happened at once."""
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        for number in (1, 2):
            gates.insert_one({"_id": number})
            next_change(subscription)
        with database.client.start_session() as session, session.start_transaction():
            for number in (1, 2):
                gates.update_many({}, {"$set": {"n": number}}, session=session)
            gates.delete_one({"_id": 2}, session=session)
        changes = [next_change(subscription) for _ in range(3)]

    moment = changes[0].seq
    assert [(change.op, change.id) for change in changes] == [("U", 1), ("U", 1), ("D", 2)]
    assert [change.seq for change in changes] == [moment, f"{moment}.0002", f"{moment}.0004"]
    assert [change.document and change.document["n"] for change in changes] == [2, 2, None]


def test_every_change_arrives_once_however_often_collections_join(feed: MongoFeed, database: Database) -> None:
    """The stream is opened again for each of them, while others write."""
    classes = [type(f"Room{n}", (Document,), {"meta": {"collection": f"rooms{n}"}}) for n in range(6)]
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            written.append(database["feed_gates"].insert_one({}).inserted_id)

    with feed.watch(Gate) as gates:
        writer = threading.Thread(target=write)
        writer.start()
        rooms: list[Subscription] = []
        for number, document_class in enumerate(classes):
            rooms.append(feed.watch(document_class))
            for each in range(20):
                database[f"rooms{number}"].insert_one({"_id": each})
        arrived = [[next_change(room).id for _ in range(20)] for room in rooms]
        stop.set()
        writer.join()
        seen = [next_change(gates).id for _ in written]
        for room in rooms:
            assert room.take(0) is None
            room.close()

    assert arrived == [list(range(20))] * 6
    assert seen == written


@pytest.mark.parametrize("code", [136, 280, 286, 10334])
def test_a_lost_position_is_a_gap_for_everybody(
    feed: MongoFeed, database: Database, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(events: object, *_: object) -> None:
        if not events:
            return
        monkeypatch.undo()
        raise OperationFailure("gone", code)

    with feed.watch(Gate) as gates, feed.watch(Lounge) as lounges:
        monkeypatch.setattr(feed, "_hand_on", fail)
        database["feed_gates"].insert_one({"_id": 1})
        gaps = [next_gap(gates), next_gap(lounges)]
        database["feed_gates"].insert_one({"_id": 2})
        change = next_change(gates)

    assert change.id == 2
    assert change.seq > gaps[0].seq == gaps[1].seq


def test_a_document_of_almost_16_mb_is_told_whatever_happens_to_it(feed: MongoFeed, database: Database) -> None:
    """With the image from before, the one from after and the new values, an event would be three times as large."""
    database.client[database.name].create_collection("feed_gates", changeStreamPreAndPostImages={"enabled": True})
    gates = database["feed_gates"]
    with feed.watch(Gate) as subscription:
        gates.insert_one({"_id": 1, "name": "x" * 16_700_000})
        gates.update_one({"_id": 1}, {"$set": {"name": "y" * 16_700_000}})
        gates.replace_one({"_id": 1}, {"name": "z" * 16_700_000})
        gates.delete_one({"_id": 1})
        changes = [next_change(subscription)]
        while changes[-1].op != "D":
            changes.append(next_change(subscription))

    assert [change.op for change in changes][:1] == ["I"]
    assert changes[-1].document == {"_id": 1, "name": "z" * 16_700_000}
    assert subscription.statistics()["gaps"] == 0


def test_large_documents_are_decoded_when_somebody_looks(feed: MongoFeed, database: Database) -> None:
    with feed.watch(Gate) as one, feed.watch(Gate) as two:
        for number in range(3):
            database["feed_gates"].insert_one({"_id": number, "name": "x" * 5000, "at": {"n": [number]}})
        changes = [next_change(one) for _ in range(3)]
        same = [next_change(two) for _ in range(3)]

    assert isinstance(changes[2].image, Late)
    assert [change.document for change in changes] == list(database["feed_gates"].find())
    assert all(type(change.document) is dict and change.id == change.document["_id"] for change in changes)
    assert all(one.document is two.document for one, two in zip(changes, same, strict=True))


def test_a_change_too_large_for_an_event_is_a_gap(feed: MongoFeed, database: Database) -> None:
    """Only an id can make it so: it is in an event three times, in the token as hexadecimal digits."""
    with feed.watch(Gate) as gates:
        database["feed_gates"].insert_one({"_id": "x" * 6_000_000})
        gap = next_gap(gates)
        database["feed_gates"].insert_one({"_id": 2})
        change = next_change(gates)

    assert "too large" in gap.reason
    assert change.id == 2


def test_a_fault_of_our_own_is_a_gap_and_not_the_end(
    feed: MongoFeed, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(events: object, *_: object) -> None:
        if not events:
            return
        monkeypatch.undo()
        raise ValueError("a bug")

    with feed.watch(Gate) as gates:
        monkeypatch.setattr(feed, "_hand_on", fail)
        database["feed_gates"].insert_one({"_id": 1})
        next_gap(gates)
        database["feed_gates"].insert_one({"_id": 2})
        change = next_change(gates)

    assert change.id == 2
    assert "a bug" in caplog.text


def test_it_works_with_real_threads(database: Database) -> None:
    script = textwrap.dedent(
        """
        import sys, threading, mongoengine
        from mongoengine import Document, StringField
        from wsflask.config import Settings
        from wsflask.feed import create_feed

        class Gate(Document):
            name = StringField()

        mongoengine.connect(host=sys.argv[1], uuidRepresentation="standard")
        feed = create_feed(Settings())
        subscription = feed.watch(Gate)
        feed.start()
        writer = threading.Thread(target=lambda: [Gate(name=str(n)).save() for n in range(20)])
        writer.start()
        print([subscription.take(10).document["name"] for _ in range(20)] == [str(n) for n in range(20)])
        writer.join()
        feed.stop()
        print(list(subscription), feed.is_live)
        mongoengine.disconnect_all()
        """
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, database.uri],
        capture_output=True, text=True, timeout=60, cwd=harness.ROOT, check=False,
    )  # fmt: skip

    assert (done.stdout.split("\n")[:2], done.stderr) == (["True", "[] False"], "")


def test_a_feed_started_before_a_fork_starts_anew_in_the_child(database: Database) -> None:
    script = textwrap.dedent(
        """
        import os, sys, warnings, mongoengine
        from mongoengine import Document, StringField
        from wsflask.config import Settings
        from wsflask.feed import Gap, create_feed

        warnings.simplefilter("ignore")

        class Gate(Document):
            name = StringField()

        mongoengine.connect(host=sys.argv[1], uuidRepresentation="standard")
        feed = create_feed(Settings(feed="mongo"))
        feed.start()
        subscription = feed.watch(Gate)
        child = os.fork()
        if not child:
            mongoengine.disconnect_all()
            mongoengine.connect(host=sys.argv[1], uuidRepresentation="standard")
            feed.start()
            gap = subscription.take(10)
            Gate(name="child").save()
            change = subscription.take(10)
            os._exit(0 if isinstance(gap, Gap) and change.document["name"] == "child" else 1)
        print(os.waitpid(child, 0)[1])
        feed.stop()
        """
    )

    done = subprocess.run(
        [sys.executable, "-c", script, database.uri],
        capture_output=True, text=True, timeout=60, cwd=harness.ROOT, check=False,
    )  # fmt: skip

    assert done.stdout == "0\n", done.stderr


@pytest.fixture
def own_mongo(request: pytest.FixtureRequest) -> Iterator[EmbeddedMongo]:
    folder = Path(tempfile.mkdtemp(prefix="wsflask-tests-", dir=harness.fast_folder()))
    options = getattr(request, "param", {})
    server = EmbeddedMongo(folder, port=free_port(), mongod=os.environ.get("WSFLASK_MONGOD"), **options)
    try:
        server.start()
    except ConfigError as error:
        harness.missing(f"mongod: {error}")
    yield server
    server.stop(timeout=0)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_feed_that_was_cut_off_is_behind_until_it_has_told_what_it_missed(own_mongo: EmbeddedMongo) -> None:
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=own_mongo.uri_of("behind"), uuidRepresentation="standard")
    gates = client["behind"]["feed_gates"]
    with Proxy(own_mongo.port) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/behind?directConnection=true"
        feed = MongoFeed(Settings(mongodb_uri=uri))
        feed.start()
        try:
            with feed.watch(Gate) as subscription:
                gates.insert_one({"_id": 1})
                next_change(subscription)
                assert wait_until(lambda: not feed.is_behind)

                proxy.set(Faults(is_frozen=True))
                assert wait_until(lambda: feed.is_behind)
                time.sleep(1)
                gates.insert_one({"_id": 2})
                proxy.set(Faults())

                assert next_change(subscription).id == 2
                assert wait_until(lambda: not feed.is_behind)
        finally:
            feed.stop()
            mongoengine.disconnect_all()


def test_a_feed_that_reads_more_slowly_than_others_write_is_behind(
    feed: MongoFeed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> list[Event]:
        time.sleep(0.05)
        return []

    with feed.watch(Gate) as subscription:
        database["feed_gates"].insert_one({"_id": 1})
        next_change(subscription)
        assert wait_until(lambda: not feed.is_behind)

        with monkeypatch.context() as patched:
            patched.setattr(Tail, "read", read)
            is_behind = wait_until(lambda: database["others"].insert_one({}) and feed.is_live and feed.is_behind)

        assert is_behind
        assert wait_until(lambda: not feed.is_behind)


def test_a_killed_database_is_followed_again_without_loss(own_mongo: EmbeddedMongo) -> None:
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=own_mongo.uri_of("kill"), uuidRepresentation="standard")
    gates = client["kill"]["feed_gates"]
    feed = MongoFeed(Settings())
    feed.start()
    try:
        with feed.watch(Gate) as subscription:
            gates.insert_one({"_id": 1})
            next_change(subscription)

            assert own_mongo.pid is not None
            os.kill(own_mongo.pid, signal.SIGKILL)
            wait_until(lambda: not feed.is_live)
            own_mongo.stop(timeout=0)
            own_mongo.start()
            gates.insert_one({"_id": 2})
            change = next_item(subscription, 3 * PATIENCE)

            assert isinstance(change, Change)
            assert change.id == 2
            assert wait_until(lambda: feed.is_live)
    finally:
        feed.stop()
        mongoengine.disconnect_all()


@pytest.mark.parametrize("own_mongo", [{"oplog_megabytes": 1, "arguments": ("--syncdelay", "1")}], indirect=True)
def test_a_position_that_the_oplog_has_dropped_is_a_gap(own_mongo: EmbeddedMongo) -> None:
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=own_mongo.uri_of("history"), uuidRepresentation="standard")
    oplog = client["local"]["oplog.rs"]
    feed = MongoFeed(Settings())
    feed.start()
    try:
        with feed.watch(Gate) as gates:
            client["history"]["feed_gates"].insert_one({"_id": 1})
            next_change(gates)
            old = feed.position

            def write_past_it() -> bool:
                client["history"]["others"].insert_many([{"x": "x" * 100_000} for _ in range(100)])
                first = oplog.find_one(sort=[("$natural", 1)])
                return first is not None and position_of(first["ts"]) > old

            wait_until(write_past_it, timeout=6 * PATIENCE)
            with pytest.raises(HistoryLost, match="is gone"):
                feed.touches(Gate, old, feed.position, 100)
            feed._progress.position = old
            with feed.watch(Lounge) as lounges:
                gaps = [next_gap(gates), next_gap(lounges)]
                client["history"]["feed_lounges"].insert_one({"_id": 2})
                change = next_change(lounges)
    finally:
        feed.stop()
        mongoengine.disconnect_all()

    assert all("history" in gap.reason for gap in gaps)
    assert change.id == 2


def test_the_history_of_a_frozen_database_is_not_waited_for(own_mongo: EmbeddedMongo) -> None:
    feed = MongoFeed(Settings(mongodb_uri=own_mongo.uri_of("frozen"), database_timeout=0.5))
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=own_mongo.uri_of("frozen"), uuidRepresentation="standard")
    feed.start()
    try:
        since = feed.position
        client["frozen"]["feed_gates"].insert_one({"_id": 1})
        wait_until(lambda: feed.position > since)
        assert len(feed.touches(Gate, since, feed.position, 10)) == 1
        assert own_mongo.pid is not None
        harness.freeze(own_mongo.pid)
        began = time.monotonic()
        try:
            with pytest.raises((HistoryLost, PyMongoError)):
                feed.touches(Gate, since, feed.position, 10)
        finally:
            harness.thaw(own_mongo.pid)

        assert time.monotonic() - began < PATIENCE
        assert len(feed.touches(Gate, since, feed.position, 10)) == 1
    finally:
        feed.stop()
        mongoengine.disconnect_all()


def test_a_feed_that_starts_before_its_database_tells_of_a_gap(own_mongo: EmbeddedMongo) -> None:
    uri = own_mongo.uri_of("late")
    own_mongo.stop()
    feed = MongoFeed(Settings(mongodb_uri=uri))
    mongoengine.disconnect_all()
    client = mongoengine.connect(host=uri, uuidRepresentation="standard")
    feed.start()
    try:
        with feed.watch(Gate) as subscription:
            assert feed.position == ""
            own_mongo.start()
            next_gap(subscription)
            client["late"]["feed_gates"].insert_one({"_id": 1})
            change = next_change(subscription)
    finally:
        feed.stop()
        mongoengine.disconnect_all()

    assert change.id == 1
