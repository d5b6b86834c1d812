"""Whether the package's readers and the slow ones agree; asked by the tests and by the fuzzer in scripts/."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from wsflask.errors import Refusal
from wsflask.protocol.frames import BINARY, CLOSE, FAIL, Event, FrameReader, close_frame, frame
from wsflask.protocol.requests import Limits, Request, parse

from . import frames, messages

__all__ = ["check_frames", "check_message", "check_round_trip", "held_by"]

#: A frame's longest header, and a whole control frame.
_HEADER, _CONTROL = 14, 131


def check_frames(stream: bytes, limit: int, cuts: Iterable[int], *, is_compressed: bool = False) -> list[Event]:
    """Feed the bytes in the pieces that `cuts` makes; after each, both readers have to tell the same.

    Returns:
        All events.
    """
    whole = FrameReader(limit, is_compressed=is_compressed).feed(stream)
    reader, events = FrameReader(limit, is_compressed=is_compressed), list[Event]()
    for start, end in itertools.pairwise([0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]):
        events += reader.feed(stream[start:end])
        expected = frames.read(stream[:end], limit, is_compressed=is_compressed)
        assert [_fact(event) for event in events] == expected.events, f"{events} != {expected.events}"
        assert reader.is_midway == expected.is_midway, f"is_midway is {reader.is_midway} after {stream[:end]!r}"
        assert held_by(reader) <= limit + _HEADER + _CONTROL, f"{held_by(reader)} bytes held"
    assert events == whole, f"in pieces {events}, in one {whole}"
    if events and events[-1].kind in (CLOSE, FAIL):
        assert reader.feed(b"\x81\x80abcd") == [], "something was read after the end"
        assert held_by(reader) <= limit, "an ended reader holds bytes"
    return events


def _fact(event: Event) -> tuple[int, str | bytes, int]:
    return event.kind, "" if event.kind == FAIL else event.data, event.code


def held_by(reader: FrameReader) -> int:
    """Return the bytes of messages and frames that the reader holds, wherever it keeps them."""
    slots = [name for one in type(reader).__mro__ for name in getattr(one, "__slots__", ())]
    return sum(_size(getattr(reader, name)) for name in slots)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 0


def check_round_trip(payload: bytes, opcode: int, mask: bytes, code: int) -> None:
    """Have the reader take what the package's own encoder made, masked as a client does."""
    sent = frame(payload, opcode)
    start = len(sent) - len(payload)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    (event,) = check_frames(bytes((sent[0], sent[1] | 0x80)) + sent[2:start] + mask + masked, len(payload), ())
    if opcode == BINARY:
        assert event == Event(BINARY, payload)
    reason = payload.decode(errors="replace")
    closing = close_frame(code, reason)
    assert 2 <= len(closing) == closing[1] + 2 <= 127
    assert int.from_bytes(closing[2:4], "big") == code, f"{closing!r} does not say {code}"
    assert reason.startswith(closing[4:].decode())


def check_message(text: str, limits: Limits) -> None:
    """Parse a client's text: both readers have to make the same request of it, or refuse it for one of its faults."""
    expected = messages.read(text, limits)
    found = _parse(text, limits)
    if isinstance(found, Refusal):
        assert found.code in expected.faults, f"{found.code} is none of {expected.faults}"
        assert found.request_id == (expected.id if found.code == "bad_envelope" else None)
    else:
        assert not expected.faults, f"taken despite {expected.faults}"
        assert (found.channel, found.id) == (expected.channel, expected.id)
        assert repr(found.payload) == repr(expected.payload)  # So that 1, 1.0 and true differ.


def _parse(text: str, limits: Limits) -> Request | Refusal:
    try:
        return parse(text, limits)
    except Refusal as refusal:
        return refusal
