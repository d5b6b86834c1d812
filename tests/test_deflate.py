"""permessage-deflate without contexts: RFC 7692."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.raw import BINARY, PING, TEXT, client_frame
from wsflask.protocol.deflate import TooBig, deflate, inflate, negotiate
from wsflask.protocol.frames import COMPRESSED, FAIL, Event, FrameReader
from wsflask.protocol.messages import PLAIN, V1, Message, compressed

AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
RSV1 = 0x40


@pytest.mark.parametrize(
    "offered",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=10",
        'permessage-deflate; client_max_window_bits="15"; server_max_window_bits=15',
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
        "permessage-deflate; server_max_window_bits=10, permessage-deflate",
    ],
)
def test_an_offer_is_accepted_without_contexts(offered: str) -> None:
    assert negotiate(offered) == AGREED


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; unknown",
        "permessage-deflate;",
        "permessage-bzip2",
    ],
)
def test_what_cannot_be_kept_is_declined(offered: str) -> None:
    assert negotiate(offered) is None


def test_an_example_of_the_rfc_is_read() -> None:
    """Section 7.2.3.1."""
    assert inflate(bytes.fromhex("f248cdc9c90700"), 100) == b"Hello"


@given(st.binary(max_size=5000))
def test_what_is_deflated_inflates(data: bytes) -> None:
    assert inflate(deflate(data), 5000) == data


def test_the_limit_holds_for_what_comes_out() -> None:
    assert inflate(deflate(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(TooBig):
        inflate(deflate(b"x" * 101), 100)


def test_a_bomb_is_not_held() -> None:
    bomb = deflate(bytes(100_000_000))
    tracemalloc.start()

    with pytest.raises(TooBig):
        inflate(bomb, 65536)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_garbage_is_an_error() -> None:
    with pytest.raises(zlib.error):
        inflate(b"\xff\xff\xff\xff", 100)


# --- in frames


def feed(reader: FrameReader, *frames: bytes) -> list[Event]:
    return [event for frame in frames for event in reader.feed(frame)]


def test_compressed_and_plain_messages_are_read_by_turns() -> None:
    reader = FrameReader(1000, is_compressed=True)

    events = feed(
        reader,
        client_frame(deflate("grün".encode()), TEXT, rsv=RSV1),
        client_frame(b"plain"),
        client_frame(deflate(b"bytes"), BINARY, rsv=RSV1),
    )

    assert events == [Event(TEXT, "grün"), Event(TEXT, "plain"), Event(BINARY, b"bytes")]


def test_a_compressed_message_in_fragments_is_read() -> None:
    reader = FrameReader(1000, is_compressed=True)
    payload = deflate(b"fragment" * 10)

    events = feed(
        reader,
        client_frame(payload[:3], TEXT, final=False, rsv=RSV1),
        client_frame(b"", PING),
        client_frame(payload[3:], 0),
    )

    assert events == [Event(PING, b""), Event(TEXT, "fragment" * 10)]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([client_frame(deflate(b"x" * 1001), rsv=RSV1)], 1009),
        ([client_frame(deflate(b"x" * 999)[:4], final=False, rsv=RSV1), client_frame(bytes(1000), 0)], 1009),
        ([client_frame(b"\xff\xff\xff\xff", rsv=RSV1)], 1007),
        ([client_frame(deflate(b"\xff\xfe"), rsv=RSV1)], 1007),
        ([client_frame(b"", PING, rsv=RSV1)], 1002),
        ([client_frame(b"a", final=False), client_frame(b"b", 0, rsv=RSV1)], 1002),
        ([client_frame(b"a", rsv=0x20)], 1002),
        ([client_frame(b"a", rsv=0x60)], 1002),
    ],
    ids=["too big", "too big in fragments", "garbage", "not UTF-8", "control", "continuation", "RSV2", "RSV1 and 2"],
)
def test_what_breaks_the_rules_fails(frames: list[bytes], code: int) -> None:
    events = feed(FrameReader(1000, is_compressed=True), *frames)

    assert [(event.kind, event.code) for event in events] == [(FAIL, code)]


def test_a_compressed_frame_that_was_not_agreed_on_fails() -> None:
    (event,) = FrameReader(1000).feed(client_frame(deflate(b"x"), rsv=RSV1))

    assert (event.kind, event.code) == (FAIL, 1002)


# --- in messages


@pytest.mark.parametrize("form", [PLAIN, V1])
def test_a_message_is_compressed_once_for_all(form: str) -> None:
    message = Message("echo", "x" * 1000, seq="1")

    frame = message.frame(compressed(form))

    assert frame is message.frame(compressed(form))
    assert len(frame) < 100
    assert frame[0] == 0x80 | COMPRESSED | TEXT
    assert inflate(frame[2:], 2000) == message.text(form)


def test_a_short_message_is_the_same_frame_as_without() -> None:
    message = Message("echo", "x")

    assert message.frame(compressed(V1)) is message.frame(V1)


def test_a_message_that_does_not_shrink_is_sent_as_it_is() -> None:
    import random

    message = Message("echo", "".join(random.choices([chr(code) for code in range(0x4E00, 0x9FA5)], k=300)))

    assert len(message.frame(compressed(V1))) <= len(message.frame(V1))
