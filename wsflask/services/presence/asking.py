"""What clients ask of presence, checked: names, metadata, limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ...encoding import dumps
from ...errors import Refusal

__all__ = ["Limits", "parse_join", "parse_list", "parse_room", "parse_update", "text_of"]

_ROOM = re.compile(r"[A-Za-z0-9_.:/@-]{0,128}\Z")
_TAB = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large what is shown may be, in bytes of JSON."""

    meta_bytes: int


def parse_room(data: Any) -> str:
    """Return the room in a request's data.

    Raises:
        Refusal: bad_data.
    """
    room = data.get("room") if isinstance(data, dict) else None
    if not isinstance(room, str) or _ROOM.match(room) is None:
        raise Refusal("bad_data")
    return room


def parse_join(data: Any, limits: Limits) -> tuple[str, str, str]:
    """Return the room, the tab and its metadata as JSON.

    Raises:
        Refusal: bad_data or too_big.
    """
    room, tab = parse_room(data), data.get("tab")
    if not isinstance(tab, str) or _TAB.match(tab) is None:
        raise Refusal("bad_data")
    return room, tab, text_of(data.get("meta", {}), limits)


def parse_update(data: Any, limits: Limits) -> tuple[str, str]:
    """Return the room and the metadata as JSON.

    Raises:
        Refusal: bad_data or too_big.
    """
    return parse_room(data), text_of(data.get("meta"), limits)


def parse_list(data: Any) -> tuple[str, str | None]:
    """Return the room, and the user behind whom a page begins.

    Raises:
        Refusal: bad_data.
    """
    room, after = parse_room(data), data.get("after")
    if after is not None and not isinstance(after, str):
        raise Refusal("bad_data")
    return room, after


def text_of(value: Any, limits: Limits) -> str:
    """Return an object as JSON.

    Raises:
        Refusal: bad_data: it is no object; too_big.
    """
    if not isinstance(value, dict):
        raise Refusal("bad_data")
    text = dumps(value)
    if len(text) > limits.meta_bytes:
        raise Refusal("too_big")
    return text.decode()
