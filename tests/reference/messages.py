"""RFC 8259 and the envelope of docs/protocol.md, read slowly: a client's text, and everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wsflask.protocol.requests import Limits

__all__ = ["Reading", "read"]

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_FIRST, _REST = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789_.-"


@dataclass
class Reading:
    """A request, or why it is none."""

    #: Codes that the refusal may have: which of several faults is told is the reader's choice. Empty: a request.
    faults: set[str] = field(default_factory=set)
    channel: str = ""
    payload: Any = None
    id: str | None = None


class _NotJson(Exception):
    pass


class _TooDeep(Exception):
    pass


def read(text: str, limits: Limits) -> Reading:
    """Return what a client's text asks for."""
    parser = _Parser(text, limits)
    try:
        value = parser.document()
    except _TooDeep:
        return Reading({"too_deep"})
    except _NotJson:
        # Brackets are counted to the end of the text, and keys before their object is whole.
        may_be_deep = text.count("[") + text.count("{") > limits.depth
        may_be_big = text.count(":") > limits.keys
        return Reading({"bad_json"} | ({"too_deep"} if may_be_deep else set()) | ({"too_big"} if may_be_big else set()))
    if parser.keys > limits.keys:
        parser.faults.add("too_big")
    return Reading(parser.faults) if parser.faults else _envelope(value)


def _envelope(value: Any) -> Reading:
    bad = Reading({"bad_envelope"})
    if not isinstance(value, dict):
        return bad
    identity = value.get("id")
    if identity is not None and (not isinstance(identity, str) or not 1 <= len(identity.encode()) <= 64):
        return bad
    bad.id = identity
    channel = value.get("channel")
    if not isinstance(channel, str) or not 1 <= len(channel) <= 64 or channel[0] not in _FIRST:
        return bad
    if any(character not in _REST for character in channel) or "payload" not in value:
        return bad
    if any(key not in ("channel", "payload", "id") for key in value):
        return bad
    return Reading(set(), channel, value["payload"], identity)


class _Parser:
    """Section 2 to 7, a method for each rule of the grammar."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.faults: set[str] = set()
        self.keys = 0
        self._text = text
        self._limits = limits
        self._at = 0
        self._level = 0

    def document(self) -> Any:
        self._space()
        value = self._value()
        self._space()
        if self._at < len(self._text):
            raise _NotJson
        return value

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _takes(self, token: str) -> bool:
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def _must_take(self, token: str) -> None:
        if not self._takes(token):
            raise _NotJson

    def _space(self) -> None:
        while self._peek() and self._peek() in " \t\n\r":
            self._at += 1

    def _value(self) -> Any:
        for token, value in (("true", True), ("false", False), ("null", None)):
            if self._takes(token):
                return value
        if self._peek() == '"':
            return self._string()
        if self._peek() and self._peek() in "[{":
            self._level += 1
            if self._level > self._limits.depth:
                raise _TooDeep
            container = self._array() if self._peek() == "[" else self._object()
            self._level -= 1
            return container
        return self._number()

    def _array(self) -> list[Any]:
        self._must_take("[")
        self._space()
        items: list[Any] = []
        if self._takes("]"):
            return items
        while True:
            self._space()
            items.append(self._value())
            self._space()
            if self._takes("]"):
                return items
            self._must_take(",")

    def _object(self) -> dict[str, Any]:
        self._must_take("{")
        self._space()
        members: dict[str, Any] = {}
        if self._takes("}"):
            return members
        while True:
            self._space()
            key = self._string()
            self._space()
            self._must_take(":")
            self._space()
            self.keys += 1
            if key in members:
                self.faults.add("bad_json")
            members[key] = self._value()
            self._space()
            if self._takes("}"):
                return members
            self._must_take(",")

    def _string(self) -> str:
        self._must_take('"')
        units: list[int] = []
        while not self._takes('"'):
            character = self._peek()
            if not character or ord(character) < 0x20:
                raise _NotJson
            self._at += 1
            if character != "\\":
                units += _utf_16(character)
            elif self._takes("u"):
                units.append(self._four_digits())
            else:
                escape = self._peek()
                if escape not in _ESCAPES:
                    raise _NotJson
                self._at += 1
                units.append(ord(_ESCAPES[escape]))
        return self._checked(units)

    def _four_digits(self) -> int:
        digits = self._text[self._at : self._at + 4]
        if len(digits) < 4 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise _NotJson
        self._at += 4
        return int(digits, 16)

    def _checked(self, units: list[int]) -> str:
        encoded = b"".join(unit.to_bytes(2, "little") for unit in units)
        try:
            value = encoded.decode("utf-16-le")
        except UnicodeDecodeError:
            self.faults.add("bad_json")
            value = encoded.decode("utf-16-le", "surrogatepass")
        if len(value.encode("utf-8", "surrogatepass")) > self._limits.string:
            self.faults.add("too_big")
        return value

    def _digits(self) -> str:
        start = self._at
        while self._peek() and self._peek() in "0123456789":
            self._at += 1
        if self._at == start:
            raise _NotJson
        return self._text[start : self._at]

    def _number(self) -> int | float:
        start, is_integer = self._at, True
        self._takes("-")
        whole = self._digits()
        if len(whole) > 1 and whole[0] == "0":
            raise _NotJson
        if self._takes("."):
            is_integer = False
            self._digits()
        if self._takes("e") or self._takes("E"):
            is_integer = False
            if not self._takes("+"):
                self._takes("-")
            self._digits()
        written = self._text[start : self._at]
        if is_integer:
            if len(whole) > 19 or not -(2**63) <= int(written) < 2**63:
                self.faults.add("bad_json")
                return 0
            return int(written)
        value = float(written)
        if value in (float("inf"), float("-inf")):
            self.faults.add("bad_json")
        return value


def _utf_16(character: str) -> list[int]:
    encoded = character.encode("utf-16-le")
    return [int.from_bytes(encoded[at : at + 2], "little") for at in range(0, len(encoded), 2)]
