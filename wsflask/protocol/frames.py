"""RFC 6455 frames: bytes in, events out; the server's side, without I/O."""

from __future__ import annotations

import codecs
import struct
import zlib
from typing import Final, NamedTuple

from .codes import CloseCode
from .deflate import TooBig, inflate

__all__ = [
    "BINARY", "CLOSE", "COMPRESSED", "FAIL", "PING", "PONG", "TEXT", "Event", "FrameReader", "close_frame", "frame",
]  # fmt: skip

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
#: Not an opcode: the bit RSV1, which marks a compressed message (RFC 7692 section 6).
COMPRESSED: Final = 0x40
#: Not an opcode: the peer broke the protocol, and the connection has to close with the event's code.
FAIL: Final = -1

_DATA = (CONTINUATION, TEXT, BINARY)
_CONTROL = (CLOSE, PING, PONG)
_UINT16 = struct.Struct("!H")
_UINT64 = struct.Struct("!Q")
_HEAD8 = struct.Struct("!BB")
_HEAD16 = struct.Struct("!BBH")
_HEAD64 = struct.Struct("!BBQ")


class Event(NamedTuple):
    """One message or control frame: `data` is text for TEXT, bytes for BINARY, PING, PONG.

    For CLOSE and FAIL `code` is the close code (CLOSE without one: 1005) and `data` the reason.
    """

    kind: int
    data: str | bytes
    code: int = 0


class _Broken(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one whole unmasked frame, as a server sends it; `opcode` may have `COMPRESSED` added."""
    length = len(payload)
    if length < 126:
        return _HEAD8.pack(0x80 | opcode, length) + payload
    if length < 65536:
        return _HEAD16.pack(0x80 | opcode, 126, length) + payload
    return _HEAD64.pack(0x80 | opcode, 127, length) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; 1005 and 1006, which never travel, give one without a code."""
    if code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL):
        return frame(b"", CLOSE)
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return frame(_UINT16.pack(code) + text, CLOSE)


def _is_close_code(code: int) -> bool:
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


