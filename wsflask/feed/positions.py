"""A place in the order of all changes, as text that every worker writes alike.

Twenty decimal digits are the cluster time. Where one collection has several changes of one cluster time (a transaction)
the first bears the digits alone, each further one its number behind a dot. Positions compare as strings.
"""

from __future__ import annotations

import re

from bson import Timestamp

__all__ = [
    "is_position",
    "moment_after",
    "moment_before",
    "moment_between",
    "moment_end",
    "moment_of",
    "numbered",
    "position_in",
    "position_of",
    "timestamp_of",
]

_DIGITS = 20
#: The last position that a cluster time can have.
_LAST = f"{2**64 - 1:020d}"
#: From here on the number has nine digits, of which the first is a 9, so that it still sorts.
_MANY = 9000
#: The last number that a position can have.
_LAST_NUMBER = 999_999_999
_FORM = re.compile(r"[0-9]{20}(?:\.(?:[0-8][0-9]{3}|9[0-9]{8}))?", re.ASCII)


def position_of(time: Timestamp) -> str:
    """Return the position of a cluster time."""
    return f"{time.time << 32 | time.inc:020d}"


def timestamp_of(position: str) -> Timestamp:
    """Return the cluster time of a position."""
    number = int(position[:_DIGITS])
    return Timestamp(number >> 32, number & 0xFFFFFFFF)


def moment_of(position: str) -> str:
    """Return the position without a number: all changes of one cluster time have the same."""
    return position[:_DIGITS]


def moment_before(position: str) -> str:
    """Return the last moment before that of the position."""
    return f"{max(int(position[:_DIGITS]) - 1, 0):020d}"


def moment_after(position: str) -> str:
    """Return the first moment after that of the position."""
    return f"{int(position[:_DIGITS]) + 1:020d}"


def moment_end(position: str) -> str:
    """Return the position behind all changes of the same moment."""
    return f"{position[:_DIGITS]}.{_LAST_NUMBER}"


def moment_between(first: str, second: str) -> str:
    """Return the moment in the middle of two positions."""
    return f"{(int(first[:_DIGITS]) + int(second[:_DIGITS])) // 2:020d}"


def is_position(text: object) -> bool:
    """Return whether a text that came from outside has the form of a position."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None and text[:_DIGITS] <= _LAST


def position_in(token: str) -> str:
    """Return the position of a resume token (its `_data`, in which the cluster time stands first)."""
    return f"{int(token[2:18], 16):020d}"


def numbered(moment: str, number: int) -> str:
    """Return the position of a collection's change number `number`, counted from 0, of this moment."""
    if not number:
        return moment
    return f"{moment}.{number:04d}" if number < _MANY else f"{moment}.9{number:08d}"
