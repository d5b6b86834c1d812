"""The sending half of a connection: straight to the kernel while that takes it, else into a bounded outbox."""

from __future__ import annotations

import enum
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from ..config import Settings
from ..protocol.messages import Message
from .counts import Counts
from .outbox import Outbox

if TYPE_CHECKING:
    from ..transport.link import Link

__all__ = ["CLOSED", "CLOSING", "OPEN", "Outgoing", "Prompt", "State"]

_no_lock = nullcontext()

#: Frames that wait for the end of the loop's turn; a greenlet that sends more without waiting has them written.
_MOST = 64
#: What `pending` is where nothing waits for the loop: on a socket with a thread of its own.
_AT_ONCE: list[bytes] = []


class State(enum.Enum):
    """OPEN -> CLOSING (our close frame is on its way, or the peer's was answered) -> CLOSED."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


#: Each message asks several times, and Python 3.11 takes 150 ns to find a member in its class.
OPEN, CLOSING, CLOSED = State


class Prompt(Protocol):
    """What writes at the end of a turn of the event loop."""

    def prompt(self, connection: Outgoing) -> None:
        """Note that something waits for the connection."""


class Outgoing:
    """Takes messages for one client in order, and never waits for it."""

    __slots__ = (
        "_counts", "_link", "_lock", "_outbox", "_outflow", "_settings", "_state", "_waiters",
        "descriptor", "pending", "wire",
    )  # fmt: skip

    def __init__(
        self, link: Link, wire: str, settings: Settings, outflow: Prompt | None, counts: Counts | None
    ) -> None:
        #: The form of the frames that this client gets.
        self.wire = wire
        #: Frames of this turn of the loop; only `Outflow` and this class touch it.
        self.pending: bytes | list[bytes] | None = None if outflow is not None else _AT_ONCE
        #: The socket's descriptor while frames may be written straight to it, else -1.
        self.descriptor = link.descriptor
        self._link = link
        self._settings = settings
        self._outflow = outflow
        self._counts = counts or Counts()
        self._state = OPEN
        self._outbox: Outbox | None = None
        self._waiters: list[threading.Event] | None = None
        self._lock: AbstractContextManager[Any] = threading.RLock() if link.is_threaded else _no_lock

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._state is OPEN

    @property
    def is_parked(self) -> bool:
        """Whether the connection lives on the event loop, without a greenlet or thread of its own."""
        return not self._link.is_threaded

    @property
    def state(self) -> State:
        """Where in its life the connection is."""
        return self._state

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the client."""
        pending = self.pending
        turn = 0 if pending is None else len(pending) if isinstance(pending, bytes) else sum(map(len, pending))
        return turn + (self._outbox.size if self._outbox is not None else 0)

    def send(self, message: Message) -> None:
        """Send the message, or let it wait for the client; never blocks. To a closed connection: nothing happens.

        What one turn of the event loop sends to a client leaves as one write, when the sending greenlet next waits.
        """
        if self._state is OPEN:
            self._counts.sent += 1
            self._put(message.frame(self.wire))
            if self._outflow is not None and self.pending is not None:
                self._outflow.prompt(self)

    def send_behind(self, message: Message) -> None:
        """Send a message of a fan-out behind what waits already."""
        if self._state is OPEN:
            self._put(message.frame(self.wire))

    def _put(self, frame: bytes) -> None:
        pending = self.pending
        if pending is None:
            self.pending = frame
        elif pending is _AT_ONCE:
            self._write(frame)
        elif isinstance(pending, bytes):
            self.pending = [pending, frame]
        else:
            pending.append(frame)
            if len(pending) >= _MOST:
                self.flush()

    def flush(self) -> None:
        """Write what waits for the end of the turn now."""
        pending = self.pending
        if pending is None or pending is _AT_ONCE:
            return
        self.pending = None
        if self._state is not OPEN:
            return
        if self._outbox is not None:
            self.left_behind(pending, 0)
        else:
            try:
                sent = self._link.write(pending if isinstance(pending, bytes) else b"".join(pending))
            except OSError:
                sent = -1
            self.left_behind(pending, sent)

    def left_behind(self, frames: bytes | list[bytes], sent: int) -> None:
        """Keep what the kernel did not take: it took `sent` bytes; -1: the peer is gone."""
        if sent < 0:
            self._lost()
            return
        for frame in [frames] if isinstance(frames, bytes) else frames:
            if sent >= len(frame):
                sent -= len(frame)
            else:
                self._keep(frame, sent)
                sent = 0
                if self._state is not OPEN:
                    return  # that was too much

    def _write(self, data: bytes) -> None:
        """Write one frame behind all that waits, at once."""
        self.flush()
        with self._lock:
            sent = 0
            if self._outbox is None:
                try:
                    sent = self._link.write(data)
                except OSError:
                    self._lost()
                    return
                if sent == len(data):
                    return
            self._keep(data, sent)

    def _keep(self, data: bytes, sent: int) -> None:
        if self._state is CLOSED:
            return
        if self._outbox is None:
            self._outbox = Outbox()
            self.descriptor = -1
        outbox = self._outbox
        if outbox.add(data, sent, time.monotonic()):
            self._counts.conflated += 1
        self._link.call_when_writable()
        if outbox.size > self._settings.outbox_bytes and self._state is OPEN:
            self._fell_behind()

    def _cut(self) -> bool:
        """Drop every frame that has not begun to leave; return whether some waited in the outbox."""
        if self.pending is not _AT_ONCE:
            self.pending = None
        dropped = self._outbox is not None and self._outbox.cut()
        if not self._outbox:
            self._outbox = None
        return dropped

    def may_write(self) -> None:
        """Write what waits. Called by the link."""
        while True:
            with self._lock:
                outbox = self._outbox
                if outbox is None:
                    break
                chunk = outbox.chunk()
            try:
                sent = self._link.write(chunk)
            except OSError:
                self._lost()
                return
            with self._lock:
                outbox.left(sent)
                if outbox:
                    if sent < len(chunk):
                        self._link.call_when_writable()
                        break
                else:
                    self._outbox = None
                    if self._state is OPEN:
                        self.descriptor = self._link.descriptor
        self._after_write()

    def _after_write(self) -> None:
        if self._waiters and self.waiting_bytes <= self._settings.outbox_bytes // 4:
            self._wake_waiters()
        if self._outbox is None:
            self._all_left()

    def drain(self, timeout: float) -> bool:
        """Wait until little waits for the client; return whether it came to that. May switch."""
        self.flush()
        with self._lock:
            if self.waiting_bytes <= self._settings.outbox_bytes // 4:
                return self.is_open
            waiter = threading.Event()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
        waiter.wait(timeout)
        return self.is_open and self.waiting_bytes <= self._settings.outbox_bytes // 4

    def _wake_waiters(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.set()

    # --- what the rest of the connection makes of it

    def _fell_behind(self) -> None:
        """Close: more waits for the client than may."""
        raise NotImplementedError

    def peer_gone(self) -> None:
        """Note the end of the peer's bytes, and end the connection."""
        raise NotImplementedError

    def _lost(self) -> None:
        """Note that the peer is gone."""
        raise NotImplementedError

    def _all_left(self) -> None:
        """Note that nothing waits any more."""
        raise NotImplementedError
