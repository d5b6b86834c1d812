"""What waits for one slow client: whole frames, bounded, joined when they leave."""

from __future__ import annotations

from collections import deque
from itertools import islice

__all__ = ["Outbox"]

#: Bytes handed to the kernel at once; many small frames leave as one write.
_CHUNK = 128 * 1024


class Outbox:
    """Frames in order; the first may have left in part. Allocated only while something waits."""

    __slots__ = ("_frames", "_leaving", "_sent", "size")

    def __init__(self) -> None:
        #: Each with the monotonic time at which it came.
        self._frames: deque[tuple[bytes, float]] = deque()
        self._sent = 0
        self._leaving = 0
        #: Bytes that wait.
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    @property
    def oldest(self) -> float:
        """Monotonic time since when the first of the frames has waited; only while one does."""
        return self._frames[0][1]

    def add(self, frame: bytes, sent: int, now: float) -> None:
        """Append a frame of which `sent` bytes have left already (only possible when nothing waits)."""
        if not self._frames:
            self._sent = sent
        self._frames.append((frame, now))
        self.size += len(frame) - sent

    def chunk(self) -> bytes:
        """Return the next bytes to write, from several frames where they are small; `left` has to follow."""
        first = self._frames[0][0]
        taken = first[self._sent :] if self._sent else first
        if len(self._frames) > 1 and len(taken) < _CHUNK:
            parts = [taken]
            size = len(taken)
            for frame, _ in islice(self._frames, 1, 64):
                parts.append(frame)
                size += len(frame)
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
        while self._frames and count >= len(self._frames[0][0]):
            count -= len(self._frames.popleft()[0])
        self._sent = count

    def cut(self) -> bool:
        """Drop every frame that has not begun to leave: what the peer gets ends at a frame's border.

        Returns whether there were any.

        A chunk that is being written by another thread right now counts as leaving.
        """
        begun = self._sent + self._leaving
        kept: deque[tuple[bytes, float]] = deque()
        size = 0
        while self._frames and size < begun:
            kept.append(self._frames.popleft())
            size += len(kept[-1][0])
        dropped, self._frames = bool(self._frames), kept
        self.size = size - self._sent
        return dropped
