"""Publications that are kept: who was away gets them when it comes back, each once and in order, or is told `reset`."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import mongoengine
import pytest
import websocket
from bson import Timestamp

from tests import harness
from tests.apps.chat import Chat
from tests.apps.echo import URI, Person
from tests.harness import PATIENCE, Commands, Database, wait_until
from tests.harness.links import MemoryLink
from tests.harness.stage import Actor, Stage
from wsflask.documents import KeptPublication
from wsflask.embedded import EmbeddedMongo
from wsflask.errors import ConfigError
from wsflask.feed.base import Feed
from wsflask.feed.epoch import COLLECTION
from wsflask.feed.positions import position_of, timestamp_of
from wsflask.hub import EVERYONE, Recipients
from wsflask.identity import Identity
from wsflask.services.clipboard import Clipboard
from wsflask.services.notifier import Notifier
from wsflask.streams.place import Place, query_of

KEEP = 600.0


def publish(payload: Any, to: Any = EVERYONE, **more: Any) -> None:
    Chat().publish(payload, to=to, **{"keep": KEEP, **more})


def write(*numbers: int, user: str = "ada", size: int = 0) -> None:
    """Write kept publications as another process does, many at once."""
    now = datetime.datetime.now(datetime.UTC)
    common = {"channel": "chat", "everyone": False, "users": [user], "groups": [], "created_dt": now}
    common["expires_dt"] = now + datetime.timedelta(seconds=KEEP)
    filling = "x" * size
    documents = [{**common, "payload": f'{{"number":{number},"filling":"{filling}"}}'} for number in numbers]
    KeptPublication._get_collection().insert_many(documents)


def told(actor: Actor) -> list[Any]:
    """Return what came on the channel after the greeting, or before it."""
    return [payload for payload in actor.on("chat") if not (isinstance(payload, dict) and "pid" in payload)]


def stream(actor: Actor) -> dict[str, Any]:
    """Return the latest message on the stream, once the client was greeted."""
    actor.wait("chat", 1)
    wait_until(lambda: actor.on("stream"))
    return next(each for each in reversed(actor.envelopes) if each["channel"] == "stream")


def place_of(actor: Actor) -> str:
    """Return the query with which this client comes back."""
    epoch = stream(actor)["payload"]["epoch"]
    return query_of({"publications": Place(epoch, max(each.get("seq", "") for each in actor.envelopes))})


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    with Stage(Chat) as opened:
        yield opened


def come_and_go(stage: Stage, user: str = "ada", **options: Any) -> str:
    """Return where a client is that has just left."""
    actor = stage.connect(user, **options)
    query = place_of(actor)
    actor.leave()
    return query


def settle(stage: Stage) -> None:
    """Return when the worker has sent what was published."""
    watcher = stage.connect("a watcher")
    watcher.wait("chat", 1)
    publish("settled", "a watcher")
    wait_until(lambda: "settled" in told(watcher))
    watcher.leave()


# --- who is here


def test_a_new_client_is_told_that_it_begins_before_it_is_greeted(stage: Stage) -> None:
    actor = stage.connect("ada")
    actor.wait("chat", 1)

    assert [each["channel"] for each in actor.envelopes] == ["welcome", "stream", "chat"]
    payload = stream(actor)["payload"]
    assert payload == {
        "stream": "publications", "channels": ["chat"], "state": "loaded", "epoch": payload["epoch"], "missed": 0,
    }  # fmt: skip


def test_a_kept_message_has_a_position_and_another_has_none(stage: Stage) -> None:
    actor = stage.connect("ada")
    began = stream(actor)["seq"]

    publish("kept")
    Chat().publish("fleeting")
    actor.wait("chat", 3)

    positions = {each["payload"]: each.get("seq") for each in actor.envelopes[3:]}
    assert positions["kept"] > began
    assert positions["fleeting"] is None


def test_a_plain_client_gets_what_is_published_and_nothing_else(stage: Stage) -> None:
    actor = stage.connect("ada", form="plain", query="resume=publications~x~y")
    actor.wait("chat", 1)

    publish("kept")
    actor.wait("chat", 2)

    assert actor.envelopes[1:] == [{"channel": "chat", "payload": "kept"}]


@pytest.mark.parametrize("to", ["ada", SimpleNamespace(get_id=lambda: "ada"), Recipients(groups=("crew",)), EVERYONE])
def test_it_goes_to_a_user_by_id_or_object_to_groups_or_to_everyone(stage: Stage, to: Any) -> None:
    ada, ben = stage.connect("ada", groups=["crew"]), stage.connect("ben")
    for actor in (ada, ben):
        actor.wait("chat", 1)

    publish("to whom it concerns", to)
    publish("the end")

    wait_until(lambda: "the end" in told(ben))
    assert told(ada)[:1] == ["to whom it concerns"]
    assert ("to whom it concerns" in told(ben)) == (to is EVERYONE)


def test_channels_with_positions_of_their_own_keep_nothing() -> None:
    for service in (Notifier(), Clipboard()):
        with pytest.raises(ConfigError, match="publish without keep="):
            service.publish(1, keep=1)


# --- who comes back


def test_who_comes_back_gets_what_it_missed_before_it_is_greeted(stage: Stage) -> None:
    query = come_and_go(stage)
    publish(1, "ada")
    publish(2, "ben")
    publish(3)
    Chat().publish("fleeting")
    settle(stage)

    actor = stage.connect("ada", query=query)
    assert stream(actor)["payload"]["state"] == "resumed"
    publish(4)
    wait_until(lambda: 4 in told(actor))

    assert [each["payload"] for each in actor.envelopes if each["channel"] == "chat"][:2] == [1, 3]
    assert told(actor) == [1, 3, 4]
    assert stream(actor)["payload"]["missed"] == 2
    assert len(stage.server._relay._expected) == 0
    assert actor.connection.resume == {}


def test_it_is_remembered_by_workers_that_were_not_there(database: Database) -> None:
    """Also hours later: what counts is the database's history."""
    with Stage(Chat) as stage:
        query = come_and_go(stage)
    publish(1)
    with Stage(Chat) as stage:
        publish(2)
        actor = stage.connect("ada", query=query)

        assert stream(actor)["payload"]["state"] == "resumed"
        wait_until(lambda: len(told(actor)) == 2)
        assert told(actor) == [1, 2]


