"""One client, over a socket in memory."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import gevent
import pytest

from tests.harness.links import MemoryLink, Recorder
from tests.harness.raw import BINARY, CLOSE, PING, PONG, TEXT, client_close, client_frame, server_frames
from wsflask.config import Settings
from wsflask.connection import Connection, State
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.protocol.requests import Request

SETTINGS = Settings(
    max_message_bytes=1000,
    message_timeout=30.0,
    inbound_queue=4,
    outbox_bytes=1000,
    outbox_seconds=10.0,
    ping_interval=25.0,
    ping_timeout=10.0,
)
HELLO = Message("echo", "hello")


@dataclass
class Client:
    """A connection and both of its ends."""

    connection: Connection
    link: MemoryLink
    told: list[str]
    handler: Recorder

    def arrives(self, *frames: bytes) -> None:
        self.connection.bytes_arrived(b"".join(frames))

    def close_frame(self) -> tuple[int, str]:
        """Return code and reason of the close frame, which has to be the last."""
        *others, (opcode, payload) = self.link.frames()
        assert opcode == CLOSE
        assert CLOSE not in [other for other, _ in others]
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()


def connect(form: str = "plain", *, is_threaded: bool = False, **changes: Any) -> Client:
    link, handler = MemoryLink(is_threaded=is_threaded), Recorder()
    identity = Identity(None, "ada", frozenset({"staff"}), "session")
    connection = Connection(link, identity, form, replace(SETTINGS, **changes), handler)
    link.owner = connection
    return Client(connection, link, handler.told, handler)


@pytest.fixture(params=[False, True], ids=["parked", "threaded"])
def client(request: pytest.FixtureRequest) -> Client:
    return connect(is_threaded=request.param)


# --- out


def test_a_message_is_written_at_once_in_the_form_of_the_client(client: Client) -> None:
    v1 = connect("v1")
    message = Message("echo", 1, seq="9")

    client.connection.send(message)
    v1.connection.send(message)

    assert client.link.taken == message.frame("plain")
    assert v1.link.taken == message.frame("v1")
    assert client.connection.waiting_bytes == 0


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 1000])
def test_what_the_kernel_does_not_take_waits_and_leaves_whole_and_in_order(client: Client, step: int) -> None:
    client.link.capacity = 5
    messages = [Message("echo", "x" * number) for number in range(12)]

    for message in messages:
        client.connection.send(message)
    waiting = client.connection.waiting_bytes
    while client.connection.waiting_bytes:
        client.link.take(step)

    assert waiting == sum(len(message.frame("plain")) for message in messages) - 5
    assert client.link.taken == b"".join(message.frame("plain") for message in messages)


def test_a_message_never_overtakes_one_that_waits(client: Client) -> None:
    client.link.capacity = 0
    client.connection.send(Message("echo", 1))
    client.link.capacity = 1000

    client.connection.send(Message("echo", 2))
    client.link.take(0)

    assert [json.loads(payload)["payload"] for _, payload in client.link.frames()] == [1, 2]


def test_sending_to_a_closed_connection_does_nothing(client: Client) -> None:
    client.connection.close()
    client.connection.send(HELLO)

    assert [opcode for opcode, _ in client.link.frames()] == [CLOSE]


def test_a_socket_that_fails_on_writing_closes_the_connection(client: Client) -> None:
    client.link.is_broken = True

    client.connection.send(HELLO)

    assert client.connection.state is State.CLOSED
    assert client.connection.close_code == 1006
    assert client.told == ["closed"]


# --- slow consumers


def test_a_client_beyond_the_bound_of_bytes_is_closed_4001_at_a_border_of_frames(client: Client) -> None:
    client.link.capacity = 10
    for _ in range(100):
        client.connection.send(HELLO)
    kept = client.connection.waiting_bytes
    client.link.take(10_000)

    assert client.connection.close_code == 4001
    assert kept < 100, "only the rest of a frame and the close frame are kept"
    assert client.close_frame() == (4001, "too slow")
    assert [payload for opcode, payload in client.link.frames()[:-1]] == [HELLO.text("plain")]
    assert client.told == ["closed"]


def test_a_client_that_took_whole_frames_gets_only_the_close_frame(client: Client) -> None:
    client.link.capacity = 0
    for _ in range(100):
        client.connection.send(HELLO)

    client.link.take(10_000)

    assert [opcode for opcode, _ in client.link.frames()] == [CLOSE]


def test_a_client_that_takes_nothing_for_the_bound_of_seconds_is_closed_4001(client: Client) -> None:
    client.link.capacity = 3
    client.connection.send(HELLO)
    now = time.monotonic()

    client.connection.tick(now + 8.9)
    before = client.connection.is_open
    client.connection.tick(now + 9.1)  # the next tick would be too late

    assert before
    assert client.connection.close_code == 4001


def test_a_client_that_stays_behind_is_closed_although_it_reads_a_little(client: Client) -> None:
    client.link.capacity = 3
    for _ in range(5):
        client.connection.send(HELLO)
    now = time.monotonic()

    client.link.take(1)
    client.connection.tick(now + 11)
    client.link.take(10_000)

    assert client.close_frame() == (4001, "too slow")
    assert len(client.link.frames()) == 2


def test_a_slow_client_that_reads_again_after_a_while_learns_why_it_was_closed(client: Client) -> None:
    client.link.capacity = 3
    client.connection.send(HELLO)
    client.connection.tick(time.monotonic() + 11)

    client.connection.tick(time.monotonic() + 15)
    client.link.take(10_000)
    left = client.link.is_shut
    client.connection.tick(time.monotonic() + 2.1)

    assert client.close_frame() == (4001, "too slow")
    assert (left, client.link.is_closed) == (True, True)


def test_a_slow_client_that_goes_on_taking_nothing_is_cut_off(client: Client) -> None:
    client.link.capacity = 3
    client.connection.send(HELLO)
    now = time.monotonic()
    client.connection.tick(now + 11)

    client.connection.tick(time.monotonic() + 19)
    before = client.link.is_closed
    client.connection.tick(time.monotonic() + 21)

    assert (before, client.link.is_closed) == (False, True)
    assert client.told == ["closed"]


def test_a_chunk_that_another_thread_is_writing_stays_whole_when_the_client_is_found_slow() -> None:
    client = connect(is_threaded=True)
    client.link.capacity = 0
    for number in range(5):
        client.connection.send(Message("echo", number))
    write = client.link.write

    def found_slow_meanwhile(data: bytes) -> int:
        client.link.write = write  # type: ignore[method-assign]
        client.connection.tick(time.monotonic() + 11)
        client.link.capacity = len(data) - 3
        return write(data)

    client.link.write = found_slow_meanwhile  # type: ignore[method-assign]
    client.connection.may_write()
    client.link.take(10_000)

    assert client.close_frame() == (4001, "too slow")
    assert [json.loads(payload)["payload"] for _, payload in client.link.frames()[:-1]] == [0, 1, 2, 3, 4]


# --- rights that were lost


def test_what_waits_for_one_who_lost_the_right_is_dropped_and_he_is_closed_4002(client: Client) -> None:
    client.link.capacity = 10
    for number in range(10):
        client.connection.send(Message("echo", number))

    closed = client.connection.revoke()
    client.link.take(10_000)

    assert closed
    assert client.close_frame() == (4002, "position lost")
    assert [payload for _, payload in client.link.frames()[:-1]] == [Message("echo", 0).text("plain")]
    assert client.told == ["closed"]


def test_a_client_for_whom_nothing_waits_keeps_his_connection_when_he_loses_a_right(client: Client) -> None:
    client.connection.send(HELLO)

    assert not client.connection.revoke()
    assert client.connection.is_open
    assert [payload for _, payload in client.link.frames()] == [HELLO.text("plain")]


def test_what_waits_in_a_closing_connection_is_dropped_too_and_its_code_stays(client: Client) -> None:
    client.link.capacity = 10
    for number in range(10):
        client.connection.send(Message("echo", number))
    client.connection.close(1012, "restart")

    closed = [client.connection.revoke(), client.connection.revoke()]
    client.link.take(10_000)

    assert closed == [False, False]
    assert client.close_frame() == (1012, "restart")
    assert len(client.link.frames()) == 2
    assert client.link.is_shut
    assert client.told == ["closed"]


def test_a_closing_connection_of_which_nothing_has_begun_to_leave_gets_its_close_frame(client: Client) -> None:
    client.link.capacity = 0
    client.connection.send(HELLO)
    client.connection.close(1012, "restart")
    client.link.capacity = 10_000

    client.connection.revoke()

    assert [opcode for opcode, _ in client.link.frames()] == [CLOSE]
    assert client.link.is_shut


def test_a_connection_that_is_closed_is_not_revoked(client: Client) -> None:
    client.connection.peer_gone()

    assert not client.connection.revoke()
    assert client.connection.close_code == 1006


# --- drain


def test_drain_waits_until_little_waits(client: Client) -> None:
    client.link.capacity = 0
    for _ in range(15):
        client.connection.send(HELLO)
    assert client.connection.waiting_bytes > 500
    drained: list[bool] = []
    waiter = threading.Thread(target=lambda: drained.append(client.connection.drain(5.0)))

    waiter.start()
    gevent.sleep(0)
    before = list(drained)
    client.link.take(10_000)
    waiter.join(5)

    assert (before, drained) == ([], [True])


def test_drain_returns_at_once_when_little_waits_and_false_when_it_does_not_come_to_that(client: Client) -> None:
    empty = client.connection.drain(0.0)
    client.link.capacity = 0
    for _ in range(15):
        client.connection.send(HELLO)

    assert empty is True
    assert client.connection.drain(0.01) is False


def test_drain_ends_with_the_connection(client: Client) -> None:
    client.link.capacity = 0
    for _ in range(15):
        client.connection.send(HELLO)
    drained: list[bool] = []
    waiter = threading.Thread(target=lambda: drained.append(client.connection.drain(5.0)))

    waiter.start()
    gevent.sleep(0)
    client.connection.peer_gone()
    waiter.join(1)

    assert drained == [False]
    assert client.connection.drain(5.0) is False


# --- in


def test_the_client_is_greeted_before_its_first_message_is_handled(client: Client) -> None:
    client.link.runs = False

    client.connection.start()
    client.arrives(client_frame(b"one"), client_frame(b"two"))
    client.link.run_work()

    assert client.told == ["opened", "one", "two"]


def test_messages_are_handled_one_at_a_time_and_in_order(client: Client) -> None:
    running: list[str] = []

    def nest(connection: Connection, text: str) -> None:
        running.append(text)
        if text == "one":
            connection.bytes_arrived(client_frame(b"three"))
        assert len(running) == 1
        running.clear()

    client.handler.on_text = nest
    client.link.runs = False
    client.connection.start()
    client.arrives(client_frame(b"one"), client_frame(b"two"))
    client.link.run_work()

    assert client.told == ["opened", "one", "two", "three"]


def test_a_message_that_fails_does_not_keep_the_next_from_being_handled(client: Client) -> None:
    def fail(connection: Connection, text: str) -> None:
        if text == "bad":
            raise RuntimeError(text)

    client.handler.on_text = fail
    client.arrives(client_frame(b"bad"), client_frame(b"good"))

    assert client.told == ["bad", "good"]
    assert client.connection.is_open


def test_a_killed_greenlet_fails_only_its_message() -> None:
    client = connect()

    def die(connection: Connection, text: str) -> None:
        if text == "bad":
            raise gevent.GreenletExit

    client.handler.on_text = die
    client.link.runs = False
    client.arrives(*[client_frame(text) for text in (b"bad", b"b", b"c", b"d", b"e")])
    was_paused = client.link.is_paused
    with pytest.raises(gevent.GreenletExit):
        client.link.run_work()
    client.link.run_work()

    assert client.told == ["bad", "b", "c", "d", "e"]
    assert was_paused
    assert not client.link.is_paused


def test_reading_pauses_while_many_messages_wait_and_goes_on_when_half_are_handled() -> None:
    client = connect()
    paused: list[bool] = []
    client.handler.on_text = lambda connection, text: paused.append(client.link.is_paused)
    client.link.runs = False

    for number in range(3):
        client.arrives(client_frame(b"%d" % number))
    before = client.link.is_paused
    client.arrives(client_frame(b"3"))
    after = client.link.is_paused
    client.link.run_work()

    assert (before, after) == (False, True)
    assert paused == [True, False, False, False]


def test_a_request_is_answered_once_with_its_id() -> None:
    client = connect("v1")

    client.connection.begin(Request("echo", 1, "7"))
    waiting = client.connection.request_id
    client.connection.reply("yes")
    client.connection.reply("no")

    assert (waiting, client.connection.request_id) == ("7", None)
    assert [json.loads(payload) for _, payload in client.link.frames()] == [
        {"channel": "echo", "payload": "yes", "id": "7"}
    ]


def test_an_answer_after_the_request_was_handled_is_not_sent() -> None:
    client = connect("v1")

    client.connection.begin(Request("echo", 1, "7"))
    client.connection.end()
    client.connection.reply("late")

    assert client.link.taken == b""


def test_a_ping_is_answered_with_its_own_data(client: Client) -> None:
    client.arrives(client_frame(b"are you there", PING))

    assert client.link.frames() == [(PONG, b"are you there")]


def test_a_pong_nobody_asked_for_is_ignored(client: Client) -> None:
    client.arrives(client_frame(b"hi", PONG))

    assert client.link.taken == b""
    assert client.connection.is_open


# --- the end


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (client_frame(b"x", BINARY), 1003),
        (client_frame(b"\xff"), 1007),
        (client_frame(b"x" * 1001), 1009),
        (client_frame(b"x", mask=None), 1002),
    ],
)
def test_a_broken_rule_closes_with_its_code(client: Client, frame: bytes, code: int) -> None:
    client.arrives(client_frame(b"fine"), frame, client_frame(b"never handled"))

    assert client.close_frame()[0] == code
    assert client.link.is_shut
    assert client.told == ["fine", "closed"]


def test_a_close_of_the_client_is_answered_with_its_code_and_ends_the_socket(client: Client) -> None:
    client.arrives(client_close(1001, b"bye"), client_frame(b"never handled"))

    assert client.close_frame() == (1001, "bye")
    assert client.connection.state is State.CLOSED
    assert client.link.is_closed
    assert client.told == ["closed"]


def test_a_close_without_a_code_is_answered_without_one(client: Client) -> None:
    client.arrives(client_close())

    assert client.link.taken == b"\x88\x00"
    assert client.connection.close_code == 1005


def test_our_close_leaves_after_what_waits_and_then_the_client_is_awaited(client: Client) -> None:
    client.link.capacity = 3
    client.connection.send(HELLO)
    client.connection.close(1012, "restart")
    states = [client.connection.state, client.link.is_shut]
    client.link.take(10_000)
    states += [client.connection.state, client.link.is_shut, client.link.is_closed]
    client.arrives(client_close(1012))

    assert client.close_frame() == (1012, "restart")
    assert client.link.frames()[0] == (TEXT, HELLO.text("plain"))
    assert states == [State.CLOSING, False, State.CLOSING, True, False]
    assert client.link.is_closed
    assert client.told == ["closed"]


def test_a_close_of_the_client_while_ours_waits_ends_the_socket_after_ours_has_left(client: Client) -> None:
    client.link.capacity = 0
    client.connection.close(1012)
    client.arrives(client_close(1000))
    before = client.link.is_closed

    client.link.take(100)

    assert (before, client.link.is_closed) == (False, True)
    assert client.close_frame()[0] == 1012
    assert client.connection.close_code == 1012


def test_a_client_that_does_not_answer_our_close_is_cut_off(client: Client) -> None:
    client.connection.close(1000)
    now = time.monotonic()

    client.connection.tick(now + 1)
    before = client.link.is_closed
    client.connection.tick(now + 2.1)

    assert (before, client.link.is_closed) == (False, True)


def test_messages_that_arrive_while_closing_are_not_handled(client: Client) -> None:
    client.connection.close(1000)
    client.arrives(client_frame(b"late"), client_frame(b"late", PING))

    assert client.told == ["closed"]
    assert [opcode for opcode, _ in client.link.frames()] == [CLOSE]


def test_messages_that_wait_when_the_connection_closes_are_not_handled() -> None:
    client = connect()
    client.link.runs = False
    client.arrives(client_frame(b"one"), client_frame(b"two"))

    client.handler.on_text = lambda connection, text: connection.close(1000)
    client.link.run_work()

    assert client.told == ["one", "closed"]


def test_closing_twice_sends_one_close_frame(client: Client) -> None:
    client.connection.close(1000, "first")
    client.connection.close(1012, "second")

    assert client.close_frame() == (1000, "first")
    assert client.told == ["closed"]


def test_an_end_without_a_close_frame_is_1006(client: Client) -> None:
    client.connection.peer_gone()

    assert client.connection.close_code == 1006
    assert client.connection.state is State.CLOSED
    assert client.link.is_closed
    assert client.told == ["closed"]


def test_closing_reads_on_where_reading_was_paused() -> None:
    client = connect()
    client.link.runs = False
    client.arrives(*[client_frame(b"x")] * 4)
    paused = client.link.is_paused

    client.connection.close(1000)

    assert (paused, client.link.is_paused) == (True, False)


# --- liveness


@pytest.mark.parametrize(("form", "opcode"), [("plain", PING), ("v1", TEXT)])
def test_a_silent_client_is_asked_once_and_closed_4004_when_it_does_not_answer(form: str, opcode: int) -> None:
    client = connect(form)
    start = client.connection.heard

    for second in range(35):
        client.connection.tick(start + second)
    before = client.connection.is_open
    client.connection.tick(start + 36)

    assert before
    assert client.close_frame() == (4004, "no sign of life")
    assert [kind for kind, _ in client.link.frames()] == [opcode, CLOSE]


def test_the_ping_of_v1_is_a_message() -> None:
    client = connect("v1")

    client.connection.tick(client.connection.heard + 26)

    assert json.loads(client.link.frames()[0][1]) == {"channel": "ping", "payload": {}}


@pytest.mark.parametrize("answer", [client_frame(b"", PONG), client_frame(b"any message"), client_frame(b"", PING)])
def test_any_bytes_of_the_client_are_a_sign_of_life(client: Client, answer: bytes) -> None:
    start = client.connection.heard
    client.connection.tick(start + 26)

    client.arrives(answer)
    client.connection.tick(start + 40)

    assert client.connection.is_open


def test_a_client_whose_messages_are_not_read_is_not_asked_for_a_sign_of_life() -> None:
    client = connect()
    client.link.runs = False
    client.arrives(*[client_frame(b"x")] * 4)

    for second in range(100):
        client.connection.tick(client.connection.heard + second)

    assert client.link.is_paused
    assert client.connection.is_open
    assert client.link.taken == b""


def test_a_client_is_not_given_up_while_its_own_thread_handles_a_message() -> None:
    client = connect(is_threaded=True)

    def take_a_minute(connection: Connection, text: str) -> None:
        for second in range(60):
            connection.tick(connection.heard + second)

    client.handler.on_text = take_a_minute
    client.arrives(client_frame(b"x"))

    assert client.connection.is_open
    assert client.link.taken == b""


def test_a_message_that_is_begun_and_not_ended_in_time_closes_4004(client: Client) -> None:
    start = time.monotonic()
    client.arrives(client_frame(b"x", final=False))
    for second in range(30):
        client.arrives(client_frame(b"", PONG), client_frame(b"x", 0, final=False))
        client.connection.tick(start + second)
    before = client.connection.is_open

    client.connection.tick(time.monotonic() + 31)

    assert before
    assert client.close_frame() == (4004, "unfinished message")


def test_a_client_that_ends_its_messages_may_always_be_in_the_middle_of_one(client: Client) -> None:
    frame = client_frame(b"xyz")
    client.arrives(frame[:3])
    began = client.connection._began

    time.sleep(0.01)
    client.arrives(frame[3:] + frame[:3])

    assert 0 < began < client.connection._began
    client.arrives(frame[3:])
    assert client.connection._began == 0


def test_a_connection_keeps_no_reference_to_an_outbox_or_queue_while_idle(client: Client) -> None:
    client.link.capacity = 0
    client.connection.send(HELLO)
    client.link.take(10_000)
    client.arrives(client_frame(b"x"))

    assert client.connection._outbox is None
    assert client.connection._inbound is None


def test_the_bytes_of_a_random_conversation_are_whole_frames() -> None:
    client = connect(outbox_bytes=100_000)
    client.link.capacity = 0

    for number in range(300):
        client.connection.send(Message("echo", "x" * (number * 37 % 300)))
        if number % 7 == 0:
            client.arrives(client_frame(b"p", PING))
        client.link.take(number * 53 % 400)
    client.link.take(1 << 20)

    found, rest = server_frames(client.link.taken)
    assert rest == b""
    assert len(found) == 300 + 43


def test_many_pings_at_once_are_answered_in_order(client: Client) -> None:
    client.arrives(*(client_frame(str(number).encode(), PING) for number in range(30)))

    assert client.link.frames() == [(PONG, str(number).encode()) for number in range(30)]


def test_a_flood_of_pings_closes_4003(client: Client) -> None:
    for _ in range(10):
        client.arrives(*(client_frame(b"", PING) for _ in range(30)))

    assert client.close_frame()[0] == 4003


# --- the end comes after what came before


@pytest.mark.parametrize("is_threaded", [False, True], ids=["parked", "threaded"])
@pytest.mark.parametrize(
    ("end", "code"),
    [(client_close(1000), 1000), (client_frame(b"", 3), 1002), (client_frame(b"x", BINARY), 1003)],
    ids=["close", "broken", "binary"],
)
def test_messages_that_came_before_the_end_are_handled(end: bytes, code: int, *, is_threaded: bool) -> None:
    client = connect(is_threaded=is_threaded)
    client.link.runs = is_threaded
    client.handler.on_text = lambda connection, text: connection.send(Message("echo", text))

    client.arrives(client_frame(b"one"), client_frame(b"two"), end)
    client.link.run_work()

    assert client.told == ["one", "two", "closed"]
    assert client.connection.close_code == code
    assert [opcode for opcode, _ in client.link.frames()] == [TEXT, TEXT, CLOSE]


def test_an_answer_that_is_under_way_when_the_client_closes_is_sent() -> None:
    client = connect()

    def answer(connection: Connection, text: str) -> None:
        client.arrives(client_close(1000))
        connection.send(Message("echo", text))

    client.handler.on_text = answer
    client.arrives(client_frame(b"last"))

    assert [opcode for opcode, _ in client.link.frames()] == [TEXT, CLOSE]


@pytest.mark.parametrize("is_threaded", [False, True], ids=["parked", "threaded"])
def test_a_ping_is_answered_before_the_message_behind_it(is_threaded: bool) -> None:
    client = connect(is_threaded=is_threaded)
    client.handler.on_text = lambda connection, text: connection.send(Message("echo", text))

    client.arrives(client_frame(b"!", PING), client_frame(b"one"))

    assert [opcode for opcode, _ in client.link.frames()] == [PONG, TEXT]


# --- held


def test_what_a_held_client_sends_waits(client: Client) -> None:
    client.connection.hold()
    client.connection.hold()

    client.arrives(client_frame(b"one"), client_frame(b"two"))
    client.connection.release()
    before = list(client.told)
    client.connection.release()

    assert before == []
    assert client.told == ["one", "two"]


def test_what_follows_a_hold_comes_before_what_the_client_sent(client: Client) -> None:
    client.connection.hold()
    client.arrives(client_frame(b"one"))

    client.connection.when_released(lambda: client.told.append("greeted"))
    client.connection.release()

    assert client.told == ["greeted", "one"]


def test_what_follows_a_hold_may_hold_again(client: Client) -> None:
    client.connection.hold()
    client.arrives(client_frame(b"one"))
    client.connection.when_released(client.connection.hold)

    client.connection.release()
    before = list(client.told)
    client.connection.release()

    assert before == []
    assert client.told == ["one"]


def test_a_held_client_that_closes_is_gone_at_once(client: Client) -> None:
    client.connection.hold()

    client.arrives(client_close(1000))

    assert client.connection.state is State.CLOSED
    client.connection.release()
    assert client.told == ["closed"]
