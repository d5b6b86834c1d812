"""The receiving half of a connection: frames to messages, handled one at a time, and bounded in number."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..config import Settings
from ..protocol import frames
from ..protocol.codes import CloseCode
from .counts import Counts
from .outgoing import CLOSING, OPEN, Outgoing, Prompt
from .rate import Bucket

if TYPE_CHECKING:
    from ..transport.link import Link

__all__ = ["Incoming"]

_log = logging.getLogger(__name__)

#: Pings and pongs that a client may send; one in 20 s is usual.
_CONTROLS_PER_SECOND, _CONTROL_BURST = 10.0, 60


class Incoming(Outgoing):
    """Takes a client's bytes, and lets it wait where it sends more than is handled."""

    __slots__ = (
        "_began", "_controls", "_ending", "_holds", "_inbound", "_is_handling", "_is_paused", "_peer_closed",
        "_pinged", "_reader", "_then", "heard",
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        wire: str,
        settings: Settings,
        outflow: Prompt | None,
        counts: Counts | None,
        *,
        is_compressed: bool,
    ) -> None:
        super().__init__(link, wire, settings, outflow, counts)
        #: Monotonic time of the last bytes from the peer.
        self.heard = time.monotonic()
        #: When the peer was asked for a sign of life, and when the message began that is under way; 0: not.
        self._pinged = 0.0
        self._began = 0.0
        self._controls: Bucket | None = None
        self._reader = frames.FrameReader(settings.max_message_bytes, is_compressed=is_compressed)
        #: Messages to be handled and when they came, nearly always one; a list of one costs a third of a deque.
        self._inbound: list[tuple[float, str]] | None = None
        self._ending: tuple[int, str] | None = None
        self._holds = 0
        self._then: Callable[[], None] | None = None
        self._is_handling = False
        self._is_paused = False
        self._peer_closed = False

    @property
    def holds(self) -> int:
        """How often the connection is held at the moment."""
        return self._holds

    def hold(self) -> None:
        """Let what the client sends wait, until `release` was called as often."""
        with self._lock:
            self._holds += 1

    def when_released(self, then: Callable[[], None]) -> None:
        """Have `then` called, beside whoever releases the connection, before what the client sent is handled."""
        self._then = then

    def release(self) -> None:
        """Go on after a `hold`."""
        with self._lock:
            self._holds -= 1
            if self._holds:
                return
            then, self._then = self._then, None
            if then is not None:
                self._holds = 1
            elif self._is_handling or not self._inbound:
                return
            else:
                self._is_handling = True
        self._link.beside(self._handle_inbound if then is None else lambda: self._go_on(then))

    def _go_on(self, then: Callable[[], None]) -> None:
        try:
            then()
        finally:
            self.release()

    def start(self) -> None:
        """Greet the client beside the caller, then handle what it sends."""
        self.hold()
        self._link.run(self._open)

    def _open(self) -> None:
        try:
            self._greet()
        finally:
            self.release()

    def beside(self, work: Callable[[], None]) -> None:
        """Do work beside the caller that goes on when the connection has closed."""
        self._link.beside(work)

    def bytes_arrived(self, data: bytes) -> None:
        """Take bytes of the peer. Called by the link; never blocks when parked."""
        self.heard = time.monotonic()
        self._pinged = 0.0
        text = self._reader.text(data)
        if text is None:
            self._take(self._reader.feed(data))
            return
        self._began = 0.0
        if self._state is OPEN:
            self._queue(text)

    def _note_beginning(self, events: list[frames.Event]) -> None:
        """Note since when a message is under way."""
        if not self._reader.is_midway:
            self._began = 0.0
        elif not self._began or any(event.kind in (frames.TEXT, frames.BINARY) for event in events):
            self._began = self.heard

    def _take(self, events: list[frames.Event]) -> None:
        self._note_beginning(events)
        controls: list[frames.Event] = []
        for event in events:
            if event.kind == frames.TEXT:
                if controls and self._state is OPEN:
                    self._control(controls)  # Handling the text may take its time.
                    controls = []
                if self._state is OPEN:
                    self._queue(event.data)  # type: ignore[arg-type]
            elif event.kind in (frames.PING, frames.PONG):
                controls.append(event)
            elif event.kind == frames.CLOSE:
                self._peer_closed = True
                self._end(event.code, str(event.data))
            elif event.kind == frames.FAIL:
                self._end(event.code, str(event.data))
            elif event.kind == frames.BINARY:
                self._end(CloseCode.UNSUPPORTED_DATA, "text only")
        if controls and self._state is OPEN:
            self._control(controls)
        if self._peer_closed and self._state is CLOSING and self._outbox is None:
            self._finish()

    def _end(self, code: int, reason: str) -> None:
        """Close, once the messages are handled that came before."""
        if self._inbound is not None:
            self._ending = self._ending or (code, reason)
        else:
            self._begin_close(code, reason)

    def _control(self, controls: list[frames.Event]) -> None:
        """Answer pings, with one write for all of them, but no client that floods us with them."""
        if self._controls is None:
            self._controls = Bucket(_CONTROLS_PER_SECOND, _CONTROL_BURST, self.heard)
        if not self._controls.take(len(controls), self.heard):
            self._begin_close(CloseCode.RATE_LIMITED, "too many control frames")
        elif pings := [event.data for event in controls if event.kind == frames.PING]:
            self._write(b"".join(frames.frame(data, frames.PONG) for data in pings))  # type: ignore[arg-type]

    def _queue(self, text: str) -> None:
        self._counts.received += 1
        with self._lock:
            inbound = self._inbound
            if inbound is None:
                inbound = self._inbound = [(self.heard, text)]
            else:
                inbound.append((self.heard, text))
            starts = not self._is_handling and not self._holds
            self._is_handling = self._is_handling or starts
        if len(inbound) >= self._settings.inbound_queue and not self._is_paused:
            self._is_paused = True
            self._link.pause()
        if starts:
            self._link.run(self._handle_inbound)

    def _next_inbound(self) -> tuple[float, str] | None:
        """Return the message that is handled next; None: that was the last, or the connection is held or closed."""
        with self._lock:
            inbound = self._inbound
            if inbound and self._state is OPEN and not self._holds:
                return inbound.pop(0)
            self._is_handling = False
            if not inbound or self._state is not OPEN:
                self._inbound = None
            return None

    def _handle_inbound(self) -> None:
        try:
            while (message := self._next_inbound()) is not None:
                if self._is_paused and len(self._inbound or ()) <= self._settings.inbound_queue // 2:
                    self._is_paused = False
                    self._listen_again()
                    self._link.resume()
                try:
                    self._handle(*message)
                except Exception:
                    _log.exception("%r: a message failed", self)
        except BaseException:
            self._link.beside(self._handle_inbound)  # The greenlet was killed: only the one message failed.
            raise
        if self._link.is_threaded:
            self._listen_again()
        if self._ending is not None and self._inbound is None:
            self._begin_close(*self._ending)

    def _listen_again(self) -> None:
        """Give the peer its time anew: its sign of life may lie unread."""
        now = time.monotonic()
        self._pinged = self._pinged and now
        self._began = self._began and now

    # --- what the rest of the connection makes of it

    def _greet(self) -> None:
        """Greet the client. Runs beside the loop; may switch."""
        raise NotImplementedError

    def _handle(self, came: float, text: str) -> None:
        """Handle one message that came at that monotonic time. Runs beside the loop; may switch."""
        raise NotImplementedError

    def _begin_close(self, code: int, reason: str, *, cut: bool = False) -> None:
        """Close, once what waits has left; with `cut` it is dropped, but for a frame that has begun to leave."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Close the socket."""
        raise NotImplementedError