def test_a_recipient_is_who_he_is_now(stage: Stage) -> None:
    query = come_and_go(stage, groups=["crew"])
    publish("to the crew", Recipients(groups=("crew",)))
    publish("to the staff", Recipients(groups=("staff",)))
    publish("to the user", Recipients(users=("ada",), groups=("crew",)))
    settle(stage)

    actor = stage.connect("ada", groups=["staff"], query=query)

    assert stream(actor)["payload"]["missed"] == 2
    assert told(actor) == ["to the staff", "to the user"]


def test_what_has_expired_is_not_told_any_more(stage: Stage) -> None:
    query = come_and_go(stage)
    publish("soon over", keep=0.01)
    publish("lasting")
    settle(stage)
    time.sleep(0.05)

    actor = stage.connect("ada", query=query)

    assert stream(actor)["payload"]["state"] == "resumed"
    assert told(actor) == ["lasting"]


def test_a_heartbeat_brings_the_position_of_the_streams(database: Database) -> None:
    with Stage(Chat, ping_interval=0.2) as stage:
        actor = stage.connect("ada")
        began = stream(actor)["seq"]
        publish("to somebody else", "ben")

        pings = wait_until(lambda: [each for each in actor.envelopes if each["channel"] == "ping" and "seq" in each])
        wait_until(lambda: stage.server._relay.stream.reached > began)
        actor.say("pong", {})
        wait_until(lambda: [each for each in actor.envelopes if each["channel"] == "ping" and each["seq"] > began])

    assert pings[0]["payload"] == {}


# --- who cannot be caught up


