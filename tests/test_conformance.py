"""RFC 6455 over real sockets, in short; `scripts/autobahn.py` runs the whole of it."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.report import Outcome, read_outcome, table
from tests.harness import Servers, WebServer
from tests.harness.raw import BINARY, CLOSE, PING, PONG, TEXT, RawClient, client_close, client_frame, handshake_request

CONTINUATION = 0
SERVERS = [(kind, transport) for kind in ("gunicorn", "pywsgi") for transport in ("parked", "threaded")]


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    kind, transport = request.param
    with Servers() as servers:
        start = servers.gunicorn if kind == "gunicorn" else servers.pywsgi
        yield start("tests.apps.frame_echo:app", env={"FRAME_ECHO_TRANSPORT": transport})


@dataclass(frozen=True)
class Exchange:
    """What a client sends in one go, what it gets back, and the code that the connection closes with."""

    name: str
    sent: bytes
    answer: bytes
    code: int | None = 1000


def answer(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a frame of the server, built here anew."""
    if len(payload) < 126:
        return struct.pack("!BB", 0x80 | opcode, len(payload)) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, len(payload)) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, len(payload)) + payload


def closing(name: str, sent: bytes, code: int | None) -> Exchange:
    return Exchange(name, sent, b"", code)


GREETING = "Grüße, 世界 🎉".encode()
BYE = client_close(1000)
LENGTHS = (0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20)

TAKEN = [
    *(Exchange(f"a text of {n}", client_frame(b"*" * n), answer(b"*" * n)) for n in LENGTHS),
    *(Exchange(f"{n} bytes", client_frame(b"\xfe" * n, BINARY), answer(b"\xfe" * n, BINARY)) for n in LENGTHS),
    Exchange("a ping", client_frame(b"", PING), answer(b"", PONG)),
    Exchange("a ping with bytes", client_frame(b"\0\xff\xfe\xfd\xfc\xfb\0\xff", PING),
             answer(b"\0\xff\xfe\xfd\xfc\xfb\0\xff", PONG)),
    Exchange("a ping of 125", client_frame(b"\xfe" * 125, PING), answer(b"\xfe" * 125, PONG)),
    Exchange("ten pings", b"".join(client_frame(b"%d" % n, PING) for n in range(10)),
             b"".join(answer(b"%d" % n, PONG) for n in range(10))),
    Exchange("a pong that nobody asked for", client_frame(b"unsolicited", PONG), b""),
    Exchange("characters", client_frame(GREETING), answer(GREETING)),
    Exchange("two fragments", client_frame(b"frag", final=False) + client_frame(b"ment", CONTINUATION),
             answer(b"fragment")),
    Exchange("a fragment for each byte of characters",
             client_frame(b"", final=False)
             + b"".join(client_frame(bytes([byte]), CONTINUATION, final=False) for byte in GREETING)
             + client_frame(b"", CONTINUATION), answer(GREETING)),
    Exchange("binary fragments", client_frame(b"\xff", BINARY, final=False) + client_frame(b"\0", CONTINUATION),
             answer(b"\xff\0", BINARY)),
    Exchange("the highest character and a noncharacter", client_frame(b"\xf4\x8f\xbf\xbf\xef\xbf\xbf"),
             answer(b"\xf4\x8f\xbf\xbf\xef\xbf\xbf")),
]  # fmt: skip

REFUSED = [
    *(closing(f"reserved bits {rsv:#x}", client_frame(b"x", rsv=rsv), 1002) for rsv in (0x10, 0x20, 0x40, 0x70)),
    *(closing(f"opcode {opcode}", client_frame(b"", opcode), 1002) for opcode in (3, 7, 11, 15)),
    closing("no mask", client_frame(b"x", mask=None), 1002),
    closing("a ping of 126", client_frame(b"x" * 126, PING), 1002),
    closing("a ping in fragments", client_frame(b"x", PING, final=False), 1002),
    closing("a continuation of nothing", client_frame(b"x", CONTINUATION), 1002),
    closing("a text within a text", client_frame(b"x", final=False) + client_frame(b"y"), 1002),
    closing("no UTF-8", client_frame(b"\xed\xa0\x80"), 1007),
    closing("half a character at the end", client_frame(GREETING[:-1]), 1007),
    closing("no UTF-8 in a fragment, and no last one", client_frame(b"\xf4\x90\x80\x80", final=False), 1007),
    closing("2**62 bytes", b"\x82\xff" + struct.pack("!Q", 1 << 62), 1009),
    closing("no code", client_close(), None),
    *(closing(f"code {code}", client_close(code, b"why"), code) for code in (1000, 1001, 1011, 3000, 4999)),
    *(closing(f"code {code}", client_close(code, b"why"), 1002) for code in (0, 999, 1004, 1005, 1006, 1100, 5000)),
    closing("a code of one byte", client_frame(b"\x03", CLOSE), 1002),
    closing("a reason that is no UTF-8", client_close(1000, b"\xff"), 1007),
    closing("a reason beyond 125", client_close(1000, b"x" * 124), 1002),
    closing("a close, then a ping and a text", BYE + client_frame(b"", PING) + client_frame(b"x"), 1000),
]


