"""RFC 6455 section 5, RFC 3629 and RFC 7692, as a server reads a client: all bytes at once, and no short cuts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

__all__ = ["FAIL", "Reading", "read"]

#: The kind of the event that ends a broken connection; its code is the close code.
FAIL = -1

_TEXT, _CLOSE = 1, 8

#: RFC 3629, section 4: the ranges that a character's bytes lie in.
_TAIL = (0x80, 0xBF)
_CHARACTERS = (
    ((0x00, 0x7F),),
    ((0xC2, 0xDF), _TAIL),
    ((0xE0, 0xE0), (0xA0, 0xBF), _TAIL),
    ((0xE1, 0xEC), _TAIL, _TAIL),
    ((0xED, 0xED), (0x80, 0x9F), _TAIL),
    ((0xEE, 0xEF), _TAIL, _TAIL),
    ((0xF0, 0xF0), (0x90, 0xBF), _TAIL, _TAIL),
    ((0xF1, 0xF3), _TAIL, _TAIL, _TAIL),
    ((0xF4, 0xF4), (0x80, 0x8F), _TAIL, _TAIL),
)


@dataclass
class Reading:
    """What the bytes so far tell."""

    #: Kind (an opcode, or FAIL), data, and the close code of CLOSE and FAIL; FAIL has no data.
    events: list[tuple[int, str | bytes, int]] = field(default_factory=list)
    #: Whether a message has begun, and its end is yet to come.
    is_midway: bool = False


class _Fail(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class _Unfinished(Exception):
    pass


def read(data: bytes, limit: int, *, is_compressed: bool = False) -> Reading:
    """Return what a server that takes messages of up to `limit` bytes makes of all that a client has sent.

    Args:
        is_compressed: whether permessage-deflate was agreed on, each message for itself.
    """
    reading = Reading()
    rest = list(data)
    message: list[int] | None = None
    kind, inflates = 0, False
    while rest:
        try:
            is_within = message is not None
            inflates_next = is_compressed and rest[0] // 64 % 2 == 1 and rest[0] % 16 in (1, 2)
            if inflates_next:
                rest = [rest[0] - 64, *rest[1:]]
            is_final, opcode, payload, rest = _frame(rest, is_within, limit - len(message or ()))
            if opcode >= _CLOSE:
                reading.events.append(_control(opcode, payload))
                if opcode == _CLOSE:
                    return reading
                continue
            if message is None:
                message, kind, inflates = [], opcode, inflates_next
            message += payload
            if inflates and is_final:
                message = _inflated(message, limit)
            if kind == _TEXT and (is_final or not inflates) and not _is_utf_8(message, is_final=is_final):
                raise _Fail(1007)
            if is_final:
                whole, message = bytes(message), None
                reading.events.append((kind, whole.decode() if kind == _TEXT else whole, 0))
        except _Unfinished:
            reading.is_midway = True
            return reading
        except _Fail as fail:
            reading.events.append((FAIL, "", fail.code))
            return reading
    reading.is_midway = message is not None
    return reading


def _frame(data: list[int], is_within: bool, room: int) -> tuple[bool, int, list[int], list[int]]:
    """Return the first frame (whether it is the last of its message, opcode, payload unmasked) and what follows it."""
    if len(data) < 2:
        raise _Unfinished
    is_final, reserved, opcode = data[0] // 128 == 1, data[0] // 16 % 8, data[0] % 16
    is_masked, length = data[1] // 128 == 1, data[1] % 128
    if reserved or not is_masked or opcode not in (0, 1, 2, 8, 9, 10):
        raise _Fail(1002)
    if opcode >= _CLOSE and (not is_final or length > 125):
        raise _Fail(1002)
    if (opcode == 0 and not is_within) or (opcode in (1, 2) and is_within):
        raise _Fail(1002)
    data = data[2:]
    if length > 125:
        size, least = (2, 126) if length == 126 else (8, 65536)
        if len(data) < size:
            raise _Unfinished
        length, data = _number(data[:size]), data[size:]
        if length < least:
            raise _Fail(1002)
    if opcode < _CLOSE and length > room:
        raise _Fail(1009)
    if len(data) < 4 + length:
        raise _Unfinished
    mask, masked = data[:4], data[4 : 4 + length]
    return is_final, opcode, [byte ^ mask[i % 4] for i, byte in enumerate(masked)], data[4 + length :]


def _inflated(payload: list[int], limit: int) -> list[int]:
    """RFC 7692, section 7.2.2."""
    try:
        message = zlib.decompressobj(wbits=-15).decompress(bytes([*payload, 0, 0, 255, 255]), limit + 1)
    except zlib.error:
        raise _Fail(1007) from None
    if len(message) > limit:
        raise _Fail(1009)
    return list(message)


def _control(opcode: int, payload: list[int]) -> tuple[int, str | bytes, int]:
    if opcode != _CLOSE:
        return opcode, bytes(payload), 0
    if not payload:
        return _CLOSE, "", 1005
    if len(payload) == 1 or not _may_travel(_number(payload[:2])):
        raise _Fail(1002)
    if not _is_utf_8(payload[2:], is_final=True):
        raise _Fail(1007)
    return _CLOSE, bytes(payload[2:]).decode(), _number(payload[:2])


def _may_travel(code: int) -> bool:
    """Section 7.4 and IANA's registry: 1004 is reserved, 1005, 1006 and 1015 are for the application alone."""
    return code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014) or 3000 <= code < 5000


def _number(digits: list[int]) -> int:
    value = 0
    for digit in digits:
        value = value * 256 + digit
    return value


def _is_utf_8(data: list[int], *, is_final: bool) -> bool:
    """Return whether this is UTF-8, or may become it when more follows."""
    at = 0
    while at < len(data):
        for ranges in _CHARACTERS:
            found = data[at : at + len(ranges)]
            if all(low <= byte <= high for byte, (low, high) in zip(found, ranges, strict=False)):
                break
        else:
            # Python's decoder says of a surrogate's first two bytes only at the third that they are wrong.
            rest = data[at:]
            return not is_final and len(rest) == 2 and rest[0] == 0xED and 0xA0 <= rest[1] <= 0xBF
        if len(found) < len(ranges):
            return not is_final
        at += len(ranges)
    return True
