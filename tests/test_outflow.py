"""What a turn of the loop brings for connections, and how it leaves."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest

from tests.harness.links import Recorder
from tests.harness.raw import CLOSE, server_frames
from wsflask.config import Settings
from wsflask.connection import Connection, Outflow, State, outflow
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.transport import sends
from wsflask.transport.crew import Crew
from wsflask.transport.parked import ParkedLink


@dataclass
class Client:
    """A parked connection on a socket that keeps the borders of writes, and the client's end of it."""

    connection: Connection
    peer: socket.socket

    def messages(self) -> list[int]:
        """Return the payloads of all messages that have come."""
        return [number for write in self.writes() for number in write]

    def writes(self) -> list[list[int]]:
        """Return the payloads of the messages that have come, a list for each write."""
        found: list[list[int]] = []
        self.peer.settimeout(0)
        while True:
            try:
                data = self.peer.recv(1 << 20)
            except BlockingIOError:
                return found
            if not data:
                return found
            frames, rest = server_frames(data)
            assert rest == b""
            found.append([json.loads(payload)["payload"] for opcode, payload in frames if opcode != CLOSE])


class Room:
    """An outflow and its clients."""

    def __init__(self) -> None:
        self.outflow = Outflow()
        self.clients: list[Client] = []

    def enter(self, kind: int = socket.SOCK_SEQPACKET, **settings: float) -> Client:
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        link = ParkedLink(ours.detach(), Recorder(), Crew())  # type: ignore[arg-type]
        identity = Identity(None, "ada", frozenset(), "session")
        connection = Connection(link, identity, "v1", Settings(**settings), Recorder(), self.outflow)  # type: ignore[arg-type]
        link.owner = connection
        self.clients.append(Client(connection, theirs))
        return self.clients[-1]

    def tell(self, *numbers: int) -> None:
        for number in numbers:
            self.outflow.fan_out(Message("room", number), [client.connection for client in self.clients])