@pytest.fixture
def impatient(database: Database) -> Iterator[Stage]:
    with Stage(Chat, stream_patience=0.3) as opened:
        yield opened


def is_reset(actor: Actor) -> bool:
    """Return whether a client was told to begin anew, and so were the services."""
    state = stream(actor)["payload"]["state"]
    if state == "reset":
        wait_until(lambda: {"anew": actor.connection.user_id} in told(actor))
    return bool(state == "reset")


def test_a_place_of_another_user_is_none(stage: Stage) -> None:
    query = come_and_go(stage, "ada")
    publish("for ben", "ben")
    settle(stage)

    actor = stage.connect("ben", query=query)

    assert is_reset(actor)
    assert "for ben" not in told(actor)


def test_a_place_in_another_database_is_none(database: Database) -> None:
    with Stage(Chat) as stage:
        query = come_and_go(stage)
    database[COLLECTION].delete_many({})
    with Stage(Chat) as stage:
        assert is_reset(stage.connect("ada", query=query))


def test_a_place_that_makes_no_sense_is_none(stage: Stage) -> None:
    assert is_reset(stage.connect("ada", query="resume=publications~nonsense"))


def test_a_position_of_the_future_is_waited_for_and_then_none(impatient: Stage) -> None:
    epoch = stream(impatient.connect("ada"))["payload"]["epoch"]
    future = Place(epoch, f"{2**63:020d}")
    began = time.monotonic()

    actor = impatient.connect("ada", query=query_of({"publications": future}))

    assert is_reset(actor)
    assert time.monotonic() - began >= 0.3
    assert stream(actor)["seq"] < future.seq