def connect(server: WebServer) -> RawClient:
    client = RawClient(server.port)
    client.socket.sendall(handshake_request(server.port, path="/echo"))
    assert client.read_head().startswith(b"HTTP/1.1 101 ")
    return client


@pytest.mark.parametrize("exchange", TAKEN, ids=lambda each: each.name)
def test_what_the_rfc_allows_is_answered(server: WebServer, exchange: Exchange) -> None:
    with connect(server) as client:
        client.socket.sendall(exchange.sent)
        found = read_exactly(client, len(exchange.answer))
        client.socket.sendall(BYE)
        rest = client.read_to_end()

    assert found == exchange.answer
    assert code_of(rest) == exchange.code


@pytest.mark.parametrize("exchange", REFUSED, ids=lambda each: each.name)
def test_what_the_rfc_forbids_closes_with_its_code(server: WebServer, exchange: Exchange) -> None:
    with connect(server) as client:
        client.socket.sendall(exchange.sent)
        data = client.read_to_end()

    assert data.startswith(exchange.answer)
    assert code_of(data) == exchange.code


def test_a_client_that_sends_byte_by_byte_is_understood(server: WebServer) -> None:
    sent = client_frame(GREETING) + client_frame(b"\xfe" * 130, BINARY) + client_frame(b"ping", PING)
    messages, pong = answer(GREETING) + answer(b"\xfe" * 130, BINARY), answer(b"ping", PONG)

    with connect(server) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sent:
            client.socket.sendall(bytes([byte]))
        found = read_exactly(client, len(messages + pong))
        client.socket.sendall(BYE)
        rest = client.read_to_end()

    assert pong in found
    assert found.replace(pong, b"") == messages  # A pong may overtake them.
    assert code_of(rest) == 1000


def read_exactly(client: RawClient, count: int) -> bytes:
    """Return the next `count` bytes, or fewer when the peer ends."""
    parts = [client.rest]
    left, client.rest = count - len(client.rest), b""
    while left > 0 and (data := client.socket.recv(min(left, 1 << 16))):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def code_of(data: bytes) -> int | None:
    """Return the code of the close frame that the bytes are, and nothing else."""
    assert data[:1] == b"\x88", data[:40]
    assert data[1] == len(data) - 2, data[:40]
    return int.from_bytes(data[2:4], "big") if len(data) > 2 else None


def index(**outcomes: str) -> dict[str, dict[str, str]]:
    """Return cases as the suite's index has them: `index(c1_2="OK/UNCLEAN")`."""
    pairs = {name[1:].replace("_", "."): outcome.split("/") for name, outcome in outcomes.items()}
    return {number: {"behavior": behavior, "behaviorClose": close} for number, (behavior, close) in pairs.items()}


def test_a_case_that_failed_or_ended_unclean_is_not_conformant() -> None:
    fine = index(
        c1_1="OK/OK", c1_2="NON-STRICT/OK", c7_1="INFORMATIONAL/INFORMATIONAL", c13_1="UNIMPLEMENTED/OK"
    )  # fmt: skip
    assert Outcome.of("x", fine) == Outcome("x", 4, (), (), ("1.2",), ("7.1",), ("13.1",))
    assert Outcome.of("x", fine).is_conformant

    for outcome in ("FAILED/OK", "OK/FAILED", "UNIMPLEMENTED/FAILED", "OK/WRONG CODE", "unknown/OK", "OK/unknown"):
        assert Outcome.of("x", index(c2="OK/OK", c10_1=outcome, c9_1=outcome)).failed == ("9.1", "10.1")
    for outcome in ("OK/UNCLEAN", "NON-STRICT/FAILED BY CLIENT"):
        assert Outcome.of("x", index(c3=outcome)).unclean == ("3",)
        assert not Outcome.of("x", index(c3=outcome)).is_conformant


def test_a_run_without_a_case_is_not_conformant(tmp_path: Path) -> None:
    assert not read_outcome(tmp_path, "x").is_conformant

    (tmp_path / "index.json").write_text(json.dumps({"x": index(c1="OK/OK")}))

    assert read_outcome(tmp_path, "x").is_conformant
    assert not read_outcome(tmp_path, "y").is_conformant


def test_the_table_names_the_cases_that_are_not_plainly_right() -> None:
    found = table([Outcome.of("one", index(c1="OK/OK")), Outcome.of("two", index(c1="FAILED/OK", c2="NON-STRICT/OK"))])

    assert [line.split() for line in found.splitlines()] == [
        ["cases", "failed", "unclean", "non-strict", "informational", "unimplemented"],
        ["one", "1", "0", "0", "0", "0", "0"],
        ["two", "2", "1", "0", "1", "0", "0"],
        ["two,", "failed:", "1"],
        ["two,", "non-strict:", "2"],
    ]
