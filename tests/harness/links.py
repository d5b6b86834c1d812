"""A socket in memory that takes as much as a test says, and a handler that notes what it is told."""

from __future__ import annotations

from collections.abc import Callable

from wsflask.connection import Connection
from wsflask.transport.link import Link, Owner

from .raw import server_frames


class MemoryLink(Link):
    """A link whose peer is the test: `capacity` bytes fit into its kernel, all of them unless it says otherwise."""

    def __init__(self, *, is_threaded: bool = False) -> None:
        self.owner: Owner
        self.is_threaded = is_threaded
        self.capacity = 1 << 40
        self.taken = b""
        self.is_paused = False
        self.is_shut = False
        self.is_closed = False
        self.is_broken = False
        #: Work that waits to be run, while `runs` is false.
        self.work: list[Callable[[], None]] = []
        self.runs = True
        self._is_asked = False

    def write(self, data: bytes) -> int:
        if self.is_closed or self.is_broken:
            raise BrokenPipeError
        assert not self.is_shut, "written after end_writing"
        count = min(len(data), self.capacity)
        self.capacity -= count
        self.taken += data[:count]
        return count

    def take(self, count: int) -> None:
        """Let the peer read `count` bytes more."""
        self.capacity += count
        while self._is_asked and self.capacity and not self.is_closed:
            self._is_asked = False
            self.owner.may_write()

    def call_when_writable(self) -> None:
        self._is_asked = True

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def run(self, work: Callable[[], None]) -> None:
        self.work.append(work)
        if self.runs:
            self.run_work()

    def beside(self, work: Callable[[], None]) -> None:
        self.run(work)

    def run_work(self) -> None:
        """Run what waits."""
        while self.work:
            self.work.pop(0)()

    def end_writing(self) -> None:
        self.is_shut = True

    def close(self) -> None:
        self.is_closed = True

    def frames(self) -> list[tuple[int, bytes]]:
        """Return the whole frames that the peer has read; fail on a corrupt one, or a rest."""
        found, rest = server_frames(self.taken)
        assert rest == b""
        return found


class Recorder:
    """A handler that notes what a connection tells."""

    def __init__(self) -> None:
        self.told: list[str] = []
        #: Called with the connection and the text of each message.
        self.on_text: Callable[[Connection, str], None] = lambda connection, text: None

    def opened(self, connection: Connection) -> None:
        self.told.append("opened")

    def text_arrived(self, connection: Connection, text: str) -> None:
        self.told.append(text)
        self.on_text(connection, text)

    def closed(self, connection: Connection) -> None:
        self.told.append("closed")
