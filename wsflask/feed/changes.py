"""What a feed tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bson
from bson.codec_options import CodecOptions

from ..errors import WSFlaskError
from .positions import moment_of

__all__ = ["Change", "Gap", "HistoryCut", "HistoryLost", "Late", "Touch", "cut_at"]


class Late:
    """A document that is decoded when somebody asks for it: of large ones that saves most of the work."""

    __slots__ = ("_decoded", "_options", "_raw")

    def __init__(self, raw: bytes, options: CodecOptions[dict[str, Any]]) -> None:
        self._raw = raw
        self._options = options
        self._decoded: dict[str, Any] | None = None

    @property
    def raw(self) -> bytes:
        """The document as BSON."""
        return self._raw

    @property
    def decoded(self) -> dict[str, Any]:
        """The document, the same object for all."""
        if self._decoded is None:
            self._decoded = bson.decode(self._raw, self._options)
        return self._decoded


@dataclass(frozen=True, slots=True)
class Change:
    """A document was inserted, updated or deleted.

    The document is shared by all who get the change: read it, do not alter it.
    """

    #: Position in the feed (see `positions`); sorts as a string.
    seq: str
    #: "I" insert, "U" update or replace, "D" delete.
    op: str
    collection: str
    id: Any
    #: The document, perhaps as it came: read `document`.
    image: dict[str, Any] | Late | None

    @property
    def document(self) -> dict[str, Any] | None:
        """As stored: database field names and BSON types; of a delete the last state, if that is kept, else None."""
        return self.image.decoded if isinstance(self.image, Late) else self.image

    @property
    def is_overtaken(self) -> bool:
        """Whether the document could not be looked up, as it is deleted since: that follows, and this tells nothing."""
        return self.image is None and self.op != "D"


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may be missing from here on backwards: load again what you hold. What follows is whole again."""

    seq: str
    reason: str
    #: The collection that it is about; None: every one that is watched.
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class Touch:
    """Something happened to a document; what it looks like now is not told."""

    seq: str
    #: As in a change.
    op: str
    id: Any


class HistoryLost(WSFlaskError):
    """What happened since a position can not be told, or is too much; load again what you hold."""


class HistoryCut(HistoryLost):
    """Only the beginning of what happened since a position was read: all of it is too much, or takes too long."""

    def __init__(self, reason: str, touches: list[Touch], reached: str) -> None:
        super().__init__(reason)
        #: What was read, whole up to the end of the moment `reached`.
        self.touches = touches
        self.reached = reached


def cut_at(reached: str, reason: str, touches: list[Touch], since: str) -> HistoryLost:
    """Return what to raise when the history after `since` was read to the end of the moment `reached` only."""
    if reached <= moment_of(since):
        return HistoryLost(reason)
    return HistoryCut(reason, [touch for touch in touches if moment_of(touch.seq) <= reached], reached)