@pytest.fixture(params=["compiled", "python"], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(outflow, "send_each", sends.send_each_in_python)


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    for client in made.clients:
        client.connection.peer_gone()
        client.peer.close()
    made.outflow.turn.stop()


def test_a_message_leaves_as_soon_as_its_sender_waits(room: Room) -> None:
    client = room.enter()

    client.connection.send(Message("room", 1))
    gevent.sleep(0)

    assert client.writes() == [[1]]


def test_several_messages_of_a_turn_leave_with_one_write(room: Room) -> None:
    first, second = room.enter(), room.enter()

    room.tell(1, 2, 3)
    second.connection.send(Message("room", 4))
    gevent.sleep(0)

    assert first.writes() == [[1, 2, 3]]
    assert second.writes() == [[1, 2, 3, 4]]


def test_messages_of_several_turns_keep_their_order(room: Room) -> None:
    client = room.enter()

    for number in range(100):
        if number % 3:
            room.tell(number)
        else:
            client.connection.send(Message("room", number))
        if number % 7 == 0:
            gevent.sleep(0)
    gevent.sleep(0)

    writes = client.writes()
    assert [number for write in writes for number in write] == list(range(100))
    assert len(writes) < 20


def test_a_sender_that_never_waits_has_its_messages_written(room: Room) -> None:
    client = room.enter()

    room.tell(*range(1000))

    assert len(client.messages()) > 900
    assert client.connection.waiting_bytes < 64 * 60


def test_an_answer_goes_before_a_fan_out(room: Room) -> None:
    """Of 5,000 connections the one that is answered has both at once; most others still wait then."""
    crowd = [room.enter(socket.SOCK_STREAM) for _ in range(1500)]
    last = crowd[-1]

    room.tell(1)
    last.connection.send(Message("room", 2))
    gevent.sleep(0)

    assert [json.loads(payload)["payload"] for _, payload in server_frames(last.peer.recv(1000))[0]] == [1, 2]
    assert len(room.outflow) > 500
    gevent.sleep(0.05)
    assert len(room.outflow) == 0
    assert all(client.peer.recv(1000) for client in crowd[:-1])


def test_the_loop_is_served_between_chunks_of_a_fan_out(room: Room) -> None:
    for _ in range(1500):
        room.enter(socket.SOCK_STREAM)
    waiting: list[int] = []
    left, right = socket.socketpair()
    watcher: Any = gevent.get_hub().loop.io(left.fileno(), 1)

    def note() -> None:
        waiting.append(len(room.outflow))
        watcher.stop()

    watcher.start(note)

    room.tell(1)
    right.send(b"x")
    gevent.sleep(0.05)

    assert waiting
    assert waiting[0] > 0, "the socket was served while others still waited for the message"
    watcher.close()
    left.close()
    right.close()


def test_what_a_slow_client_does_not_take_waits_and_is_whole(room: Room) -> None:
    slow, quick = room.enter(socket.SOCK_STREAM, outbox_bytes=1 << 30), room.enter(socket.SOCK_STREAM)
    filling = "x" * 20_000

    for number in range(50):
        room.outflow.fan_out(Message("room", [number, filling]), [slow.connection])
        gevent.sleep(0)
    room.tell(50)
    gevent.sleep(0)
    behind = slow.connection.waiting_bytes
    data = b""
    while slow.connection.waiting_bytes or not data.endswith(b'"payload":50}'):
        data += slow.peer.recv(1 << 16)
        gevent.sleep(0)

    assert behind > 100_000
    assert slow.connection.descriptor >= 0, "it may be written straight to again"
    assert [json.loads(payload)["payload"][0] for _, payload in server_frames(data)[0][:-1]] == list(range(50))
    assert json.loads(server_frames(quick.peer.recv(1000))[0][0][1])["payload"] == 50


def test_a_client_too_far_behind_is_closed_and_the_others_get_theirs(room: Room) -> None:
    slow, quick = room.enter(socket.SOCK_STREAM, outbox_bytes=50_000), room.enter(socket.SOCK_STREAM)
    quick.peer.settimeout(5)
    got = 0
    for number in range(100):
        room.outflow.fan_out(Message("room", [number, "x" * 20_000]), [slow.connection, quick.connection])
        gevent.sleep(0)
        while got < (number + 1) * 20_000:
            got += len(quick.peer.recv(1 << 16))

    assert slow.connection.close_code == 4001
    assert quick.connection.is_open


def test_a_peer_that_is_gone_is_closed(room: Room) -> None:
    gone, here = room.enter(), room.enter()
    gone.peer.close()

    room.tell(1)
    gevent.sleep(0)

    assert gone.connection.state is State.CLOSED
    assert here.writes() == [[1]]


def test_a_connection_that_closes_gets_what_came_before_and_nothing_after(room: Room) -> None:
    client = room.enter()

    room.tell(1)
    client.connection.close()
    room.tell(2)
    client.connection.send(Message("room", 3))
    gevent.sleep(0)

    assert client.messages() == [1]


def test_a_connection_that_ends_before_the_turn_does_costs_nothing(room: Room) -> None:
    gone, here = room.enter(), room.enter()

    room.tell(1)
    descriptor = gone.connection.descriptor
    gone.connection.peer_gone()
    gevent.sleep(0)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert here.writes() == [[1]]


def test_a_failure_for_one_client_holds_up_no_other(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong inside the event loop must not end the writing for good."""
    gone, here = room.enter(), room.enter()
    gone.peer.close()
    monkeypatch.setattr(type(gone.connection), "_lost", lambda self: 1 / 0)

    room.tell(1)
    gevent.sleep(0)
    room.tell(2)
    gevent.sleep(0)
    monkeypatch.undo()

    assert here.messages() == [1, 2]
    assert "could not be kept" in caplog.text


def test_equal_bursts_are_joined_once(room: Room) -> None:
    clients = [room.enter() for _ in range(3)]

    room.tell(1, 2)
    pending = [client.connection.pending for client in clients]
    gevent.sleep(0)

    assert pending[0] == pending[1] == pending[2]
    assert all(client.writes() == [[1, 2]] for client in clients)


def test_what_a_native_thread_sends_leaves_and_so_does_what_follows(room: Room) -> None:
    room.outflow.turn.bind()
    client = room.enter()

    gevent.get_hub().threadpool.apply(client.connection.send, (Message("room", 1),))
    gevent.sleep(0.05)
    client.connection.send(Message("room", 2))
    gevent.sleep(0)

    assert client.messages() == [1, 2]
