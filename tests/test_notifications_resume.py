"""A notification is seen once, in order, by every tab of its users, however often they were cut off."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import gevent
import gevent.event
import pytest
from bson import ObjectId

from tests import harness
from tests.apps.echo import URI
from tests.harness import Commands, Database, wait_until
from tests.harness.stage import Actor, Stage
from wsflask.documents import Notification, mark_all_read, mark_read, unread_count
from wsflask.documents.reading import read_states
from wsflask.feed import Gap
from wsflask.feed.positions import is_position
from wsflask.services import mailroom
from wsflask.services.notifier import Notifier
from wsflask.streams.place import Place, query_of

CHANNEL = "notifications"
FAST = {"messages_per_second": 10_000, "message_burst": 10_000}


def tell(message: str = "Hello", **fields: Any) -> Notification:
    return Notifier.notify(Notification(message=message, **(fields or {"everyone": True})))


class Tab:
    """A client of the stream, as the JavaScript one is: it keeps what it saw over every reconnect."""

    def __init__(self, user: str, *groups: str) -> None:
        self.user, self.groups = user, groups
        self.seen: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.missed: list[int] = []
        self.unread = -1
        self.epoch = self.seq = ""
        self.actor: Actor | None = None
        self._read = 0

    @property
    def labels(self) -> list[str]:
        return [last["label"] for last in self.seen]

    @property
    def query(self) -> str:
        return query_of({CHANNEL: Place(self.epoch, self.seq)}) if self.epoch else ""

    def connect(self, stage: Stage) -> Tab:
        self.actor, self._read = stage.connect(self.user, groups=self.groups, query=self.query), 0
        before = len(self.states)
        wait_until(lambda: self.take() and (len(self.states) > before and self._is_greeted()), what="the greeting")
        return self

    def cut(self) -> None:
        """Lose the connection; what it was sent is perhaps not read."""
        assert self.actor is not None
        self.actor.leave()
        self.actor = None

    def take(self, most: int | None = None) -> bool:
        """Read what has come; return True."""
        assert self.actor is not None
        for envelope in self.actor.envelopes[self._read :][:most]:
            self._read += 1
            self._take(envelope)
        return True

    def await_label(self, label: str) -> None:
        wait_until(lambda: self.take() and label in self.labels, what=f"{label}, there are {self.labels[-3:]}")

    def await_unread(self, count: int) -> None:
        wait_until(lambda: self.take() and self.unread == count, what=f"{count} unread, not {self.unread}")

    def await_state(self, state: str) -> None:
        wait_until(lambda: self.take() and self.states[-1:] == [state], what=f"{state}, there are {self.states}")

    def _is_greeted(self) -> bool:
        assert self.actor is not None
        return any("category" in payload and "last" not in payload for payload in self.actor.on(CHANNEL))

    def _take(self, envelope: dict[str, Any]) -> None:
        payload, seq = envelope["payload"], envelope.get("seq", "")
        if envelope["channel"] == "stream" and payload["stream"] == CHANNEL:
            assert payload["channels"] == [CHANNEL]
            self.states.append(payload["state"])
            self.missed.append(payload["missed"])
            self.epoch, self.seq = payload["epoch"], seq
        elif envelope["channel"] == CHANNEL:
            if seq and seq <= self.seq:
                return
            self.seq = seq or self.seq
            self.unread = payload["unread"]
            if "last" in payload:
                assert seq, "an arrival without a position"
                self.seen.append(payload["last"])


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    with Stage(Notifier, **FAST) as stage:
        yield stage


def test_a_first_connection_begins_the_stream_with_the_count(stage: Stage) -> None:
    tell("before")
    gevent.sleep(0.1)

    actor = stage.connect("ada")
    actor.wait(CHANNEL, 1)
    stream = next(e for e in actor.envelopes if e["channel"] == "stream" and e["payload"]["stream"] == CHANNEL)

    assert {**stream["payload"], "epoch": ""} == {
        "stream": CHANNEL, "channels": [CHANNEL], "state": "loaded", "epoch": "", "missed": 0,
    }  # fmt: skip
    assert len(stream["payload"]["epoch"]) == 12
    assert is_position(stream["seq"])
    assert actor.on(CHANNEL) == [{"unread": 1, "category": "success"}]


def test_a_client_of_the_plain_form_hears_of_no_stream(stage: Stage) -> None:
    actor = stage.connect("ada", form="plain", query=query_of({CHANNEL: Place("0" * 12, "0" * 20)}))
    actor.wait(CHANNEL, 1)
    tell()
    actor.wait(CHANNEL, 2)

    assert {envelope["channel"] for envelope in actor.envelopes} == {CHANNEL}
    assert all(envelope.keys() == {"channel", "payload"} for envelope in actor.envelopes)


def test_what_arrived_while_a_tab_was_away_comes_when_it_is_back(stage: Stage) -> None:
    tab, other = Tab("ada", "desk").connect(stage), Tab("ada", "desk").connect(stage)
    tell("0")
    tab.await_label("0")
    tab.cut()

    tell("1", groups=["desk"])
    tell("not hers", users=["bob"])
    tell("2", users=["ada"])
    tell("3", groups=["desk"], users=["ada"])
    other.await_label("3")
    tab.connect(stage)
    tell("4")
    for each in (tab, other):
        each.await_label("4")

    assert tab.labels == other.labels == ["0", "1", "2", "3", "4"]
    assert (tab.states, tab.missed) == (["loaded", "resumed"], [0, 3])
    assert tab.unread == unread_count("ada", ["desk"]) == 5


def test_another_worker_resumes_it_as_well_also_one_that_started_later(database: Database) -> None:
    tab = Tab("ada")
    with Stage(Notifier) as here:
        tab.connect(here)
        tell("0")
        tab.await_label("0")
        tab.cut()
    for label in "123":
        tell(label)
    with Stage(Notifier) as there:
        tab.connect(there)
        tell("4")
        tab.await_label("4")

    assert tab.labels == list("01234")
    assert tab.states == ["loaded", "resumed"]


def test_what_was_read_meanwhile_in_another_tab_comes_and_says_so(stage: Stage) -> None:
    tab, other = Tab("ada").connect(stage), Tab("ada").connect(stage)
    tab.cut()
    read = tell("read")
    tell("unread")
    other.await_label("unread")
    assert other.actor is not None
    other.actor.ask(CHANNEL, {"action": "mark_read", "data": {"id": str(read.id)}})
    tab.connect(stage)

    assert [(last["label"], last["is_read"]) for last in tab.seen] == [("read", True), ("unread", False)]
    assert tab.unread == 1


@pytest.mark.parametrize("is_known", [True, False], ids=["memory", "history"])
def test_what_was_deleted_or_is_for_others_now_does_not_come(database: Database, is_known: bool) -> None:
    with Stage(Notifier) as here, Stage(Notifier) as there:
        tab, witness = Tab("ada").connect(here), Tab("eve").connect(here)
        tab.cut()
        deleted, moved, changed = tell("deleted"), tell("moved", users=["ada", "eve"]), tell("before", everyone=True)
        tell("kept")
        deleted.delete()
        moved.users = ["eve"]
        moved.save()
        changed.message = "after"
        changed.save()
        tell("last", users=["eve"])
        witness.await_label("last")
        tab.connect(here if is_known else there)
        tell("end")
        tab.await_label("end")

    assert tab.labels == ["after", "kept", "end"]
    assert tab.unread == 3


def test_very_many_come_in_turns_and_in_order(stage: Stage) -> None:
    tab = Tab("ada").connect(stage)
    tab.cut()
    Notification.objects.insert([Notification(message=str(number), everyone=True) for number in range(1500)])

    tab.connect(stage)
    tell("last")
    tab.await_label("last")

    assert tab.labels == [*map(str, range(1500)), "last"]
    assert tab.unread == 1501


def test_more_than_are_remembered_are_told_part_by_part(database: Database) -> None:
    tab = Tab("ada")
    with Stage(Notifier) as here:
        tab.connect(here).cut()
    for number in range(58):
        tell(str(number))
    with Stage(Notifier, stream_history=5) as there:
        tab.connect(there)
        tell("last")
        tab.await_label("last")

    assert tab.states == ["loaded", "resumed"]
    assert tab.labels == [*map(str, range(58)), "last"]
    assert tab.unread == 59


@pytest.mark.parametrize(
    "query",
    ["resume=notifications~000000000000~00000000000000000000", "resume=notifications~x~y", "resume=notifications"],
)
def test_a_position_of_nobody_is_a_reset(stage: Stage, query: str) -> None:
    actor = stage.connect("ada", query=query)
    actor.wait(CHANNEL, 1)

    assert [p["state"] for p in actor.on("stream") if p["stream"] == CHANNEL] == ["reset"]


def test_a_position_of_another_user_is_a_reset(stage: Stage) -> None:
    tab = Tab("ada").connect(stage)
    tab.cut()
    tell("secret", users=["ada"])
    tab.user = "bob"

    tab.connect(stage)

    assert tab.states == ["loaded", "reset"]
    assert tab.labels == []


def test_a_gap_that_the_history_closes_is_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tabs = [Tab("ada").connect(stage), Tab("bob").connect(stage)]
    plain = stage.connect("ada", form="plain")
    plain.wait(CHANNEL, 1)
    feed = stage.server.feed
    dropped: list[Any] = []
    monkeypatch.setattr(feed, "_dispatch", lambda told, *_: dropped.extend(told))
    for label in "012":
        tell(label)
    wait_until(lambda: len(dropped) == 3)
    monkeypatch.undo()

    feed._dispatch_gap(Gap(feed.position, "a test"))
    tell("after")
    for tab in tabs:
        tab.await_label("after")

    assert [tab.labels for tab in tabs] == [["0", "1", "2", "after"]] * 2
    assert [tab.states for tab in tabs] == [["loaded"]] * 2
    wait_until(lambda: [p["last"]["label"] for p in plain.on(CHANNEL) if "last" in p] == ["0", "1", "2", "after"])


def test_a_gap_that_the_history_does_not_close_is_a_reset(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    tab = Tab("ada").connect(stage)
    tell("before")
    tab.await_unread(1)

    Notification._get_collection().drop()
    tab.await_unread(0)
    wait_until(lambda: tab.take() and tab.states == ["loaded", "reset"])
    tell("after")
    tab.await_label("after")
    tab.cut()
    tell("missed")
    tab.connect(stage).await_label("missed")

    assert tab.labels == ["before", "after", "missed"]
    assert tab.states == ["loaded", "reset", "resumed"]


def test_what_cannot_be_sent_stops_nobody(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may write into the collection."""
    caplog.set_level(logging.CRITICAL)
    tab = Tab("ada")
    with Stage(Notifier) as here:
        tab.connect(here).cut()
    notifications = database["wsflask_notifications"]
    notifications.insert_one({"_id": "no ObjectId", "message": "odd", "users": ["zed"]})
    notifications.insert_one({"message": "list", "users": "ada", "groups": [5]})
    notifications.insert_one({"message": "fine", "users": [5, "ada"]})
    with Stage(Notifier) as there:
        tab.connect(there)
        tell("last")
        tab.await_label("last")

    assert tab.labels == ["fine", "last"]


