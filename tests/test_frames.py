"""The reader and encoder of RFC 6455 frames."""

from __future__ import annotations

import itertools
import sys
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.raw import client_close, client_frame, server_frames
from tests.reference.agreement import check_frames, check_round_trip, held_by
from wsflask.protocol import frames
from wsflask.protocol.deflate import deflate
from wsflask.protocol.frames import BINARY, CLOSE, FAIL, PING, PONG, TEXT, Event, FrameReader

LIMIT = 1000
CONTINUATION = frames.CONTINUATION


def read(data: bytes, limit: int = LIMIT) -> list[Event]:
    return FrameReader(limit).feed(data)


def failure_of(data: bytes, limit: int = LIMIT) -> int:
    """Return the code the bytes fail with."""
    last = read(data, limit)[-1]
    assert last.kind == FAIL
    return last.code


CONVERSATION = b"".join(
    [
        client_frame(b"Hello"),
        client_frame("Grüße, 世界 🎉".encode()),
        client_frame(b"x" * 200),
        client_frame(b"Hel", final=False),
        client_frame(b"are you there", PING),
        client_frame("lö".encode()[:2], CONTINUATION, final=False),
        client_frame("lö".encode()[2:], CONTINUATION),
        client_frame(b"", PONG),
        client_frame(b""),
        client_frame(b"\0\xff", BINARY),
        client_close(1001, "tschüß".encode()),
    ]
)
EVENTS = [
    Event(TEXT, "Hello"),
    Event(TEXT, "Grüße, 世界 🎉"),
    Event(TEXT, "x" * 200),
    Event(PING, b"are you there"),
    Event(TEXT, "Hellö"),
    Event(PONG, b""),
    Event(TEXT, ""),
    Event(BINARY, b"\0\xff"),
    Event(CLOSE, "tschüß", 1001),
]


def test_a_conversation_is_read_frame_by_frame() -> None:
    assert read(CONVERSATION) == EVENTS


def test_every_split_in_two_gives_the_same_events() -> None:
    for split in range(len(CONVERSATION) + 1):
        reader = FrameReader(LIMIT)

        events = reader.feed(CONVERSATION[:split]) + reader.feed(CONVERSATION[split:])

        assert events == EVENTS, f"split at {split}"


def test_byte_by_byte_gives_the_same_events() -> None:
    reader = FrameReader(LIMIT)

    events = [event for byte in CONVERSATION for event in reader.feed(bytes([byte]))]

    assert events == EVENTS


@given(cuts=st.lists(st.integers(0, len(CONVERSATION)), max_size=20))
def test_any_cuts_give_the_same_events(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(CONVERSATION)]
    reader = FrameReader(LIMIT)

    events = [
        event
        for start, end in itertools.pairwise(borders)
        for event in reader.feed(CONVERSATION[start:end])
    ]

    assert events == EVENTS


@pytest.mark.parametrize("length", [0, 1, 124, 125, 126, 127, 65535, 65536, 70000])
def test_lengths_at_the_borders_of_the_three_encodings_survive_both_ways(length: int) -> None:
    payload = b"x" * length

    assert read(client_frame(payload), limit=70000) == [Event(TEXT, payload.decode())]
    assert server_frames(frames.frame(payload)) == ([(TEXT, payload)], b"")


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 7, 8, 9])
def test_every_mask_is_taken_off_whatever_the_length(mask: bytes, length: int) -> None:
    payload = bytes(range(length))

    assert read(client_frame(payload, BINARY, mask=mask)) == [Event(BINARY, payload)]


@given(payload=st.binary(max_size=300), mask=st.binary(min_size=4, max_size=4), opcode=st.sampled_from([BINARY, PING]))
def test_what_a_client_masks_comes_out_as_it_was(payload: bytes, mask: bytes, opcode: int) -> None:
    payload = payload[:125] if opcode == PING else payload

    assert read(client_frame(payload, opcode, mask=mask)) == [Event(opcode, payload)]


@given(text=st.text(max_size=300), cuts=st.lists(st.integers(0, 900), max_size=5))
def test_a_text_in_fragments_cut_anywhere_is_the_text(text: str, cuts: list[int]) -> None:
    data = text.encode()
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(borders)]

    sent = b"".join(
        client_frame(part, CONTINUATION if index else TEXT, final=index == len(parts) - 1)
        for index, part in enumerate(parts)
    )

    assert read(sent, limit=5000) == [Event(TEXT, text)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(client_frame(b"x", mask=None), id="no mask"),
        pytest.param(client_frame(b"x", rsv=0x40), id="RSV1 without an extension"),
        pytest.param(client_frame(b"x", rsv=0x20), id="RSV2"),
        pytest.param(client_frame(b"x", rsv=0x10), id="RSV3"),
        *(pytest.param(client_frame(b"x", op), id=f"opcode {op}") for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        pytest.param(client_frame(b"x" * 126, PING), id="a ping of 126 bytes"),
        pytest.param(client_frame(b"x", PING, final=False), id="a ping in fragments"),
        pytest.param(client_frame(b"\x03\xe8", CLOSE, final=False), id="a close in fragments"),
        pytest.param(client_frame(b"x", CONTINUATION), id="a continuation of nothing"),
        pytest.param(client_frame(b"x", final=False) + client_frame(b"y"), id="a text within fragments"),
        pytest.param(client_frame(b"x", final=False) + client_frame(b"y", BINARY), id="a binary within fragments"),
        pytest.param(client_frame(b"\x03", CLOSE), id="a close code of one byte"),
        pytest.param(b"\x81\xfe\x00\x7d", id="125 bytes announced in two"),
        pytest.param(b"\x82\xff" + (65535).to_bytes(8, "big"), id="65,535 bytes announced in eight"),
    ],
)
def test_a_broken_frame_fails_with_1002(data: bytes) -> None:
    assert failure_of(data) == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4508, 4999])
