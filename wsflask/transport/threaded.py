"""A socket read by the greenlet or thread of its own request: for TLS in the worker and the development server."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from ..tasks import spawn
from .link import Link, Owner

__all__ = ["ThreadedLink"]

_READ_BYTES = 64 * 1024
#: Seconds a writer waits for a socket before it looks whether the link was closed meanwhile.
_LOOK = 1.0


class ThreadedLink(Link):
    """Read in the caller of `serve`; write at once where the kernel takes it, else from a writer beside it.

    A TLS socket is written by the writer alone, since its record layer cannot tell how much a peer takes.
    """

    is_threaded = True

    def __init__(self, sock: Any) -> None:
        self.owner: Owner
        self._socket = sock
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        #: gevent's socket keeps the kernel's in `_sock`; its own `send` would wait.
        self._raw = sock if self._is_tls else getattr(sock, "_sock", sock)
        self._closed = threading.Event()
        self._reading = threading.Event()
        self._reading.set()
        self._lock = threading.Lock()
        self._writer_runs = False
        self._asked = False
        sock.settimeout(None)

    def serve(self) -> None:
        """Read until the link is closed. May switch."""
        try:
            while not self._closed.is_set():
                self._reading.wait()
                try:
                    data = self._socket.recv(_READ_BYTES)
                except OSError:
                    data = b""
                if not data:
                    break
                self.owner.bytes_arrived(data)
        finally:
            self.owner.peer_gone()

    def write(self, data: bytes) -> int:
        if self._closed.is_set():
            raise OSError("closed")
        if self._is_tls:
            return self._write_tls(data)
        try:
            return int(self._raw.send(data, socket.MSG_DONTWAIT))
        except (BlockingIOError, InterruptedError):
            return 0

    def _write_tls(self, data: bytes) -> int:
        if not getattr(_here, "writes", False):
            return 0
        return int(self._socket.send(data[:16384]))

    def call_when_writable(self) -> None:
        with self._lock:
            self._asked = True
            if self._writer_runs or self._closed.is_set():
                return
            self._writer_runs = True
        spawn("wsflask writer", self._write_while_asked)

    def _write_while_asked(self) -> None:
        _here.writes = True
        while True:
            self._wait_until_writable()
            self._asked = False
            self.owner.may_write()
            with self._lock:
                if not self._asked or self._closed.is_set():
                    self._writer_runs = False
                    return

    def _wait_until_writable(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:  # select() itself ends at descriptor 1023.
                selector.register(self._socket, selectors.EVENT_WRITE)
                while not self._closed.is_set() and not selector.select(_LOOK):
                    pass
        except (OSError, ValueError):
            pass  # Closed meanwhile, which the next write tells.

    def pause(self) -> None:
        self._reading.clear()

    def resume(self) -> None:
        self._reading.set()

    def run(self, work: Callable[[], None]) -> None:
        work()

    def end_writing(self) -> None:
        self._shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._reading.set()
            self._shutdown(socket.SHUT_RDWR)

    def _shutdown(self, how: int) -> None:
        try:
            self._raw.shutdown(how)
        except OSError:
            pass  # The peer was faster.


class _Here(threading.local):
    writes = False


_here = _Here()