def test_a_worker_that_is_behind_does_not_reset_who_is_further_but_has_him_try_elsewhere(
    impatient: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = stream(impatient.connect("ada"))["payload"]["epoch"]
    ahead = position_of(Timestamp(timestamp_of(impatient.server.feed.position).time + 1000, 0))
    monkeypatch.setattr(type(impatient.server.feed), "is_behind", True)

    actor = impatient.connect("ada", query=query_of({"publications": Place(epoch, ahead)}))

    wait_until(lambda: actor.connection.close_code == 1013)
    assert not [each for each in actor.on("stream") if each["payload"]["stream"] == "publications"]


def test_a_position_that_a_slower_worker_has_not_reached_is_waited_for(stage: Stage) -> None:
    query = come_and_go(stage)
    epoch = query.split("~")[1]
    publish("soon")
    ahead = position_of(Timestamp(timestamp_of(stage.server.feed.position).time + 1, 0))

    actor = stage.connect("ben", query=query)
    late = stage.connect("ada", query=query_of({"publications": Place(epoch, ahead)}))
    time.sleep(0.2)
    waited = not late.on("chat")
    time.sleep(1.0)
    publish("later", "nobody")

    assert waited
    assert is_reset(actor)
    assert stream(late)["payload"]["state"] == "resumed"
    assert told(late) == []


def test_more_than_are_remembered_are_told_part_by_part(database: Database) -> None:
    with Stage(Chat) as stage:
        query = come_and_go(stage)
    write(*range(60))
    with Stage(Chat, stream_history=7) as stage:
        actor = stage.connect("ada", query=query)
        wait_until(lambda: len(told(actor)) == 60)

        assert stream(actor)["payload"]["state"] == "resumed"
        assert [each["number"] for each in told(actor)] == list(range(60))


def test_who_was_away_for_too_long_is_not_told_one_by_one(database: Database) -> None:
    with Stage(Chat) as stage:
        query = come_and_go(stage)
    write(1)
    with Stage(Chat, stream_reach=0.5) as stage:
        time.sleep(2.5)
        write(2)

        wait_until(lambda: is_reset(stage.connect("ada", query=query)))


def test_a_dropped_collection_is_a_reset_for_those_who_are_here_and_those_who_come(stage: Stage) -> None:
    query = come_and_go(stage)
    publish("gone")
    here = stage.connect("ben")
    here.wait("chat", 1)

    KeptPublication.drop_collection()
    wait_until(lambda: stream(here)["payload"]["state"] == "reset")

    assert is_reset(here)
    assert is_reset(stage.connect("ada", query=query))
    publish("anew", "ben")
    wait_until(lambda: "anew" in told(here))


@pytest.fixture
def small_history() -> Iterator[EmbeddedMongo]:
    folder = harness.data_folder()
    server = EmbeddedMongo(folder, oplog_megabytes=1, arguments=("--syncdelay", "1"))
    try:
        server.start()
    except ConfigError as error:
        harness.missing(f"mongod: {error}")
    harness.disconnect()
    mongoengine.connect(host=server.uri_of("history"), uuidRepresentation="standard", tz_aware=True)
    yield server
    harness.disconnect()
    server.stop(timeout=0)


def test_a_place_that_the_oplog_does_not_reach_is_lost_and_a_later_one_is_not(small_history: EmbeddedMongo) -> None:
    client: Any = mongoengine.get_connection()
    with Stage(Chat) as stage:
        query = come_and_go(stage)
        old = query.rsplit("~", 1)[1]
        publish("long ago")

        def write_past_it() -> bool:
            client["history"]["others"].insert_many([{"x": "x" * 100_000} for _ in range(100)])
            first = client["local"]["oplog.rs"].find_one(sort=[("$natural", 1)])
            return first is not None and position_of(first["ts"]) > old

        wait_until(write_past_it, timeout=6 * PATIENCE)
        settle(stage)
        later = come_and_go(stage, "ben")
        publish("lately", "ben")
    with Stage(Chat) as stage:
        actors = [stage.connect("ada", query=query), stage.connect("ben", query=later)]

        assert is_reset(actors[0])
        assert stream(actors[1])["payload"]["state"] == "resumed"
        assert told(actors[1]) == ["lately"]


# --- what the process itself goes through


def test_a_worker_that_falls_behind_the_feed_reads_on_in_the_history(database: Database) -> None:
    with Stage(Chat, feed_backlog=5) as stage:
        actor = stage.connect("ada")
        actor.wait("chat", 1)

        write(*range(500))
        wait_until(lambda: len(told(actor)) >= 500)

        assert [each["number"] for each in told(actor)] == list(range(500))
        assert [each["state"] for each in actor.on("stream")] == ["loaded"]
        changes = stage.server._relay._changes
        assert changes is not None
        assert changes.statistics()["gaps"] > 0


def test_a_relay_that_was_killed_goes_on_where_it_was(stage: Stage) -> None:
    actor = stage.connect("ada")
    actor.wait("chat", 1)
    publish(1)
    wait_until(lambda: told(actor) == [1])

    relay = next(task for task in stage.server._life._tasks if task.name == "wsflask Relay")
    relay._worker._greenlet.kill()  # type: ignore[union-attr]
    publish(2)
    publish(3)

    wait_until(lambda: 3 in told(actor))
    assert told(actor) == [1, 2, 3]
    assert len(actor.on("stream")) == 1


def test_one_that_makes_no_sense_keeps_nobody_from_the_others(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    place = come_and_go(stage)
    KeptPublication._get_collection().insert_one({"channel": "chat"})
    publish("after it")
    settle(stage)
    stage.server._relay.stream.begin(stage.server.feed.position)  # as in a worker that was not there

    actor = stage.connect("ada", query=place)

    wait_until(lambda: told(actor) == ["after it"])
    assert stream(actor)["payload"]["state"] == "resumed"
    assert "cannot be sent" in caplog.text


def test_a_client_that_is_gone_before_it_is_welcomed_is_not_kept(stage: Stage) -> None:
    link = MemoryLink(is_threaded=True)
    link.is_broken = True

    stage.server.handler(link, identity=Identity(None, "ada", frozenset(), "s"), form="v1")

    assert len(stage.server.hub) == 0
    assert not stage.server._relay._expected


def test_a_thousand_who_come_at_once_share_one_look_into_the_history(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each kind of message; what is read does not depend on how many come."""
    looks: list[str] = []
    count = 1000
    with Stage(Chat) as stage:
        query = come_and_go(stage, "user0")
    for number in range(5):
        publish(number)
    write(*range(count), user="user7")
    with Stage(Chat, connections_per_user=count) as stage:
        stage.connect("first").wait("chat", 1)
        touches: Callable[..., Any] = stage.server.feed.touches

        def counted(self: Feed, *arguments: Any) -> Any:
            looks.append(arguments[1])
            return touches(*arguments)

        monkeypatch.setattr(type(stage.server.feed), "touches", counted)
        commands.clear()

        actors = [stage.connect("user0", query=query) for number in range(count)]
        wait_until(lambda: all(actor.on("chat") for actor in actors), timeout=3 * PATIENCE)

        assert len(looks) == 1
        assert len(commands.on("wsflask_kept_publications")) == 2  # 1,005 documents in two goes
        assert all(told(actor) == [0, 1, 2, 3, 4] for actor in actors)


# --- where it comes from


def test_the_examples_of_the_page_do_what_it_says(database: Database) -> None:
    page = (harness.ROOT / "docs" / "services.md").read_text()
    script, transaction = (block for block in page.split("```python\n")[1:] if "Gates" in block)
    script = script.split("```")[0].replace("mongodb://localhost/airport?replicaSet=rs0", database.uri)
    connect = next(line for line in script.splitlines() if line.startswith("mongoengine.connect"))
    names: dict[str, Any] = {}
    exec(script.replace(connect, "").rpartition("\n\n\n")[0], names)
    with Stage(names["Gates"]) as stage:
        actor = stage.connect("ada", groups=["airline:B6"])
        wait_until(lambda: actor.on("stream"))

        exec(script.replace(connect, "").rpartition("\n\n\n")[2], names)
        exec(transaction.split("```")[0], {**names, "orders": database["orders"]})

        assert actor.wait("gates", 2) == [{"flight": "B6 725", "gate": "12"}, "ordered"]


@pytest.mark.parametrize("is_given", [True, False], ids=["session", "context"])
@pytest.mark.parametrize("keep", [KEEP, None], ids=["kept", "fleeting"])
def test_in_a_transaction_it_is_published_if_that_commits(stage: Stage, keep: float | None, is_given: bool) -> None:
    actor = stage.connect("ada")
    actor.wait("chat", 1)
    with stage.server.feed.watch(Person), mongoengine.get_connection().start_session() as session:
        Person(name="there").save()
        for text, commits in (("dropped", False), ("first", True)):
            session.start_transaction()
            if is_given:
                publish(text, keep=keep, session=session)
                publish(f"{text} too", keep=keep, session=session)
            else:
                with session.bind(end_session=False):
                    publish(text, keep=keep)
                    publish(f"{text} too", keep=keep)
            time.sleep(0.1)
            assert told(actor) == []
            if commits:
                session.commit_transaction()
            else:
                session.abort_transaction()
        wait_until(lambda: len(told(actor)) >= 2)

    assert told(actor) == ["first", "first too"]


def test_who_has_the_first_of_a_transaction_gets_the_second(database: Database) -> None:
    with Stage(Chat) as stage:
        actor = stage.connect("ada")
        actor.wait("chat", 1)
        with mongoengine.get_connection().start_session() as session, session.start_transaction():
            for number in range(3):
                publish(number, session=session)
        wait_until(lambda: len(told(actor)) == 3)
        seqs = [each["seq"] for each in actor.envelopes if each["channel"] == "chat" and "seq" in each]
        epoch = stream(actor)["payload"]["epoch"]
    with Stage(Chat) as stage:
        actor = stage.connect("ada", query=query_of({"publications": Place(epoch, seqs[0])}))

        assert stream(actor)["payload"]["state"] == "resumed"
        assert told(actor) == [1, 2]


def pid_of(client: harness.WebSocketClient) -> int:
    """Return the process id of the worker that the client was connected to last."""
    greetings = [each["payload"] for each in client.messages if each["channel"] == "chat"]
    return int(next(each["pid"] for each in reversed(greetings) if isinstance(each, dict)))


SCRIPT = """
import threading, mongoengine
from wsflask import Service

class Chat(Service):
    channel = "chat"

mongoengine.connect(host="{uri}", uuidRepresentation="standard")
threads = [threading.Thread(target=Chat().publish, args=("from a thread",), kwargs={{"keep": 60, "to": "ada"}})]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
Chat().publish("from a script", keep=60)
"""


# --- real workers


@pytest.fixture
def site(database: Database, servers: harness.Servers) -> Callable[..., harness.WebServer]:
    def start(workers: int = 1, **settings: Any) -> harness.WebServer:
        return servers.gunicorn("tests.apps.chat:app", workers=workers, env={URI: database.uri})

    return start


def test_scripts_and_threads_of_processes_that_serve_nothing_publish(
    database: Database, site: Callable[..., harness.WebServer], servers: harness.Servers, sockets: harness.Sockets
) -> None:
    server = site()
    client = sockets.connect(server.ws_url, cookie=harness.login(server.base_url, "ada"))
    client.expect("chat")

    servers.run_python(SCRIPT.format(uri=database.uri))

    assert [client.expect("chat")["payload"] for _ in range(2)] == ["from a thread", "from a script"]


def test_every_message_arrives_once_while_workers_are_killed(
    site: Callable[..., harness.WebServer], sockets: harness.Sockets
) -> None:
    """Four workers are killed, while a message is published every few milliseconds."""
    server = site(workers=2)
    cookie = harness.login(server.base_url, "ada")
    clients = [sockets.connect(server.ws_url, cookie=cookie) for _ in range(6)]
    for client in clients:
        client.expect("chat")
    published: list[int] = []
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            publish(len(published))
            published.append(len(published))
            time.sleep(0.005)

    def follow(client: harness.WebSocketClient) -> list[int]:
        found: list[int] = []
        while not (is_over.is_set() and len(found) == len(published)):
            envelope = client.receive(0.5)
            if envelope is None and client.close_code is not None:
                try:
                    client.reconnect()
                except (OSError, websocket.WebSocketException):
                    time.sleep(0.05)
            elif envelope is not None and envelope["channel"] == "chat" and isinstance(envelope["payload"], int):
                found.append(envelope["payload"])
        return found

    writer = gevent.spawn(go_on)
    readers = [gevent.spawn(follow, client) for client in clients]
    for _ in range(4):
        time.sleep(0.5)
        pid = pid_of(clients[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid_of(clients[0]) != pid, timeout=3 * PATIENCE)  # type: ignore[misc]
    time.sleep(0.5)
    is_over.set()
    writer.join()
    gevent.joinall(readers, timeout=6 * PATIENCE)

    states = [each["payload"]["state"] for client in clients for each in client.messages if each["channel"] == "stream"]
    assert [reader.value for reader in readers] == [list(range(len(published)))] * len(clients)
    assert states.count("resumed") >= 4
    assert states.count("loaded") == len(clients)
    assert "reset" not in states


def test_ten_thousand_missed_messages_come_in_chunks_that_do_not_overflow(
    site: Callable[..., harness.WebServer], sockets: harness.Sockets
) -> None:
    """Six megabytes; the outbox of a connection holds one."""
    server = site(workers=2)
    client = sockets.connect(server.ws_url, cookie=harness.login(server.base_url, "ada"))
    client.expect("chat")
    client.cut()
    write(*range(10_000), size=600)

    client.reconnect()
    time.sleep(1.0)
    state = client.expect("stream", {"state": "resumed"}, timeout=3 * PATIENCE)

    numbers = [each["payload"]["number"] for each in client.messages if "number" in each["payload"]]
    assert numbers == list(range(10_000))
    assert state["payload"]["missed"] == 10_000