class FrameReader:
    """Turn the bytes of one client into events; holds at most one message and one frame's header.

    Args:
        max_message_bytes: a message beyond it, in fragments or not, inflated or not, fails with 1009 before it is held.
        is_compressed: whether permessage-deflate was agreed on, without context takeover.
    """

    __slots__ = (
        "_buffer", "_decoder", "_failed", "_fragments", "_inflates", "_is_compressed", "_limit", "_needed", "_opcode",
        "_size",
    )  # fmt: skip

    def __init__(self, max_message_bytes: int, *, is_compressed: bool = False) -> None:
        self._limit = max_message_bytes
        self._is_compressed = is_compressed
        #: Whether the message that has begun is compressed.
        self._inflates = False
        self._buffer: bytearray | None = None
        self._needed = 0
        self._opcode = 0
        self._size = 0
        self._fragments: bytearray | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._failed = False

    @property
    def is_midway(self) -> bool:
        """Whether a message has begun, and its end is yet to come."""
        return not self._failed and (self._buffer is not None or self._fragments is not None)

    def text(self, data: bytes) -> str | None:
        """Return the message if the bytes are one plain text frame and nothing else, as nearly always.

        Anything that is out of the ordinary is left to `feed`, which judges it.
        """
        if self._buffer is not None or self._fragments is not None or self._failed:
            return None
        size = len(data)
        if size < 8 or data[0] != 0x81:
            return None
        length = data[1] - 0x80
        head = 2
        if length == 126:
            length = (data[2] << 8) | data[3]
            head = 4
            if length < 126:
                return None
        elif length == 127:  # Not a length: it is in the next eight bytes.
            return None
        if size != head + 4 + length or length > self._limit:
            return None
        try:
            return _unmask(data[head + 4 :], data[head : head + 4]).decode()
        except UnicodeDecodeError:
            return None

    def feed(self, data: bytes) -> list[Event]:
        """Return what the bytes complete; after a CLOSE or FAIL event further bytes are ignored."""
        text = self.text(data)
        if text is not None:
            return [Event(TEXT, text)]
        if self._failed:
            return []
        if self._buffer is not None:
            self._buffer += data
            if len(self._buffer) < self._needed:  # Not joined and looked at again for every byte of a slow peer.
                return []
            data, self._buffer = bytes(self._buffer), None
        return self._take(data)

    def _take(self, buffer: bytes) -> list[Event]:
        events: list[Event] = []
        position = 0
        try:
            while True:
                end, event = self._parse(buffer, position)
                if end < 0:
                    self._needed = -end
                    break
                position = end
                if event is not None:
                    events.append(event)
                    if event.kind == CLOSE:
                        self._failed = True
                        break
        except _Broken as broken:
            self._failed = True
            events.append(Event(FAIL, broken.reason, broken.code))
        if not self._failed and position < len(buffer):
            self._buffer = bytearray(buffer[position:])
        return events

    def _parse(self, buffer: bytes, start: int) -> tuple[int, Event | None]:
        """Return the end of the frame at `start` and its event; an end of -n asks for n bytes from `start` on."""
        available = len(buffer) - start
        if available < 2:
            return -2, None
        first, second = buffer[start], buffer[start + 1]
        opcode = first & 0x0F
        self._check_header(first, second, opcode)
        length = second & 0x7F
        head = start + 2
        if length == 126:
            if available < 4:
                return -4, None
            (length,) = _UINT16.unpack_from(buffer, head)
            head += 2
            self._check_minimal(length, 126)
        elif length == 127:
            if available < 10:
                return -10, None
            (length,) = _UINT64.unpack_from(buffer, head)
            head += 8
            self._check_minimal(length, 65536)
        if opcode in _DATA and self._size + length > self._limit:
            raise _Broken(CloseCode.TOO_BIG, "message too big")
        if opcode in (TEXT, BINARY):
            self._inflates = bool(first & COMPRESSED)
        end = head + 4 + length
        if end > len(buffer):
            return start - end, None
        payload = _unmask(buffer[head + 4 : end], buffer[head : head + 4])
        if opcode in _CONTROL:
            return end, _control(opcode, payload)
        return end, self._data(opcode, payload, final=bool(first & 0x80))

    def _check_header(self, first: int, second: int, opcode: int) -> None:
        if first & 0x70 and not (self._is_compressed and first & 0x70 == COMPRESSED and opcode in (TEXT, BINARY)):
            raise _Broken(CloseCode.PROTOCOL_ERROR, "reserved bits")
        if not second & 0x80:
            raise _Broken(CloseCode.PROTOCOL_ERROR, "unmasked frame")
        if opcode in _CONTROL:
            if not first & 0x80 or second & 0x7F > 125:
                raise _Broken(CloseCode.PROTOCOL_ERROR, "bad control frame")
        elif opcode not in _DATA:
            raise _Broken(CloseCode.PROTOCOL_ERROR, "unknown opcode")
        elif (opcode == CONTINUATION) != (self._fragments is not None):
            raise _Broken(CloseCode.PROTOCOL_ERROR, "bad continuation")

    def _check_minimal(self, length: int, least: int) -> None:
        if length < least:
            raise _Broken(CloseCode.PROTOCOL_ERROR, "length not minimal")

    def _data(self, opcode: int, payload: bytes, *, final: bool) -> Event | None:
        try:
            if final and self._fragments is None:
                data = inflate(payload, self._limit) if self._inflates else payload
                return Event(opcode, data.decode() if opcode == TEXT else data)
            return self._fragment(opcode, payload, final=final)
        except UnicodeDecodeError:
            raise _Broken(CloseCode.INVALID_DATA, "not UTF-8") from None
        except TooBig:
            raise _Broken(CloseCode.TOO_BIG, "message too big") from None
        except zlib.error:
            raise _Broken(CloseCode.INVALID_DATA, "not deflated data") from None

    def _fragment(self, opcode: int, payload: bytes, *, final: bool) -> Event | None:
        if self._fragments is None:
            self._fragments = bytearray()  # In a list, many small ones would take 30 times the bytes.
            self._opcode = opcode
            decodes = opcode == TEXT and not self._inflates
            self._decoder = codecs.getincrementaldecoder("utf-8")() if decodes else None
        self._size += len(payload)
        self._fragments += payload
        if self._decoder is not None:
            self._decoder.decode(payload, final)  # Bad UTF-8 fails now, not at the last fragment.
        if not final:
            return None
        kind, whole = self._opcode, self._fragments
        self._fragments, self._decoder, self._size = None, None, 0
        data = inflate(whole, self._limit) if self._inflates else whole
        return Event(kind, data.decode() if kind == TEXT else bytes(data))


def _control(opcode: int, payload: bytes) -> Event:
    if opcode != CLOSE:
        return Event(opcode, payload)
    if not payload:
        return Event(CLOSE, "", CloseCode.NO_STATUS)
    if len(payload) == 1:
        raise _Broken(CloseCode.PROTOCOL_ERROR, "bad close frame")
    (code,) = _UINT16.unpack_from(payload)
    if not _is_close_code(code):
        raise _Broken(CloseCode.PROTOCOL_ERROR, "bad close code")
    try:
        return Event(CLOSE, payload[2:].decode(), code)
    except UnicodeDecodeError:
        raise _Broken(CloseCode.INVALID_DATA, "not UTF-8") from None


def _unmask(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(length)