def test_a_close_code_that_may_travel_is_taken(code: int) -> None:
    assert read(client_close(code, b"bye")) == [Event(CLOSE, "bye", code)]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_a_close_code_that_may_not_travel_fails_with_1002(code: int) -> None:
    assert failure_of(client_close(code)) == 1002


def test_a_close_without_a_code_is_1005() -> None:
    assert read(client_close()) == [Event(CLOSE, "", 1005)]


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe4\xb8", "é".encode()[:1]],
    ids=["no start byte", "overlong", "surrogate", "above U+10FFFF", "cut at the end", "half a character"],
)
def test_a_text_that_is_not_utf_8_fails_with_1007(payload: bytes) -> None:
    assert failure_of(client_frame(payload)) == 1007
    assert failure_of(client_frame(b"", final=False) + client_frame(payload, CONTINUATION)) == 1007
    assert failure_of(client_close(1000, payload)) == 1007


def test_bad_utf_8_fails_at_its_fragment_not_at_the_last() -> None:
    assert failure_of(client_frame(b"fine", final=False) + client_frame(b"\xff", CONTINUATION, final=False)) == 1007


def test_a_binary_message_is_no_utf_8() -> None:
    assert read(client_frame(b"\xff", BINARY, final=False) + client_frame(b"\xfe", CONTINUATION)) == [
        Event(BINARY, b"\xff\xfe")
    ]


def test_a_message_of_the_limit_passes_and_one_byte_more_is_1009() -> None:
    assert read(client_frame(b"x" * LIMIT)) == [Event(TEXT, "x" * LIMIT)]
    assert failure_of(client_frame(b"x" * (LIMIT + 1))) == 1009


def test_fragments_count_together() -> None:
    half = client_frame(b"x" * 600, final=False)

    assert failure_of(half + client_frame(b"x" * 401, CONTINUATION)) == 1009
    assert read(half + client_frame(b"x" * 400, CONTINUATION)) == [Event(TEXT, "x" * 1000)]


def test_the_limit_counts_bytes_not_characters() -> None:
    assert failure_of(client_frame("世".encode() * 334)) == 1009


def test_the_first_133_bytes_of_a_long_message_are_no_message_of_127() -> None:
    sent = client_frame(b"x" * 65536, mask=bytes(4))
    reader = FrameReader(70000)

    assert reader.feed(sent[:133]) == []
    assert reader.feed(sent[133:]) == [Event(TEXT, "x" * 65536)]


def test_one_message_does_not_count_for_the_next() -> None:
    fragments = client_frame(b"x" * 600, final=False) + client_frame(b"x" * 400, CONTINUATION)

    assert len(read(fragments * 3 + client_frame(b"x" * LIMIT) * 3)) == 6


def test_control_frames_do_not_count_as_message() -> None:
    sent = client_frame(b"x" * 999, final=False) + client_frame(b"y" * 125, PING) + client_frame(b"x", CONTINUATION)

    assert [event.kind for event in read(sent)] == [PING, TEXT]


@pytest.mark.parametrize("announced", [b"\x81\xff" + b"\xff" * 8, b"\x81\xff" + (1 << 62).to_bytes(8, "big")])
def test_a_huge_length_fails_at_its_header_before_anything_is_held(announced: bytes) -> None:
    assert failure_of(announced) == 1009


@pytest.mark.parametrize("last", [client_close(1000), client_frame(b"x", mask=None)], ids=["close", "failure"])
def test_nothing_is_read_after_the_end(last: bytes) -> None:
    reader = FrameReader(LIMIT)

    first = reader.feed(last + client_frame(b"more"))
    later = reader.feed(client_frame(b"much more"))

    assert [event.kind for event in first] in ([CLOSE], [FAIL])
    assert later == []
    assert not reader.is_midway


def test_what_came_before_a_failure_is_still_told() -> None:
    events = read(client_frame(b"fine") + client_frame(b"x", mask=None))

    assert events[0] == Event(TEXT, "fine")
    assert events[1].kind == FAIL


def test_the_reader_knows_whether_a_message_is_on_its_way() -> None:
    reader = FrameReader(LIMIT)
    steps = []
    for data in (b"", client_frame(b"x"), client_frame(b"x", final=False), client_frame(b"", PING)):
        reader.feed(data)
        steps.append(reader.is_midway)
    last = client_frame(b"y", CONTINUATION)
    for part in (last[:3], last[3:]):
        reader.feed(part)
        steps.append(reader.is_midway)

    assert steps == [False, False, True, True, True, False]


