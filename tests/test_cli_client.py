"""The clients of `wsflask bench`, against servers that break the rules, or are slow."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.queue import Queue
from gevent.server import StreamServer

from tests.harness import PATIENCE
from wsflask.cli import load as load_module
from wsflask.cli.client import Client, Failed
from wsflask.cli.figures import Figures, Times
from wsflask.cli.load import Load, Plan
from wsflask.cli.target import Target, find_target
from wsflask.errors import ConfigError
from wsflask.protocol import frames
from wsflask.protocol.frames import CLOSE, PING, PONG, TEXT, Event, FrameReader, close_frame, frame

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WELCOME = frame(b'{"channel":"welcome","payload":{"limits":{"messages_per_second":20.0}}}')

#: A limit that would let nobody speak.
IDLE = b'{"channel":"welcome","payload":{"limits":{"messages_per_second":0}}}'

Speak = Callable[[Any], None]
Start = Callable[[Speak], Target]


@pytest.fixture
def serve() -> Iterator[Start]:
    """Start a server that calls this function with each connection, and closes it then; return where it is."""
    running: list[StreamServer] = []

    def start(speak: Speak) -> Target:
        def handle(socket: Any, address: Any) -> None:
            try:
                speak(socket)
            except OSError:
                pass  # The client has gone.

        server = StreamServer(("127.0.0.1", 0), handle)
        server.start()
        running.append(server)
        return find_target(f"ws://127.0.0.1:{server.server_port}/ws")

    yield start
    for server in running:
        server.stop(timeout=1)


def head(socket: Any) -> bytes:
    """Return the head of a request."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        chunk = socket.recv(1000)
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data


