"""What waits for one slow client: whole frames, bounded, joined when they leave; of some only the newest."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import islice

from ..protocol.messages import KeyedFrame

__all__ = ["Outbox"]

#: Bytes handed to the kernel at once; many small frames leave as one write.
_CHUNK = 128 * 1024
#: Places of dropped frames that may be left between the others.
_GAPS = 16


class _Waiting:
    """A frame, and the monotonic time since when it, or what it took the place of, has waited."""

    __slots__ = ("frame", "since")

    def __init__(self, frame: bytes, since: float) -> None:
        self.frame = frame
        self.since = since


class Outbox:
    """Frames in order; the first may have left in part. Allocated only while something waits.

    A frame with a key drops the one with the same key that has not begun to leave, and goes to the end: what leaves is
    always a part of what was sent, in that order.
    """

    __slots__ = ("_frames", "_gaps", "_keys", "_leaving", "_sent", "size")

    def __init__(self) -> None:
        self._frames: deque[_Waiting] = deque()
        #: The frames that a newer one may drop, by key; None: there was no such frame.
        self._keys: dict[Hashable, _Waiting] | None = None
        #: Dropped frames that still have a place: an empty one.
        self._gaps = 0
        self._sent = 0
        self._leaving = 0
        #: Bytes that wait.
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    @property
    def oldest(self) -> float:
        """Monotonic time since when the client has lacked something; only while something waits.

        Who always gets the newest later than the next newest would lack it for ever: a frame is as old as the first of
        those that it stands for.
        """
        oldest = self._frames[0].since
        return min(oldest, *(each.since for each in self._keys.values())) if self._keys else oldest

    def add(self, frame: bytes, sent: int, now: float) -> bool:
        """Append a frame of which `sent` bytes have left already (only possible when nothing waits).

        Returns whether it has taken the place of another.
        """
        waiting, has_dropped = _Waiting(frame, now), False
        if type(frame) is not bytes and isinstance(frame, KeyedFrame):
            if self._keys is None:
                self._keys = {}
            earlier = self._keys.pop(frame.key, None)
            if earlier is not None and not self._is_leaving(earlier):
                has_dropped = True
                waiting.since = earlier.since
                self._drop(earlier)
            if not frame.is_last:
                self._keys[frame.key] = waiting
        if not self._frames:
            self._sent = sent
        self._frames.append(waiting)
        self.size += len(frame) - sent
        return has_dropped

    def _is_leaving(self, waiting: _Waiting) -> bool:
        """Return whether the frame has begun to leave, or another thread is writing it right now."""
        left = self._sent + self._leaving
        for each in self._frames:
            if left <= 0 or each is waiting:
                return left > 0
            left -= len(each.frame)
        return False

    def _drop(self, waiting: _Waiting) -> None:
        self.size -= len(waiting.frame)
        waiting.frame = b""
        self._gaps += 1
        while self._frames and not self._frames[0].frame:
            self._frames.popleft()
            self._gaps -= 1
        if self._gaps > _GAPS + len(self._frames) // 2:
            self._frames = deque(each for each in self._frames if each.frame)
            self._gaps = 0

    def chunk(self) -> bytes:
        """Return the next bytes to write, from several frames where they are small; `left` has to follow."""
        first = self._frames[0].frame
        taken = first[self._sent :] if self._sent else first
        if len(self._frames) > 1 and len(taken) < _CHUNK:
            parts = [taken]
            size = len(taken)
            for waiting in islice(self._frames, 1, 64):
                parts.append(waiting.frame)
                size += len(waiting.frame)
                if size >= _CHUNK:
                    break
            taken = b"".join(parts)
        self._leaving = len(taken)
        return taken

    def left(self, count: int) -> None:
        """Note that `count` bytes of the chunk have left."""
        self._leaving = 0
        self.size -= count
        count += self._sent
        while self._frames and count >= len(self._frames[0].frame):
            waiting = self._frames.popleft()
            count -= len(waiting.frame)
            if not waiting.frame:
                self._gaps -= 1
            elif self._keys and isinstance(waiting.frame, KeyedFrame):
                key = waiting.frame.key
                if self._keys.get(key) is waiting:
                    del self._keys[key]
        self._sent = count

    def cut(self) -> bool:
        """Drop every frame that has not begun to leave: what the peer gets ends at a frame's border.

        Returns whether there were any.

        A chunk that is being written by another thread right now counts as leaving.
        """
        begun = self._sent + self._leaving
        kept: deque[_Waiting] = deque()
        size = 0
        while self._frames and size < begun:
            kept.append(self._frames.popleft())
            size += len(kept[-1].frame)
        dropped, self._frames = bool(self._frames), kept
        self.size = size - self._sent
        self._keys, self._gaps = None, sum(not waiting.frame for waiting in kept)
        return dropped
