"""One client: who it is, what waits for it, whether it lives, why it closed."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..config import Settings
from ..identity import Identity
from ..protocol import frames
from ..protocol.codes import CloseCode
from ..protocol.messages import V1, Message, compressed
from ..protocol.requests import Request
from .outgoing import CLOSED, CLOSING, OPEN, Outgoing
from .rate import Bucket

if TYPE_CHECKING:
    from ..transport.link import Link
    from .outflow import Outflow

__all__ = ["Connection", "Handler"]

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)

#: Seconds a peer has to answer a close frame, and to take what still waits before it: who has only stopped reading
#: for a while learns at its next read why it was closed.
_CLOSE_TIMEOUT, _LINGER = 2.0, 20.0
#: Pings and pongs that a client may send; one in 20 s is usual.
_CONTROLS_PER_SECOND, _CONTROL_BURST = 10.0, 60
_PING = Message("ping", {})
_PING_FRAME = frames.frame(b"", frames.PING)


class Handler(Protocol):
    """What a connection tells its server."""

    def opened(self, connection: Connection) -> None:
        """Greet the client, before any message of it is handled. Runs beside the loop; may switch."""

    def text_arrived(self, connection: Connection, text: str) -> None:
        """Handle one message. Runs beside the loop, one at a time for a connection; may switch."""

    def closed(self, connection: Connection) -> None:
        """Note that the connection takes no part any more. Called once, as soon as it starts to close."""


class Connection(Outgoing):
    """A client's WebSocket, as services see it ("ws" in the hooks)."""

    __slots__ = (
        "_began", "_close_at", "_controls", "_ending", "_handler", "_holds", "_inbound", "_is_handling", "_is_paused",
        "_peer_closed", "_pinged", "_reader", "_request", "_then", "bad_messages", "close_code", "close_reason", "form",
        "heard", "id", "identity", "rate",
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        identity: Identity,
        form: str,
        settings: Settings,
        handler: Handler,
        outflow: Outflow | None = None,
        *,
        is_compressed: bool = False,
    ) -> None:
        super().__init__(link, compressed(form) if is_compressed else form, settings, outflow)
        #: Names this connection in this process.
        self.id = str(next(_numbers))
        self.identity = identity
        #: "plain" or "v1": whether the client offered the subprotocol `wsflask.v1`.
        self.form = form
        #: Why the connection closed, once it has begun to.
        self.close_code = 0
        self.close_reason = ""
        #: Refused messages so far.
        self.bad_messages = 0
        #: Monotonic time of the last bytes from the peer.
        self.heard = time.monotonic()
        #: How often the client may send.
        self.rate = Bucket(settings.messages_per_second, settings.message_burst, self.heard)
        self._controls: Bucket | None = None
        self._pinged = 0.0
        self._began = 0.0
        self._close_at = 0.0
        self._handler = handler
        self._reader = frames.FrameReader(settings.max_message_bytes, is_compressed=is_compressed)
        #: Messages to be handled, nearly always one; a list of one costs a third of a deque.
        self._inbound: list[str] | None = None
        self._ending: tuple[int, str] | None = None
        self._holds = 0
        self._then: Callable[[], None] | None = None
        self._is_handling = False
        self._is_paused = False
        self._peer_closed = False
        self._request: Request | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.id} of user {self.user_id!r}, {self._state.value}>"

    @property
    def user(self) -> Any:
        """The Flask-Login user of the session."""
        return self.identity.user

    @property
    def user_id(self) -> str:
        """The user's id, as Flask-Login knows it."""
        return self.identity.user_id

    @property
    def groups(self) -> frozenset[str]:
        """The groups that the user is in."""
        return self.identity.groups

    @property
    def request_id(self) -> str | None:
        """The id of the request that is being handled and not yet answered, if it has one."""
        return self._request.id if self._request is not None else None

    # --- out

    def reply(self, payload: Any = None, *, payload_json: bytes | None = None, seq: str | None = None) -> None:
        """Answer the request that is being handled; a second answer to it is not sent."""
        request, self._request = self._request, None
        if request is not None:
            self.send(Message(request.channel, payload, payload_json=payload_json, seq=seq, id=request.id))

    # --- in

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
            self._handler.opened(self)
        finally:
            self.release()

    def beside(self, work: Callable[[], None]) -> None:
        """Do work beside the caller that goes on when the connection has closed."""
        self._link.beside(work)

    def begin(self, request: Request) -> None:
        """Note the request that is handled from here on; `reply` answers it."""
        self._request = request

    def end(self) -> None:
        """Note that the request is handled; what has not answered it by now does not."""
        self._request = None

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
        with self._lock:
            inbound = self._inbound
            if inbound is None:
                inbound = self._inbound = [text]
            else:
                inbound.append(text)
            starts = not self._is_handling and not self._holds
            self._is_handling = self._is_handling or starts
        if len(inbound) >= self._settings.inbound_queue and not self._is_paused:
            self._is_paused = True
            self._link.pause()
        if starts:
            self._link.run(self._handle_inbound)

    def _next_inbound(self) -> str | None:
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
            while (text := self._next_inbound()) is not None:
                if self._is_paused and len(self._inbound or ()) <= self._settings.inbound_queue // 2:
                    self._is_paused = False
                    self._listen_again()
                    self._link.resume()
                try:
                    self._handler.text_arrived(self, text)
                except Exception:
                    _log.exception("connection %s of user %r: a message failed", self.id, self.user_id)
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

    # --- the end

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Send what waits, then a close frame; never blocks. The rest happens by itself. May be called twice."""
        self._begin_close(code, reason)

    def peer_gone(self) -> None:
        """Note the end of the peer's bytes. Called by the link."""
        if not self._peer_closed and not self.close_code:
            self.close_code = CloseCode.ABNORMAL
        self._finish()

    def revoke(self, code: int = CloseCode.POSITION_LOST, reason: str = "position lost") -> bool:
        """Close, if something waits for a slow client that he may have lost the right to; return whether it closed.

        What has not begun to leave is dropped, also where the connection is closing. He comes back, and resumes.
        """
        self.flush()
        was_open = self.is_open
        if self._outbox is not None:
            self._begin_close(code, reason, cut=True)
        return was_open and not self.is_open

    def _begin_close(self, code: int, reason: str, *, cut: bool = False) -> None:
        if not cut:
            self.flush()
        with self._lock:
            was_open = self._state is OPEN
            if was_open:
                self._state = CLOSING
                self.descriptor = -1
                self.close_code, self.close_reason = code, reason
                self._close_at = time.monotonic() + _LINGER
            has_lost = cut and self._cut()  # and with the rest an earlier close frame
            if not was_open and not has_lost:
                return
            if self._is_paused:
                self._link.resume()
            self._write(frames.close_frame(self.close_code, self.close_reason))
        if was_open:
            self._handler.closed(self)
        if self._outbox is None:
            self._close_frame_left()

    def _fell_behind(self) -> None:
        self._begin_close(CloseCode.SLOW_CONSUMER, "too slow", cut=True)

    def _all_left(self) -> None:
        if self._state is CLOSING:
            self._close_frame_left()

    def _close_frame_left(self) -> None:
        if self._peer_closed:
            self._finish()
        else:
            self._close_at = time.monotonic() + _CLOSE_TIMEOUT
            self._link.end_writing()

    def _lost(self) -> None:
        if not self.close_code:
            self.close_code = CloseCode.ABNORMAL
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            if self._state is CLOSED:
                return
            was_open = self._state is OPEN
            self._state = CLOSED
            self.descriptor = -1
            self._outbox = None
        self._link.close()
        if was_open:
            self._handler.closed(self)
        self._wake_waiters()

    def tick(self, now: float) -> None:
        """Look after liveness and time-outs; called about once a second with the monotonic time."""
        if self._state is CLOSING:
            if now >= self._close_at:
                self._finish()
            return
        if self._state is CLOSED:
            return
        with self._lock:
            behind = now - self._outbox.oldest if self._outbox is not None else 0.0
        if behind > self._settings.outbox_seconds:
            self._fell_behind()
        elif self._is_paused or (self._is_handling and self._link.is_threaded):
            return  # Its bytes lie unread: whatever we miss may be among them.
        elif self._began and now - self._began > self._settings.message_timeout:
            self._begin_close(CloseCode.NO_HEARTBEAT, "unfinished message", cut=True)
        elif self._pinged:
            if now - self._pinged > self._settings.ping_timeout:
                self._begin_close(CloseCode.NO_HEARTBEAT, "no sign of life", cut=True)
        elif now - self.heard >= self._settings.ping_interval:
            self._pinged = now
            self._write(_PING.frame(V1) if self.form == V1 else _PING_FRAME)