def shake_hands(socket: Any, then: bytes = b"", **changed: str | None) -> None:
    """Answer a handshake as wsflask does, but for these headers."""
    (key,) = (line.split(b": ")[1] for line in head(socket).split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    fields = {
        "Upgrade": "websocket",
        "Sec-WebSocket-Accept": base64.b64encode(hashlib.sha1(key + GUID).digest()).decode(),
        "Sec-WebSocket-Protocol": "wsflask.v1",
    } | {f"Sec-WebSocket-{name}": value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    socket.sendall("\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode() + then)


def heard(socket: Any) -> Iterator[Event]:
    """Yield what the client sends, up to its end."""
    reader = FrameReader(1000)
    while data := socket.recv(1000):
        for event in reader.feed(data):
            if event.kind == CLOSE:
                return
            yield event


def speaking(then: bytes, answer: bytes = b"", **changed: str | None) -> Speak:
    """Return what a server does that shakes hands, sends `then`, and gives the same answer to everything."""

    def speak(socket: Any) -> None:
        shake_hands(socket, then, **changed)
        for _ in heard(socket):
            socket.sendall(answer)

    return speak


def failure(target: Target) -> Failed:
    """Return how a client fails that wants a message."""
    with pytest.raises(Failed) as caught, gevent.Timeout(10):
        _receive(target)
    return caught.value


def _receive(target: Target) -> None:
    client = Client(target, "")
    try:
        client.receive()
    finally:
        client.close()


# --- the wire


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_a_message_of_any_length_arrives_whole(serve: Start, length: int) -> None:
    client = Client(serve(speaking(frame(b"x" * length) + frame(b"next"))), "")

    assert client.receive() == b"x" * length
    assert client.receive() == b"next"
    assert client.received == len(frame(b"x" * length)) + 6
    client.close()


def test_fragments_become_one_message_with_a_ping_between_them(serve: Start) -> None:
    first, last = bytearray(frame(b"Gate ", TEXT)), frame(b"C71", frames.CONTINUATION)
    first[0] &= 0x7F
    answers: Queue[Event] = Queue()

    def speak(socket: Any) -> None:
        shake_hands(socket, bytes(first) + frame(b"there?", PING) + frame(b"", PONG) + last)
        for event in heard(socket):
            answers.put(event)

    client = Client(serve(speak), "")
    text = client.receive()

    assert text == b"Gate C71"
    assert answers.get(timeout=PATIENCE) == Event(PONG, b"there?")
    client.close()


def test_frames_are_masked_each_with_a_mask_of_its_own(serve: Start) -> None:
    sent: Queue[bytes] = Queue()

    def speak(socket: Any) -> None:
        shake_hands(socket)
        sent.put(b"".join(iter(lambda: bytes(socket.recv(1000)), b"")))

    client = Client(serve(speak), "session=eyJ")
    for payload in (b"one", b"one", b"x" * 200):
        client.send(payload)
    client.say_goodbye()
    client.close()

    raw = sent.get(timeout=PATIENCE)
    events = FrameReader(1000).feed(raw)
    assert [(event.kind, event.data, event.code) for event in events] == [
        (TEXT, "one", 0),
        (TEXT, "one", 0),
        (TEXT, "x" * 200, 0),
        (CLOSE, "", 1000),
    ]
    assert raw[2:6] != raw[11:15]


def test_a_handshake_says_who_it_is_and_where_it_comes_from(serve: Start) -> None:
    heads: list[bytes] = []

    def speak(socket: Any) -> None:
        heads.append(head(socket))

    target = serve(speak)
    assert failure_of(target, "session=eyJ") == "1006"

    lines = heads[-1].decode().split("\r\n")
    assert lines[0] == "GET /ws HTTP/1.1"
    assert f"Host: {target.netloc}" in lines
    assert f"Origin: http://{target.netloc}" in lines
    assert "Cookie: session=eyJ" in lines


def failure_of(target: Target, cookie: str) -> str:
    """Return the reason why a client with this cookie fails."""
    with pytest.raises(Failed) as caught:
        Client(target, cookie)
    return caught.value.reason


@pytest.mark.parametrize(
    ("speak", "reason", "detail"),
    [
        (speaking(b"", Accept="AAAA"), "not wsflask", "Its Sec-WebSocket-Accept is wrong."),
        (speaking(b"", Accept=None), "not wsflask", "Its Sec-WebSocket-Accept is wrong."),
        (speaking(b"", Protocol=None), "not wsflask", "It does not speak wsflask.v1."),
        (speaking(b"\x81\x83abcdxyz"), "not wsflask", "Its frames are masked"),
        (speaking(b"\xc1\x01x"), "not wsflask", "Its frames are masked, or have bits"),
        (speaking(frame(b"x", frames.BINARY)), "not wsflask", "It sends other frames than text."),
        (speaking(close_frame(4501, "sign\x1b[2J in")), "4501", "sign[2J in"),
        (speaking(close_frame(1005)), "1005", ""),
        (shake_hands, "1006", ""),
        (lambda socket: None, "1006", ""),
        (lambda socket: socket.sendall(b"220 mail ready\r\n\r\n"), "not wsflask", "It does not speak HTTP."),
        (lambda socket: socket.sendall(b"x" * 40_000), "not wsflask", "The answer has no end."),
        (lambda socket: socket.sendall(b"HTTP/1.1 302 Found\r\nLocation: https://ui/\r\n\r\n"), "302", "https://ui/"),
        (lambda socket: socket.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "502", ""),
    ],
)
def test_a_server_that_breaks_the_rules_is_named(serve: Start, speak: Speak, reason: str, detail: str) -> None:
    def slowly(socket: Any) -> None:
        speak(socket)
        gevent.sleep(0.05)  # Its end would overtake what it has sent.

    failed = failure(serve(slowly))

    assert failed.reason == reason
    assert detail in failed.detail


# --- the load


def run(target: Target, **plan: Any) -> Figures:
    """Return the figures of a load."""
    load = Load(target, Plan(**{"connections": 2, "rate": 100.0, "duration": 0.4, "pings": 50.0} | plan), [])
    load.run()
    return load.figures


def test_a_server_that_leaves_pings_without_an_answer_gets_no_second_one(serve: Start) -> None:
    figures = run(serve(speaking(WELCOME)))

    assert (figures.pings_sent, len(figures.pings)) == (2, 0)
    assert figures.pings_skipped > 3
    assert figures.is_good
    assert "pings unanswered             2\n" in figures.table(str)


def test_refused_pings_are_counted_and_no_round_trips(serve: Start) -> None:
    refusal = frame(b'{"channel":"error","payload":{"code":"rate_limited"}}')
    figures = run(serve(speaking(WELCOME, refusal)))

    assert figures.refused["rate_limited"] == figures.pings_sent > 3
    assert len(figures.pings) == 0
    assert "pings refused" in figures.table(str)


@pytest.mark.parametrize(
    "first",
    [b"hello", b'{"payload":1}', b'{"channel":"clipboard","payload":[]}', b'{"channel":"welcome","payload":{}}', IDLE],
)
def test_what_does_not_begin_with_a_welcome_is_not_wsflask(serve: Start, first: bytes) -> None:
    with pytest.raises(ConfigError, match=r"not wsflask .*something else answers there"):
        run(serve(speaking(frame(first))))


@pytest.mark.parametrize("later", [b"hello", b'{"channel":"error","payload":{}}'])
def test_a_server_that_loses_its_grammar_loses_the_connection(serve: Start, later: bytes) -> None:
    figures = run(serve(speaking(WELCOME + frame(later))))

    assert figures.lost == {"not wsflask": 2}
    assert not figures.is_good


def test_a_welcome_that_does_not_come_is_not_waited_for(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "_WELCOME", 0.1)

    with pytest.raises(ConfigError, match="timeout: no welcome in time"):
        run(serve(speaking(b"")))


def test_the_run_ends_when_no_connection_is_left(serve: Start) -> None:
    with gevent.Timeout(10):
        figures = run(serve(lambda socket: shake_hands(socket, WELCOME + close_frame(1012))), duration=60.0)

    assert figures.lost == {"1012": 2}


# --- the figures and the target


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    times = Times()
    for number in range(200, 0, -1):
        times.add(number / 1000)

    assert (times.at(0.5), times.at(0.99), times.at(1)) == (0.1, 0.198, 0.2)
    assert times.as_json() == {"count": 200, "p50": 100, "p99": 198, "max": 200}


def test_without_a_time_there_is_no_percentile() -> None:
    assert Times().as_json() == {"count": 0, "p50": None, "p99": None, "max": None}
    assert Times().cells() == ["", "", ""]


@pytest.mark.parametrize(
    ("shown", "url", "origin"),
    [
        ("http://127.0.0.1:{}", "ws://127.0.0.1:{}/wsflask/ws", "http://127.0.0.1:{}"),
        ("http://127.0.0.1:{}/ui/", "ws://127.0.0.1:{}/ui/wsflask/ws", "http://127.0.0.1:{}"),
        ("https://127.0.0.1:{}/", "wss://127.0.0.1:{}/wsflask/ws", "https://127.0.0.1:{}"),
        ("ws://127.0.0.1:{}", "ws://127.0.0.1:{}/", "http://127.0.0.1:{}"),
        ("wss://127.0.0.1:{}/live?v=1", "wss://127.0.0.1:{}/live?v=1", "https://127.0.0.1:{}"),
    ],
)
def test_the_websocket_is_found_from_either_url(serve: Start, shown: str, url: str, origin: str) -> None:
    port = serve(lambda socket: None).address[1]

    target = find_target(shown.format(port))

    assert (target.url, target.origin) == (url.format(port), origin.format(port))
    assert target.base_url == target.origin
    assert f"wss://x{target.path}".endswith(url.format(port).partition(str(port))[2])
