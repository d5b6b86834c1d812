"""What happens to the entries in Redis, read from the log there; a hole in it is never silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from ...feed.redis_frames import Forged
from ...outage import log_outage
from .redis_calls import Calls, Head
from .redis_frames import Frames, key_in
from .store import Entry, Left, Missed, StoreUnavailable

__all__ = ["RedisFollower"]

_log = logging.getLogger(__name__)

#: Longest wait of one read, in seconds: less than Redis may be silent, and about the delay of an end.
_AWAIT = 0.5
#: Seconds between two looks at whether the log is still the one that was read.
_LOOK = 1.0
#: Seconds between two attempts while Redis is away, and between two tellings that something was missed.
_RETRY = 1.0


class RedisFollower:
    """The log, from its end on.

    Args:
        reach: opens what is asked of Redis; raises StoreUnavailable for all that goes wrong with that.
    """

    def __init__(self, reach: Callable[[], AbstractContextManager[tuple[Calls, Frames]]]) -> None:
        #: Whether more waits to be taken.
        self.is_behind = False
        self._reach = reach
        #: Behind what is read next; None: something was missed.
        self._place: Head | None = None
        self._looked = self._missed = float("-inf")
        self._closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._closed.is_set()

    def begin(self) -> bool:
        """Find the place to begin at; return whether Redis was there: else `Missed` is taken first. May switch."""
        try:
            with self._reach() as (calls, _):
                self._place, self._looked = calls.head(), time.monotonic()
        except StoreUnavailable as error:
            self._complain(error)
        return self._place is not None

    def take(self, most: int, timeout: float) -> list[Entry | Left | Missed]:
        """Return what comes next. May switch."""
        self.is_behind = False
        try:
            with self._reach() as (calls, frames):
                place = self._place
                if place is None or time.monotonic() - self._looked >= _LOOK:
                    head = calls.head()
                    self._looked = time.monotonic()
                    if place is None or not head.follows(place):
                        return self._go_on_at(head)
                found = calls.read(place, most, min(timeout, _AWAIT))
                self.is_behind = len(found) >= most
                return self._told(place, found, frames)
        except StoreUnavailable as error:
            self._looked = float("-inf")
            self._complain(error)
            self._closed.wait(_RETRY)
            return []

    def close(self) -> None:
        """End it, also a take that waits."""
        self._closed.set()

    def _go_on_at(self, head: Head) -> list[Entry | Left | Missed]:
        self._place = head
        self._closed.wait(max(0.0, self._missed + _RETRY - time.monotonic()))
        self._missed = time.monotonic()
        return [Missed()]

    def _told(
        self, place: Head, found: list[tuple[int, int, dict[bytes, bytes]]], frames: Frames
    ) -> list[Entry | Left | Missed]:
        told: list[Entry | Left | Missed] = []
        for born, count, fields in found:
            if (born, count) != (place.born, place.count + 1):  # trimmed away, or begun anew
                self._place = None
                return told
            self._place = place = replace(place, count=count)
            item = _item(fields, frames)
            if item is not None:
                told.append(item)
        return told

    def _complain(self, error: StoreUnavailable) -> None:
        log_outage(_log, "Redis does not tell who is here; that is tried again: %s", error)


def _item(fields: dict[bytes, bytes], frames: Frames) -> Entry | Left | None:
    """Return what the log tells; None: nothing, or none of our workers has written it."""
    name, kept = fields.get(b"i", b"").decode(errors="replace"), fields.get(b"b")
    if kept is None:
        key = key_in(name)
        return Left(key) if key is not None else None
    try:
        return frames.unpack(name, kept)
    except Forged as error:
        log_outage(_log, "Redis tells of an entry of presence that none of our workers has written: %s", error)
        return None
