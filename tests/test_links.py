"""Real sockets under a connection: parked on the loop, or with a thread of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import gevent
import pytest

from tests.harness import PATIENCE, ROOT, wait_until
from tests.harness.links import Recorder
from tests.harness.raw import CLOSE, PONG, TEXT, client_close, client_frame, server_frames
from wsflask.config import Settings
from wsflask.connection import Connection, Outflow, State
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.transport.crew import Crew
from wsflask.transport.link import Link
from wsflask.transport.parked import ParkedLink
from wsflask.transport.threaded import ThreadedLink

SETTINGS = Settings(inbound_queue=4, outbox_bytes=64 * 1024 * 1024)


@dataclass
class Pair:
    """A connection on one end of a socket pair, and the client's end."""

    connection: Connection
    link: Link
    peer: socket.socket
    handler: Recorder = field(default_factory=Recorder)

    def read(self, count: int) -> list[tuple[int, bytes]]:
        """Return the next frames that the client gets."""
        frames: list[tuple[int, bytes]] = []
        rest = b""
        while len(frames) < count:
            data = self.peer.recv(1 << 16)
            if not data:
                break
            found, rest = server_frames(rest + data)
            frames += found
        assert rest == b""
        return frames


def _parked(sock: socket.socket) -> ParkedLink:
    return ParkedLink(os.dup(sock.fileno()), Nobody(), Crew())


def _threaded(sock: socket.socket) -> ThreadedLink:
    return ThreadedLink(sock)


class Nobody:
    def bytes_arrived(self, data: bytes) -> None: ...
    def may_write(self) -> None: ...
    def peer_gone(self) -> None: ...


