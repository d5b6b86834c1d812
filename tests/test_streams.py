"""What a stream asks of the history, and how it goes on behind a gap."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

from pymongo.errors import AutoReconnect

from wsflask.feed.base import HistoryLost
from wsflask.feed.positions import moment_of
from wsflask.protocol.messages import Message
from wsflask.streams.history import Stretch
from wsflask.streams.place import Place
from wsflask.streams.stream import Stream


def at(second: int, part: int = 0) -> str:
    return f"{(second << 32) + part:020d}"


class Past:
    """A service with a history of one message each second; it counts how often that is read."""

    def __init__(self, **settings: Any) -> None:
        limits = {"stream_history": 5, "stream_history_bytes": 10_000, "stream_patience": 5.0, "outbox_bytes": 10_000}
        source: Any = self
        self.limits = SimpleNamespace(**{**limits, "stream_reach": 1000.0, **settings})
        self.now = 0.0
        self.stream: Stream[int] = Stream(
            "chat", source, threading.RLock(), self.limits, lambda: None, pause=self.pause, now=lambda: self.now
        )
        self.reads: list[str] = []
        self.error: Exception | None = None
        self.pauses = 0
        self.has_more = False
        #: The history does not tell what came before.
        self.first = ""

    def come(self, seq: str) -> list[str]:
        """Have a client come back with a place; return the states that it was told."""
        client = self.enter(seq)
        while self.stream.catch_up():
            self.now += 1.0
        return client.states

    def enter(self, seq: str) -> Client:
        client = Client(seq)
        ws: Any = client
        self.stream.enter(ws, lambda: None)
        return client

    def pause(self) -> None:
        self.pauses += 1

    def history(self, since: str, until: str) -> Stretch[int]:
        self.reads.append(since)
        self.now += 0.5
        if self.error is not None:
            raise self.error
        if since < self.first:
            raise HistoryLost("rolled over")
        seconds = range(1, int(moment_of(until)) // (1 << 32) + 1)
        found = [(at(second), second, 10) for second in seconds if since < at(second)]
        most = self.limits.stream_history
        return Stretch(found[:most], moment_of(found[most - 1][0]) if len(found) > most else moment_of(until))

    def channels(self) -> list[str]:
        return ["chat"]

    def epoch(self, user_id: str) -> str:
        return "epoch"

    def addressed(self, item: int) -> Any:
        return SimpleNamespace(everyone=True, users=frozenset(), groups=frozenset())

    def message(self, ws: Any, seq: str, item: int) -> Message:
        return Message("chat", item, seq=seq)

    def lost(self, ws: Any) -> None:
        pass

    def is_behind(self, position: str) -> bool:
        return self.has_more

    def turn_away(self, connections: Any) -> None:
        for ws in connections:
            ws.is_open = False


class Client:
    """A connection with a place."""

    form, user_id, groups, is_open, waiting_bytes = "v1", "ada", frozenset[str](), True, 0

    def __init__(self, seq: str) -> None:
        self.resume = {"chat": Place("epoch", seq)}
        self.states: list[str] = []
        self.told: list[int] = []

    def send(self, message: Message) -> None:
        payload = json.loads(message.payload_json)
        if message.channel == "stream":
            self.states.append(payload["state"])
        else:
            self.told.append(payload)

    def hold(self) -> None:
        pass

    release = hold


def test_what_is_too_much_to_be_remembered_is_told_part_by_part() -> None:
    past = Past()
    past.stream.begin(at(100))
    for second in range(101, 150):
        past.stream.add(at(second), second, 10)

    client = past.enter(at(120))
    while past.stream.catch_up():
        past.now += 1.0

    assert client.states == ["resumed"]
    assert client.told == list(range(121, 150))
    assert [moment_of(each) for each in past.reads] == [at(120), at(125), at(130), at(135)]  # the stream remembers ten


def test_who_was_away_for_a_moment_does_not_wait_for_those_who_ask_for_what_is_long_past() -> None:
    past = Past()
    past.stream.begin(at(500))
    far = [past.enter(at(10, part)) for part in range(3)]
    near = past.enter(at(498))

    past.stream.catch_up()

    assert near.states == ["resumed"]
    assert past.reads == [at(498)]
    past.now += 1.0
    past.stream.catch_up()  # one part for all three, and then as long a rest as that took
    past.stream.catch_up()
    assert [client.told for client in far] == [[11, 12, 13, 14, 15]] * 3
    assert past.reads == [at(498), at(10)]


def test_nobody_keeps_others_waiting_by_coming_again_from_long_ago() -> None:
    past = Past()
    past.stream.begin(at(500))
    honest = past.enter(at(300))

    for _ in range(6):
        past.enter(at(10))
        past.stream.catch_up()
        past.now += 1.0

    assert honest.told[:5] == [301, 302, 303, 304, 305]


def test_those_who_come_again_from_a_moment_ago_do_not_keep_others_waiting_for_ever() -> None:
    past = Past()
    past.stream.begin(at(500))
    for second in range(501, 520):  # the stream is full
        past.stream.add(at(second), second, 10)
    honest = past.enter(at(300))

    for _ in range(20):
        past.enter(at(480))
        past.stream.catch_up()
        past.now += 1.0

    assert honest.told[:5] == [301, 302, 303, 304, 305]


def test_those_who_come_again_and_again_wait_for_their_turn() -> None:
    past = Past()
    past.stream.begin(at(500))
    honest = past.enter(at(300))

    for second in range(10, 200, 10):
        past.enter(at(second))
        past.stream.catch_up()
        past.now += 1.0

    assert honest.told[:10] == list(range(301, 311))
    assert len(past.reads) == 19


def test_nobody_keeps_others_waiting_by_taking_what_he_missed_slowly() -> None:
    past = Past()
    past.stream.begin(at(500))
    slow = [past.enter(at(10 + 10 * number)) for number in range(4)]
    for client in slow:
        client.waiting_bytes = 10_000
    for _ in range(5):
        past.stream.catch_up()
        past.now += 1.0
    assert len(past.reads) == 4

    honest = past.enter(at(300))
    near = past.enter(at(495))
    past.stream.catch_up()
    assert (near.states, honest.told) == (["resumed"], [])  # four parts are held
    past.now += 5.0
    past.stream.catch_up()
    past.now += 1.0
    past.stream.catch_up()
    assert honest.told == [301, 302, 303, 304, 305]

    for client in slow:
        client.waiting_bytes = 0
    for _ in range(200):
        past.stream.catch_up()
        past.now += 1.0
    told = [*slow, honest, near]
    assert [client.told for client in told] == [list(range(first, 501)) for first in (11, 21, 31, 41, 301, 496)]


def test_who_has_a_part_of_the_past_is_not_reset_because_another_asks_for_what_is_lost() -> None:
    past = Past()
    past.first = at(90)
    past.stream.begin(at(500))
    honest = past.enter(at(100))
    honest.waiting_bytes = 10_000
    past.stream.catch_up()

    states = past.enter(at(80)).states
    for _ in range(3):
        past.now += 1.0
        past.stream.catch_up()

    assert (states, honest.states) == (["reset"], [])


def test_also_a_search_in_vain_is_followed_by_a_rest() -> None:
    past = Past()
    past.first = at(90)
    past.stream.begin(at(500))

    past.enter(at(10))
    past.stream.catch_up()
    past.enter(at(400))
    past.stream.catch_up()
    assert past.reads == [at(10)]
    past.now += 0.5
    past.stream.catch_up()
    assert past.reads == [at(10), at(400)]


def test_a_database_that_does_not_tell_what_is_long_past_has_only_those_come_again_who_ask_for_it() -> None:
    past = Past()
    past.stream.begin(at(500))
    past.stream.add(at(501), 501, 10)
    far, near = past.enter(at(10)), past.enter(f"{at(500)}.999999999")
    past.error = AutoReconnect("away")

    past.stream.catch_up()
    past.now += 10.0
    past.stream.catch_up()

    assert (far.is_open, far.states) == (False, [])
    assert near.states == ["resumed"]


def test_who_waits_for_very_long_for_what_is_long_past_comes_again_with_the_same_place() -> None:
    past = Past()
    past.stream.begin(at(500))
    far = past.enter(at(10))
    past.stream._rests_until = 1000.0

    past.now += 60.0
    past.stream.catch_up()
    waited = far.is_open
    past.now += 10.0
    past.stream.catch_up()

    assert (waited, far.is_open, far.states) == (True, False, [])
    assert past.reads == []


def test_who_was_away_for_longer_than_one_may_be_begins_anew() -> None:
    past = Past(stream_reach=100.0)
    past.stream.begin(at(500))

    assert [past.come(at(399)), past.come(at(400))] == [["reset"], ["resumed"]]
    assert at(399) not in past.reads


def test_earlier_messages_are_read_once_while_there_is_room() -> None:
    past = Past()
    past.stream.begin(at(100))
    for second in range(101, 105):
        past.stream.add(at(second), second, 10)

    assert [past.come(at(97)), past.come(at(98))] == [["resumed"], ["resumed"]]
    assert past.reads == [at(97)]


def test_a_long_gap_is_told_part_by_part() -> None:
    past = Past()
    past.stream.begin(at(100))
    late: list[int] = []

    def hand_on(seq: str, item: int, size: int) -> None:
        past.stream.add(seq, item, size)
        late.append(item)

    assert past.stream.go_on(at(120), hand_on, list) == []
    assert late == list(range(101, 121))
    assert len(past.reads) == 4


def test_a_feed_that_goes_on_at_an_earlier_position_is_a_reset_and_nothing_is_dropped_after_it() -> None:
    past = Past()
    past.stream.begin(at(100))
    past.stream.add(at(101), 101, 10)
    client: Any = Client(at(101))

    told = past.stream.go_on(at(50), lambda *entry: None, lambda: [client])

    assert told == [client]
    assert client.states == ["reset"]
    assert past.stream.add(at(51), 51, 10)


def test_who_is_further_than_a_worker_that_is_behind_is_not_reset_but_tries_again() -> None:
    past = Past(stream_patience=0.0)
    past.stream.begin(at(100))
    client: Any = Client(at(101))
    past.has_more = True

    past.stream.enter(client, lambda: None)
    past.stream.catch_up()

    assert (client.states, client.is_open) == ([], False)


def test_who_is_further_than_a_worker_that_has_all_there_is_is_reset() -> None:
    past = Past(stream_patience=0.0)
    past.stream.begin(at(100))

    assert past.come(at(101)) == ["reset"]


def test_where_nothing_is_hidden_the_history_is_not_asked() -> None:
    past = Past()
    past.stream.begin(at(100))
    past.stream.reach(at(120))

    told = past.stream.go_on(at(120), lambda *entry: None, list)

    assert (told, past.reads) == ([], [])
    assert past.stream.add(at(121), 121, 10)


def test_others_have_their_turn_while_a_gap_is_told_late() -> None:
    past = Past(stream_history=100)
    past.stream.begin(at(100))
    late: list[int] = []

    told = past.stream.go_on(at(120), lambda seq, item, size: late.append(item), list)

    assert told == []
    assert late == list(range(101, 121))
    assert past.pauses == 20


def test_others_have_their_turn_between_those_who_missed_much() -> None:
    past = Past(stream_history=1000, stream_history_bytes=100_000)
    past.stream.begin(at(100))
    for second in range(101, 191):
        past.stream.add(at(second), second, 10)
    clients: list[Any] = [Client(f"{at(100)}.999999999") for _ in range(9)]
    for client in clients:
        past.stream.enter(client, lambda: None)

    past.stream.catch_up()

    assert [client.states for client in clients] == [["resumed"]] * 9
    assert past.pauses == 3
