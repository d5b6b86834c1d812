"""What has happened to the clients of a process."""

from __future__ import annotations

from collections import Counter

__all__ = ["Counts"]


class Counts:
    """Numbers since the process began; they only grow."""

    __slots__ = ("closed", "conflated", "received", "sent")

    def __init__(self) -> None:
        #: Messages to clients, and from them.
        self.sent = 0
        self.received = 0
        #: Messages to slow clients in whose place a newer one was sent.
        self.conflated = 0
        #: Connections that have begun to close, by close code.
        self.closed: Counter[int] = Counter()
