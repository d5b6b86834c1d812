"""Of messages with a key only the newest waits for a slow client."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.links import MemoryLink, Recorder
from tests.harness.raw import server_frames
from tests.live_process import Database, at, change
from tests.live_world import OPEN, query
from wsflask.config import Settings
from wsflask.connection import Connection, Counts, Outflow
from wsflask.connection.outbox import Outbox
from wsflask.documents.fields import utc_now
from wsflask.identity import Identity
from wsflask.live.intake import Intake
from wsflask.live.views import LiveViews
from wsflask.protocol.messages import Message
from wsflask.services.boards import Boards
from wsflask.services.clipboard_entries import data_entry


class Slow:
    """A client that takes as many bytes as the test lets it."""

    def __init__(self, *, is_threaded: bool = False, **settings: Any) -> None:
        self.link, self.counts = MemoryLink(is_threaded=is_threaded), Counts()
        identity = Identity(None, "ada", frozenset(), "session")
        self.ws = Connection(self.link, identity, "v1", Settings(**settings), Recorder(), counts=self.counts)
        self.link.owner = self.ws
        self.link.capacity = 0

    def payloads(self) -> list[Any]:
        """Return what has come by now."""
        return [json.loads(payload)["payload"] for opcode, payload in self.link.frames() if opcode == 1]

    def read_all(self) -> list[Any]:
        self.link.take(1 << 30)
        return self.payloads()


def keyed(payload: Any, key: Hashable = "k", **more: Any) -> Message:
    return Message("room", payload, key=key, **more)


@pytest.fixture(params=[False, True], ids=["parked", "threaded"])
def slow(request: pytest.FixtureRequest) -> Slow:
    return Slow(is_threaded=request.param)


# --- the outbox


def test_the_newest_of_a_key_drops_the_one_that_waits_and_goes_to_the_end(slow: Slow) -> None:
    for message in (Message("room", 0), keyed(1), Message("room", 2), keyed(3), keyed("other", "l")):
        slow.ws.send(message)

    assert slow.read_all() == [0, 2, 3, "other"]
    assert slow.counts.conflated == 1


def test_who_keeps_up_gets_every_message(slow: Slow) -> None:
    slow.link.capacity = 1 << 30
    for number in range(5):
        slow.ws.send(keyed(number))

    assert slow.payloads() == [0, 1, 2, 3, 4]
    assert slow.counts.conflated == 0


def test_a_frame_that_has_begun_to_leave_is_not_replaced(slow: Slow) -> None:
    slow.link.capacity = 3
    for number in range(4):
        slow.ws.send(keyed(number))

    assert slow.read_all() == [0, 3]


def test_equal_keys_of_two_channels_have_nothing_to_do_with_each_other(slow: Slow) -> None:
    slow.ws.send(Message("room", 1, key="k"))
    slow.ws.send(Message("hall", 2, key="k"))

    assert slow.read_all() == [1, 2]


def test_a_last_message_drops_what_waits_and_stays_itself(slow: Slow) -> None:
    for message in (keyed("a"), keyed("end", is_last=True), keyed("b"), keyed("c")):
        slow.ws.send(message)

    assert slow.read_all() == ["end", "c"]


def test_a_channel_whose_messages_have_keys_never_overflows_by_their_number() -> None:
    slow = Slow(outbox_bytes=2000)
    for number in range(100_000):
        slow.ws.send(keyed(number, number % 7))

    assert slow.ws.is_open
    assert slow.ws.waiting_bytes < 400
    assert len(slow.ws._outbox._frames) < 50  # type: ignore[union-attr]
    assert slow.read_all() == list(range(99_993, 100_000))


def test_keys_do_not_lift_the_bound_of_bytes() -> None:
    slow = Slow(outbox_bytes=2000)
    for number in range(100):
        slow.ws.send(keyed("x" * 50, number))

    assert slow.ws.close_code == 4001
    assert slow.counts.closed == {4001: 1}


def test_who_never_gets_the_newest_of_a_key_is_closed_although_others_leave(slow: Slow) -> None:
    """Else the row that changes most would never come."""
    slow.link.capacity = 3
    slow.ws.send(keyed("begun", "begun"))
    for number in range(50):
        slow.ws.send(Message("room", number))
        slow.ws.send(keyed(number))
        slow.link.take(30)
    slow.ws.tick(time.monotonic() + 8.9)
    before = slow.ws.is_open

    slow.ws.tick(time.monotonic() + 9.1)

    assert before
    assert slow.ws.close_code == 4001


def test_its_age_is_that_of_the_first_whose_place_was_taken() -> None:
    outbox = Outbox()
    frames = [keyed(number).frame("v1") for number in range(3)]
    outbox.add(b"plain", 0, 1.0)
    ages = []
    for now, frame in enumerate(frames, 2):
        outbox.add(frame, 0, float(now))
        ages.append(outbox.oldest)
    outbox.chunk()
    outbox.left(5)

    assert ages == [1.0, 1.0, 1.0]
    assert outbox.oldest == 2.0


def test_a_chunk_that_another_thread_is_writing_is_not_touched() -> None:
    slow = Slow(is_threaded=True)
    for number in range(3):
        slow.ws.send(keyed(number, number))
    write = slow.link.write

    def meanwhile(data: bytes) -> int:
        slow.link.write = write  # type: ignore[method-assign]
        for number in range(3):
            slow.ws.send(keyed(10 + number, number))
        slow.link.capacity = len(data) - 1
        return write(data)

    slow.link.write = meanwhile  # type: ignore[method-assign]
    slow.ws.may_write()

    assert slow.read_all() == [0, 1, 2, 10, 11, 12]


def test_what_waits_for_the_end_of_the_turn_is_conflated_only_when_the_kernel_takes_no_more() -> None:
    """Of a burst in one turn a client that keeps up gets all."""
    outflow, counts = Outflow(), Counts()
    link = MemoryLink()
    ws = Connection(link, Identity(None, "ada", frozenset(), "s"), "v1", Settings(), Recorder(), outflow, counts)
    link.owner = ws
    for number in range(3):
        outflow.fan_out(keyed(number), [ws])
    ws.flush()
    link.capacity = 0
    for number in range(3, 6):
        outflow.fan_out(keyed(number), [ws])
    ws.flush()
    link.take(1 << 20)

    assert [json.loads(payload)["payload"] for _, payload in link.frames()] == [0, 1, 2, 5]
    assert counts.conflated == 2


@given(
    sent=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.booleans()), max_size=80),
    steps=st.lists(st.integers(0, 90), max_size=80),
)
def test_what_leaves_is_a_part_of_what_was_sent_in_its_order_with_the_newest_of_each_key(
    sent: list[tuple[int, int, bool]], steps: list[int]
) -> None:
    """Key 0 stands for none; some messages are the last of their key."""
    outbox, gone, drops = Outbox(), b"", 0
    messages = [
        Message("room", [number, "x" * size], key=key or None, is_last=is_last and key > 0)
        for number, (key, size, is_last) in enumerate(sent)
    ]
    reads = iter(steps)
    for message in messages:
        drops += outbox.add(message.frame("v1"), 0, 1.0)
        if outbox and (count := next(reads, 0)):
            chunk = outbox.chunk()[:count]
            gone += chunk
            outbox.left(len(chunk))
    while outbox:
        assert outbox.size > 0
        chunk = outbox.chunk()
        gone += chunk
        outbox.left(len(chunk))

    link = MemoryLink()
    link.taken = gone
    numbers = [json.loads(payload)["payload"][0] for _, payload in link.frames()]
    newest = {key: number for number, (key, _, _) in enumerate(sent)}
    assert numbers == sorted(set(numbers))
    assert len(numbers) == len(messages) - drops
    assert outbox.size == 0
    for number, (key, _, is_last) in enumerate(sent):
        assert number in numbers or (key and not is_last and newest[key] > number)


# --- who uses it


def test_of_clipboards_only_the_newest_waits(slow: Slow) -> None:
    boards = Boards("clipboard")
    boards.join(slow.ws)
    boards.greet(slow.ws, {"rev": 0})
    for rev in range(1, 1000):
        boards.take("ada", {"rev": rev, "entries": [{**data_entry("x" * 2000, utc_now()), "id": rev}]})

    assert [[entry["id"] for entry in state] for state in slow.read_all()] == [[999]]


class Board:
    """A view without an order, followed by one client that takes the wire at its word."""

    def __init__(self, slow: Slow) -> None:
        self.slow = slow
        self.database = Database()
        self.database.answer = ()
        settings = Settings(database_timeout=5.0)
        self.views = LiveViews(settings, b"secret", self._deliver, self.database.load)
        self.views.begin(at(1))
        self.intake = Intake(self.views)
        self.rows: dict[Any, Any] = {}
        self.seqs: list[str] = []
        self.read = 0

    @staticmethod
    def _deliver(message: Message, connections: Sequence[Connection]) -> None:
        for ws in connections:
            ws.send(message)

    def subscribe(self) -> None:
        subscriber = self.views.attach(self.slow.ws, query(OPEN), {})
        self.views.wait(subscriber)
        self.views.send(subscriber)

    def look(self) -> None:
        """Take what has come; an op that does not fit the rows fails."""
        data, self.slow.link.taken = self.slow.link.taken, b""
        found, rest = server_frames(data)
        self.slow.link.taken = rest
        for _, payload in found:
            told = json.loads(payload)["payload"]
            key = told["message"]["_id"]
            assert (key in self.rows) == (told["op"] not in ("I", "L")), told
            if told["op"] in ("D", "R"):
                del self.rows[key]
            else:
                self.rows[key] = told["message"]["total"]
            self.seqs.append(told["seq"])
            self.read += 1


def test_of_updates_of_a_row_only_the_newest_waits_and_every_other_op_stays(slow: Slow) -> None:
    board = Board(slow)
    board.subscribe()
    for moment, (op, identity, fields) in enumerate(
        [
            ("I", "a", {"status": "open", "total": 1}),
            ("U", "a", {"status": "open", "total": 2}),
            ("I", "b", {"status": "open", "total": 3}),
            ("U", "a", {"status": "open", "total": 4}),
            ("D", "a", {}),
            ("I", "a", {"status": "open", "total": 5}),
            ("U", "b", {"status": "open", "total": 6}),
            ("U", "b", {"status": "shut", "total": 7}),
        ],
        2,
    ):
        board.intake.follow([change(moment, op, identity, **fields)])

    told = [(one["op"], one["message"]["_id"], one["message"].get("total")) for one in slow.read_all()]
    assert told == [("I", "a", 1), ("I", "b", 3), ("D", "a", None), ("I", "a", 5), ("R", "b", None)]


@pytest.mark.parametrize("seed", range(20))
def test_a_slow_client_has_the_rows_when_it_has_read_all(seed: int) -> None:
    """And what it has read names each row's state as it then was, in the order of the feed."""
    chance = random.Random(seed)
    board = Board(Slow(outbox_bytes=1 << 30))
    board.subscribe()
    truth: dict[str, dict[str, Any]] = {}
    for moment in range(2, 600):
        identity = chance.choice("abcdef")
        document = {"status": chance.choice(["open", "open", "shut"]), "total": chance.randrange(1000)}
        if identity in truth and chance.random() < 0.2:
            del truth[identity]
            board.intake.follow([change(moment, "D", identity)])
        else:
            op = "U" if identity in truth else "I"
            truth[identity] = document
            board.intake.follow([change(moment, op, identity, **document)])
        if chance.random() < 0.3:
            board.slow.link.take(chance.randrange(300))
            board.look()
    board.slow.link.take(1 << 30)
    board.look()

    assert board.rows == {key: one["total"] for key, one in truth.items() if one["status"] == "open"}
    assert board.seqs == sorted(board.seqs)
    assert board.slow.counts.conflated > 20
