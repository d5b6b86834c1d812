"""A socket parked on gevent's loop: while nothing happens on it, it costs no greenlet and no request."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import get_hub

from .link import Link, Owner

__all__ = ["ParkedLink"]

#: Bytes read at once; a larger message takes several rounds of the loop.
_READ_BYTES = 64 * 1024
_READ, _WRITE = 1, 2


class ParkedLink(Link):
    """Take over a duplicate of the descriptor; `park` starts once the server has let go of its own.

    Every callback runs in gevent's hub and must not block.
    """

    def __init__(self, raw: _socket.socket, owner: Owner) -> None:
        self.owner = owner
        self._socket: _socket.socket | None = raw
        self._reader: Any = None
        self._writer: Any = None
        self._paused = False
        raw.setblocking(False)

    def park(self) -> None:
        """Start reading."""
        if self._socket is None:
            return
        self._reader = get_hub().loop.io(self._socket.fileno(), _READ)
        if not self._paused:
            self._reader.start(self._readable)

    def write(self, data: bytes) -> int:
        if self._socket is None:
            raise OSError("closed")
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def call_when_writable(self) -> None:
        if self._socket is None:
            return
        if self._writer is None:
            self._writer = get_hub().loop.io(self._socket.fileno(), _WRITE)
        if not self._writer.active:
            self._writer.start(self._writable)

    def pause(self) -> None:
        self._paused = True
        if self._reader is not None:
            self._reader.stop()

    def resume(self) -> None:
        self._paused = False
        if self._reader is not None and not self._reader.active:
            self._reader.start(self._readable)

    def run(self, work: Callable[[], None]) -> None:
        gevent.spawn(work)

    def end_writing(self) -> None:
        if self._socket is not None:
            _shutdown(self._socket, socket.SHUT_WR)

    def close(self) -> None:
        raw, self._socket = self._socket, None
        if raw is None:
            return
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = None
        _shutdown(raw, socket.SHUT_RDWR)
        raw.close()

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_READ_BYTES)
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


def _shutdown(raw: _socket.socket, how: int) -> None:
    try:
        raw.shutdown(how)
    except OSError:
        pass  # The peer was faster.