@pytest.fixture(params=[_parked, _threaded], ids=["parked", "threaded"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    theirs.settimeout(PATIENCE)
    link, handler = request.param(ours), Recorder()
    outflow = None if link.is_threaded else Outflow()
    connection = Connection(link, Identity(None, "ada", frozenset(), "s"), "plain", SETTINGS, handler, outflow)
    link.owner = connection
    thread = None
    if isinstance(link, ParkedLink):
        link.park()
        ours.close()
    else:
        thread = threading.Thread(target=link.serve)
        thread.start()
    yield Pair(connection, link, theirs, handler)
    theirs.close()
    wait_until(lambda: connection.state is State.CLOSED, what="the end of the connection")
    if thread is not None:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    ours.close()


def test_what_arrives_is_handled_and_answered(pair: Pair) -> None:
    pair.handler.on_text = lambda connection, text: connection.send(Message("echo", text))

    pair.peer.sendall(client_frame(b"one") + client_frame(b"two"))
    frames = pair.read(2)

    assert [json.loads(payload)["payload"] for _, payload in frames] == ["one", "two"]


def test_a_message_in_single_bytes_is_handled(pair: Pair) -> None:
    for byte in client_frame("grün".encode()):
        pair.peer.sendall(bytes([byte]))
        gevent.sleep(0)

    wait_until(lambda: pair.handler.told == ["grün"])


def test_three_megabytes_to_a_reader_that_starts_late_arrive_whole_and_in_order(pair: Pair) -> None:
    messages = [Message("echo", [number, "x" * (number * 997 % 20_000)]) for number in range(300)]

    for message in messages:
        pair.connection.send(message)
    waiting = pair.connection.waiting_bytes
    frames = pair.read(300)

    assert waiting > 2_000_000
    assert frames == [(TEXT, message.text("plain")) for message in messages]
    wait_until(lambda: pair.connection.waiting_bytes == 0)


def test_several_senders_to_one_slow_reader_do_not_mix_their_frames(pair: Pair) -> None:
    def send(name: str) -> None:
        for number in range(100):
            pair.connection.send(Message("echo", [name, number, "x" * 5000]))
            gevent.sleep(0)

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    frames = pair.read(400)
    for thread in threads:
        thread.join(PATIENCE)

    got = [json.loads(payload)["payload"] for _, payload in frames]
    for name in "abcd":
        assert [number for sender, number, _ in got if sender == name] == list(range(100))


def test_the_close_handshake_ends_the_socket(pair: Pair) -> None:
    pair.peer.sendall(client_close(1000))
    frames = pair.read(2)

    assert frames == [(CLOSE, b"\x03\xe8")]
    assert pair.peer.recv(1) == b""


def test_our_close_frame_is_followed_by_the_end_of_the_stream_while_we_still_listen(pair: Pair) -> None:
    pair.connection.close(1012, "restart")
    frames = pair.read(2)
    state = pair.connection.state
    pair.peer.sendall(client_frame(b"a message that was on its way") + client_close(1012))

    assert frames == [(CLOSE, b"\x03\xf4restart")]
    assert state is State.CLOSING
    wait_until(lambda: pair.connection.state is State.CLOSED)
    assert pair.handler.told == ["closed"]


def test_the_end_of_the_peer_is_noticed(pair: Pair) -> None:
    pair.peer.close()

    wait_until(lambda: pair.connection.state is State.CLOSED)
    assert pair.connection.close_code == 1006
    assert pair.handler.told == ["closed"]


def test_the_end_of_the_peer_while_much_waits_is_noticed(pair: Pair) -> None:
    for _ in range(300):
        pair.connection.send(Message("echo", "x" * 10_000))

    pair.peer.close()

    wait_until(lambda: pair.connection.state is State.CLOSED)
    assert pair.connection.waiting_bytes == 0


def test_a_slow_reader_that_is_cut_and_then_reads_gets_whole_frames_and_a_close(pair: Pair) -> None:
    messages = [Message("echo", [number, "x" * 5000]) for number in range(300)]
    for message in messages:
        pair.connection.send(message)

    pair.connection.tick(pair.connection.heard + 11)
    frames = pair.read(1000)

    assert frames[-1] == (CLOSE, b"\x0f\xa1too slow")
    assert 0 < len(frames) < 200
    assert frames[:-1] == [(TEXT, message.text("plain")) for message in messages[: len(frames) - 1]]


def test_reading_pauses_while_messages_wait_to_be_handled(pair: Pair) -> None:
    """What a client sends to a busy service waits in the kernel, and then with the client."""
    busy = threading.Event()

    def wait(connection: Connection, text: str) -> None:
        busy.wait(PATIENCE)

    pair.handler.on_text = wait
    pair.peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair.peer.sendall(client_frame(b"x" * 60_000) * 100)
    held = len(pair.connection._inbound or ())

    busy.set()

    assert held <= SETTINGS.inbound_queue + 2
    wait_until(lambda: len(pair.handler.told) >= held)


def test_pings_are_answered_between_messages(pair: Pair) -> None:
    pair.peer.sendall(client_frame(b"a", 9) + client_frame(b"b", 9))

    assert pair.read(2) == [(PONG, b"a"), (PONG, b"b")]


def test_closing_a_link_twice_does_nothing_and_writing_then_fails(pair: Pair) -> None:
    pair.link.close()
    pair.link.close()
    pair.link.end_writing()
    pair.link.call_when_writable()

    with pytest.raises(OSError, match="closed"):
        pair.link.write(b"x")
    pair.connection.peer_gone()


def test_a_parked_link_that_was_closed_before_its_request_ended_stays_closed() -> None:
    ours, theirs = socket.socketpair()
    link = _parked(ours)
    ours.close()

    link.close()
    link.park()

    assert theirs.recv(1) == b""
    theirs.close()


def test_a_parked_link_that_is_paused_before_it_is_parked_does_not_read() -> None:
    ours, theirs = socket.socketpair()
    link, handler = _parked(ours), Recorder()
    ours.close()
    outflow = None if link.is_threaded else Outflow()
    connection = Connection(link, Identity(None, "ada", frozenset(), "s"), "plain", SETTINGS, handler, outflow)
    link.owner = connection
    theirs.sendall(client_frame(b"x"))

    link.pause()
    link.park()
    gevent.sleep(0.02)
    before = list(handler.told)
    link.resume()
    wait_until(lambda: handler.told == ["x"])

    assert before == []
    theirs.close()
    wait_until(lambda: connection.state is State.CLOSED)


UNPATCHED = """
import json, resource, socket, sys, threading, time
import os
sys.path.insert(0, ".")
from tests.harness.links import Recorder
from tests.harness.raw import client_frame, server_frames
from wsflask.config import Settings
from wsflask.connection import Connection, Outflow, State
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.tasks import is_patched
from wsflask.transport.threaded import ThreadedLink
assert not is_patched()
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if hard < 0 else min(4096, hard), hard))
hold = [os.dup(0) for _ in range(FILES)]
ours, theirs = socket.socketpair()
theirs.settimeout(10)
link = ThreadedLink(ours)
handler = Recorder()
connection = Connection(link, Identity(None, "ada", frozenset(), "s"), "plain", Settings(outbox_bytes=1 << 28), handler)
link.owner = connection
handler.on_text = lambda connection, text: connection.send(Message("echo", text))
reader = threading.Thread(target=link.serve)
reader.start()
def send(name):
    for number in range(300):
        connection.send(Message("echo", [name, number, "x" * 3000]))
senders = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
for sender in senders: sender.start()
theirs.sendall(client_frame(b"hello"))
for sender in senders: sender.join()
assert connection.waiting_bytes > 1000000
used = time.process_time()
time.sleep(0.3)
used = time.process_time() - used
frames, rest = [], b""
while len(frames) < 1201:
    found, rest = server_frames(rest + theirs.recv(1 << 20))
    frames += found
got = [json.loads(payload)["payload"] for _, payload in frames]
for name in "abcd":
    assert [item[1] for item in got if item[0] == name] == list(range(300)), name
assert "hello" in got
drained = connection.drain(5)
theirs.close()
reader.join(5)
assert connection.state is State.CLOSED and handler.told == ["hello", "closed"], (connection, handler.told)
assert drained
assert used < 0.1, f"{used:.2f} s of work while nothing could be written"
print("fine")
"""


@pytest.mark.parametrize("files", [0, 1200], ids=["few files", "more files than select() knows"])
def test_real_threads_write_whole_frames_in_order(files: int) -> None:
    script = UNPATCHED.replace("FILES", str(files))

    command = [sys.executable, "-c", script]
    run = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (run.stdout.strip(), run.stderr) == ("fine", "")