def test_who_joins_a_group_gets_what_comes_from_then_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost while the inbox of the new groups is loaded."""
    tab = Tab("ada").connect(stage)
    tell("0")
    tab.await_label("0")
    service = stage.server.services[0]
    assert isinstance(service, Notifier)
    assert tab.actor is not None
    real, is_loading, may_load = read_states, gevent.event.Event(), gevent.event.Event()

    def slow(user_ids: Any) -> Any:
        monkeypatch.undo()
        is_loading.set()
        may_load.wait()
        return real(user_ids)

    monkeypatch.setattr(mailroom, "read_states", slow)
    ws = tab.actor.connection
    stage.server.hub.become(ws, type(ws.identity)(ws.user, "ada", frozenset({"desk"}), "a session"))
    service.on_rights_changed(ws, ws.user)
    is_loading.wait()
    tell("1")
    last = tell("2", groups=["desk"])
    wait_until(lambda: last.id.binary in service._mailroom._arrivals._known)
    may_load.set()
    tell("3", groups=["desk"])
    tab.await_label("3")

    assert tab.labels == list("0123")
    tab.await_unread(4)


def test_a_thousand_who_come_back_share_their_queries(commands: Commands) -> None:
    """Their worker was killed: the next one has to look into the history, once for all of them."""
    users = [Tab(f"user{number}", f"group{number % 7}") for number in range(1000)]
    with Stage(Notifier) as here:
        for tab in users:
            tab.actor = here.connect(tab.user, groups=tab.groups)
        for tab in users:
            tab.await_unread(0)
            tab.cut()
    for number in range(20):
        tell(str(number), **({"everyone": True} if number % 2 else {"groups": [f"group{number % 7}"]}))
    with Stage(Notifier) as there:
        Tab("first").connect(there)
        commands.clear()
        for tab in users:
            tab.actor, tab._read = there.connect(tab.user, groups=tab.groups, query=tab.query), 0
        for tab in users:
            tab.await_state("resumed")
        asked = list(commands.seen)

    for number, tab in enumerate(users):
        mine = [str(each) for each in range(20) if each % 2 or each % 7 == number % 7]
        assert tab.labels == mine
    assert len(asked) <= 20, asked


def test_a_tab_survives_the_kill_of_its_worker(
    database: Database, servers: harness.Servers, sockets: harness.Sockets, tmp_path: Any
) -> None:
    env = {URI: database.uri, "SHOP_KILL": str(tmp_path / "kill")}
    server = servers.gunicorn("tests.apps.shop:app", env=env)
    cookie = harness.login(server.base_url, "ada")
    first = sockets.connect(server.ws_url, cookie=cookie)
    stream = first.expect("stream", where=lambda e: e["payload"]["stream"] == CHANNEL)
    first.expect(CHANNEL)
    tell("0")
    place = Place(stream["payload"]["epoch"], first.expect(CHANNEL)["seq"])

    (tmp_path / "kill").touch()
    first.send("shop", {"item": "tea"})
    assert first.expect_close() == 1006
    for label in "12":
        tell(label)
    again = sockets.connect(f"{server.ws_url}?{query_of({CHANNEL: place})}", cookie=cookie)

    assert [again.expect(CHANNEL)["payload"]["last"]["label"] for _ in range(2)] == ["1", "2"]
    assert again.expect(CHANNEL)["payload"] == {"unread": 3, "category": "success"}


class Game:
    """Writers, marks and cuts at random, and what every tab should have seen of it."""

    def __init__(self, seed: int, stages: list[Stage]) -> None:
        self.rng = random.Random(seed)
        self.stages = stages
        self.people: dict[str, tuple[str, ...]] = {"ada": ("desk",), "bob": ("desk", "crew"), "eve": ()}
        self.tabs = [Tab(name, *groups) for name, groups in self.people.items() for _ in range(3)]
        #: Whom each was for, and its id; in no order.
        self.told: dict[str, tuple[dict[str, Any], ObjectId]] = {}
        self.deleted: set[str] = set()

    def play(self) -> None:
        for tab in self.tabs:
            tab.connect(self.rng.choice(self.stages))
        work = [gevent.spawn(self.write) for _ in range(3)] + [gevent.spawn(self.read)]
        work += [gevent.spawn(partial(self.come_and_go, tab)) for tab in self.tabs]
        gevent.joinall(work, raise_error=True)
        tell("end")
        for tab in self.tabs:
            tab.await_label("end")
            tab.await_unread(unread_count(tab.user, tab.groups))

    def write(self) -> None:
        for _ in range(60):
            name, group = self.rng.choice(list(self.people)), self.rng.choice(["desk", "crew"])
            to: dict[str, Any] = self.rng.choice([{"everyone": True}, {"users": [name]}, {"groups": [group]}])
            label = str(len(self.told))
            notification = Notification(id=ObjectId(), message=label, **to)
            self.told[label] = to, notification.id
            Notifier.notify(notification)
            if self.rng.random() < 0.1:
                gone = self.rng.choice(list(self.told))
                self.deleted.add(gone)
                Notification.objects(id=self.told[gone][1]).delete()
            gevent.sleep(self.rng.uniform(0, 0.01))

    def read(self) -> None:
        for _ in range(40):
            name = self.rng.choice(list(self.people))
            if self.rng.random() < 0.3 or not self.told:
                mark_all_read(name, self.people[name])
            else:
                mark_read(name, self.people[name], self.rng.choice(list(self.told.values()))[1])
            gevent.sleep(self.rng.uniform(0, 0.02))

    def come_and_go(self, tab: Tab) -> None:
        for _ in range(8):
            gevent.sleep(self.rng.uniform(0, 0.15))
            tab.take(self.rng.choice([None, None, 0, 3]))
            tab.cut()
            gevent.sleep(self.rng.choice([0, 0.01, 0.2]))
            tab.connect(self.rng.choice(self.stages))

    def wanted(self, tab: Tab) -> set[str]:
        def is_for(to: dict[str, Any]) -> bool:
            return "everyone" in to or tab.user in to.get("users", ()) or bool({*tab.groups} & {*to.get("groups", ())})

        return {label for label, (to, _) in self.told.items() if is_for(to)}


@pytest.mark.parametrize("seed", range(4))
def test_a_random_game_of_cuts_reads_and_deletes_loses_and_repeats_nothing(database: Database, seed: int) -> None:
    """On three workers: every tab sees what was for it, once, in the same order; one that was deleted perhaps not."""
    with Stage(Notifier, **FAST) as one, Stage(Notifier, **FAST) as two, Stage(Notifier, **FAST) as three:
        game = Game(seed, [one, two, three])
        game.play()

    for tab in game.tabs:
        assert "reset" not in tab.states
        seen = tab.labels[: tab.labels.index("end")]
        assert [label for label in seen if seen.count(label) > 1] == []
        assert set(seen) - game.wanted(tab) == set()
        assert game.wanted(tab) - set(seen) <= game.deleted
    for first, other in itertools.combinations(game.tabs, 2):
        common = set(first.labels) & set(other.labels)
        assert [each for each in first.labels if each in common] == [each for each in other.labels if each in common]
