"""A socket parked on gevent's loop: while nothing happens on it, it costs no greenlet and no request."""

from __future__ import annotations

import _socket
import os
import socket
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

from .crew import Crew
from .link import Link, Owner

__all__ = ["ParkedLink"]

#: Bytes read at once; a larger message takes several rounds of the loop.
_READ_BYTES = 16 * 1024
_READ, _WRITE = 1, 2


class ParkedLink(Link):
    """Take over a duplicate of the descriptor; `park` starts once the server has let go of its own.

    Every callback runs in gevent's hub and must not block.

    Args:
        descriptor: of a connected stream socket; closed by `close`.
        owner: who is told what happens on it.
        crew: greenlets that do its work.
    """

    __slots__ = ("_crew", "_is_paused", "_reader", "_writer", "descriptor")

    def __init__(self, descriptor: int, owner: Owner, crew: Crew) -> None:
        self.owner = owner
        self.descriptor = descriptor
        self._crew = crew
        self._reader: Any = None
        self._writer: Any = None
        self._is_paused = False
        os.set_blocking(descriptor, False)

    def park(self) -> None:
        """Start reading."""
        if self.descriptor < 0:
            return
        self._reader = get_hub().loop.io(self.descriptor, _READ)
        if not self._is_paused:
            self._reader.start(self._readable)

    def write(self, data: bytes) -> int:
        if self.descriptor < 0:
            raise OSError("closed")
        try:
            return os.write(self.descriptor, data)
        except (BlockingIOError, InterruptedError):
            return 0

    def call_when_writable(self) -> None:
        if self.descriptor < 0:
            return
        if self._writer is None:
            self._writer = get_hub().loop.io(self.descriptor, _WRITE)
        if not self._writer.active:
            self._writer.start(self._writable)

    def pause(self) -> None:
        self._is_paused = True
        if self._reader is not None:
            self._reader.stop()

    def resume(self) -> None:
        self._is_paused = False
        if self._reader is not None and not self._reader.active:
            self._reader.start(self._readable)

    def run(self, work: Callable[[], None]) -> None:
        self._crew.run(work)

    def beside(self, work: Callable[[], None]) -> None:
        self._crew.run(work)

    def end_writing(self) -> None:
        if self.descriptor >= 0:
            _shutdown(self.descriptor, socket.SHUT_WR)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor < 0:
            return
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = None
        _shutdown(descriptor, socket.SHUT_RDWR)
        _socket.close(descriptor)  # gevent's os.close may wait until the next turn of the loop.

    def _readable(self) -> None:
        if self.descriptor < 0:
            return
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self.owner.bytes_arrived(data)
        else:
            self._reader.stop()
            self.owner.peer_gone()

    def _writable(self) -> None:
        self._writer.stop()
        self.owner.may_write()


def _shutdown(descriptor: int, how: int) -> None:
    raw = _socket.socket(fileno=descriptor)
    try:
        raw.shutdown(how)
    except OSError:
        pass  # The peer was faster.
    finally:
        raw.detach()
