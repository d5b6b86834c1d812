"""What a view has sent lately, for those who come back."""

from __future__ import annotations

from collections import deque

from ..protocol.messages import Message

__all__ = ["History"]


class History:
    """Messages by position, whole from `floor` on.

    Args:
        messages: how many are kept.
        size: how many bytes of them are kept.
    """

    __slots__ = ("_entries", "_messages", "_size", "_size_limit", "floor", "last")

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._size_limit = size
        self.begin("")

    def begin(self, position: str) -> None:
        """Forget everything; what comes after `position` will be kept."""
        self._entries: deque[tuple[str, Message]] = deque()
        self._size = 0
        self.floor = self.last = position

    def add(self, seq: str, message: Message) -> None:
        """Keep a message; a position that does not sort after the last one ends all before it."""
        if seq <= self.last:
            self.begin(seq)
            return
        self.last = seq
        self._entries.append((seq, message))
        self._size += len(message.payload_json)
        while len(self._entries) > self._messages or self._size > self._size_limit:
            self.floor, dropped = self._entries.popleft()
            self._size -= len(dropped.payload_json)

    def since(self, start_seq: str, position: str) -> list[Message] | None:
        """Return what came after `start_seq`, or None where that cannot be told.

        Args:
            start_seq: what a client saw last, as it says.
            position: the position of the present; what is beyond it was never sent.
        """
        if not start_seq or not self.floor <= start_seq <= max(self.last, position):
            return None
        return [message for seq, message in self._entries if seq > start_seq]
