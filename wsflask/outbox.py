"""What waits for one slow client: whole frames, bounded, joined when they leave."""

from __future__ import annotations

from collections import deque

__all__ = ["Outbox"]

#: Bytes handed to the kernel at once; many small frames leave as one write.
_CHUNK = 128 * 1024


class Outbox:
    """Frames in order; the first may have left in part. Allocated only while something waits."""

    __slots__ = ("_frames", "_sent", "oldest", "size")

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._sent = 0
        #: Bytes that wait.
        self.size = 0
        #: Monotonic time since when the outbox has not been empty, or has not moved.
        self.oldest = 0.0

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, frame: bytes, sent: int, now: float) -> None:
        """Append a frame of which `sent` bytes have left already (only possible when nothing waits)."""
        if not self._frames:
            self._sent = sent
            self.oldest = now
        self._frames.append(frame)
        self.size += len(frame) - sent

    def chunk(self) -> bytes:
        """Return the next bytes to write, from several frames where they are small."""
        first = self._frames[0]
        if len(self._frames) == 1 or len(first) - self._sent >= _CHUNK:
            return first[self._sent :] if self._sent else first
        parts = [first[self._sent :]]
        size = len(parts[0])
        for frame in list(self._frames)[1:] if len(self._frames) < 64 else _head(self._frames):
            parts.append(frame)
            size += len(frame)
            if size >= _CHUNK:
                break
        return b"".join(parts)

    def left(self, count: int, now: float) -> None:
        """Note that `count` bytes have left."""
        self.size -= count
        if count:
            self.oldest = now
        count += self._sent
        while self._frames and count >= len(self._frames[0]):
            count -= len(self._frames.popleft())
        self._sent = count

    def cut(self) -> None:
        """Drop every frame that has not begun to leave: what the peer gets ends at a frame's border."""
        first = self._frames[0] if self._sent else None
        self._frames.clear()
        self.size = 0
        if first is not None:
            self._frames.append(first)
            self.size = len(first) - self._sent


def _head(frames: deque[bytes]) -> list[bytes]:
    return [frames[index] for index in range(1, 64)]