def test_a_large_message_in_tiny_pieces_costs_no_more_than_its_pieces() -> None:
    data = client_frame(b"x" * (1 << 21))
    reader = FrameReader(1 << 22)

    started = time.process_time()
    events = [event for at in range(0, len(data), 64) for event in reader.feed(data[at : at + 64])]
    used = time.process_time() - started

    assert len(events) == 1
    assert used < 0.5, f"{used:.2f} s for 32,768 pieces: joined again for each of them?"


@settings(max_examples=300)
@given(chunks=st.lists(st.binary(max_size=400), max_size=20))
def test_any_bytes_give_events_and_never_an_exception(chunks: list[bytes]) -> None:
    reader = FrameReader(50)

    for chunk in chunks:
        for event in reader.feed(chunk):
            assert event.kind in (TEXT, BINARY, CLOSE, PING, PONG, FAIL)
            assert (event.code > 0) == (event.kind in (CLOSE, FAIL))
            assert len(event.data) <= 125

        assert held_by(reader) <= 50 + 14 + 400


PAYLOADS = (
    st.sampled_from([0, 1, 2, 20, 124, 125, 126, 127]).map(lambda length: b"x" * length)
    | st.sampled_from("é世🎉").map(str.encode)
    | st.sampled_from([b"\xe4\xb8", b"\x96", b"\xf0\x9f", b"\xed\xa0", b"\xff"])
)
FRAMES = (
    st.builds(client_frame, PAYLOADS, st.sampled_from([TEXT, BINARY, PING]), mask=st.binary(min_size=4, max_size=4))
    | st.builds(client_frame, PAYLOADS, st.sampled_from([TEXT, BINARY, CONTINUATION]), final=st.booleans())
    | st.builds(client_close, st.sampled_from([999, 1000, 1004, 1007, 1014, 1015, 2999, 3000, 4999, 5000]), PAYLOADS)
    | st.builds(client_frame, PAYLOADS.map(deflate), st.sampled_from([TEXT, BINARY]), rsv=st.just(0x40))
    | st.builds(client_frame, PAYLOADS, st.integers(0, 15), rsv=st.sampled_from([0, 0, 0x10, 0x20, 0x40]))
    | st.binary(max_size=20)
)


@settings(max_examples=400)
@given(
    parts=st.lists(FRAMES, min_size=1, max_size=6),
    limit=st.sampled_from([1, 20, 125, 126, 300]),
    cuts=st.lists(st.integers(0, 1000), max_size=6),
    is_compressed=st.booleans(),
)
def test_after_every_piece_the_reader_tells_what_the_rfc_says(
    parts: list[bytes], limit: int, cuts: list[int], is_compressed: bool
) -> None:
    check_frames(b"".join(parts), limit, cuts, is_compressed=is_compressed)


@given(
    payload=st.binary(max_size=300),
    opcode=st.sampled_from([TEXT, BINARY]),
    mask=st.binary(min_size=4, max_size=4),
    code=st.integers(3000, 4999),
)
def test_what_the_server_frames_it_could_read(payload: bytes, opcode: int, mask: bytes, code: int) -> None:
    check_round_trip(payload, opcode, mask, code)


def test_an_idle_reader_holds_nothing() -> None:
    reader = FrameReader(LIMIT)

    reader.feed(client_frame(b"x" * 500) * 5)

    assert held_by(reader) == 0
    assert sys.getsizeof(reader) < 150


def test_endless_empty_fragments_hold_nothing() -> None:
    reader = FrameReader(LIMIT)
    reader.feed(client_frame(b"", final=False))

    for _ in range(1000):
        assert reader.feed(client_frame(b"", CONTINUATION, final=False)) == []

    assert held_by(reader) == 0


def test_a_message_in_many_small_fragments_holds_no_more_than_its_bytes() -> None:
    reader = FrameReader(1 << 16)
    part = client_frame("世".encode(), CONTINUATION, final=False)
    reader.feed(client_frame(b"", final=False))

    tracemalloc.start()
    for _ in range(20_000):
        reader.feed(part)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert held < 100_000, f"{held} bytes for a message of 60,000"


@pytest.mark.parametrize("code", [1000, 1012, 4001])
def test_a_close_frame_carries_code_and_reason(code: int) -> None:
    ((opcode, payload),), rest = server_frames(frames.close_frame(code, "restart"))

    assert (opcode, payload, rest) == (CLOSE, code.to_bytes(2, "big") + b"restart", b"")


@pytest.mark.parametrize("code", [1005, 1006])
def test_codes_that_never_travel_give_a_close_frame_without_one(code: int) -> None:
    assert frames.close_frame(code, "no") == b"\x88\x00"


def test_a_long_reason_is_cut_between_characters() -> None:
    ((_, payload),), _ = server_frames(frames.close_frame(1000, "€" * 100))

    assert payload[2:].decode() == "€" * 41
