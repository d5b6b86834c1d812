"""One client: who it is, what waits for it, whether it lives, why it closed."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ..config import Settings
from ..identity import Identity
from ..protocol import frames
from ..protocol.codes import CloseCode
from ..protocol.messages import V1, Message, compressed
from ..protocol.requests import Request
from .counts import Counts
from .incoming import Incoming
from .outgoing import CLOSED, CLOSING, OPEN, Prompt
from .rate import Bucket

if TYPE_CHECKING:
    from ..streams.place import Place
    from ..transport.link import Link

__all__ = ["Connection", "Handler"]

_numbers = itertools.count(1)

#: Seconds a peer has to answer a close frame, and to take what still waits before it: who has only stopped reading
#: for a while learns at its next read why it was closed.
_CLOSE_TIMEOUT, _LINGER = 2.0, 20.0
#: Seconds from one `tick` to the next: who would be over time at the next one is so at this one.
_TICK = 1.0
_NOWHERE: Mapping[str, Place] = MappingProxyType({})
_PING_FRAME = frames.frame(b"", frames.PING)


@functools.lru_cache(maxsize=8)
def _ping(position: str) -> bytes:
    """Return the frame that asks for a sign of life; the same for all who are asked at one time."""
    return Message("ping", {}, seq=position or None).frame(V1)


def _is_over(passed: float, limit: float) -> bool:
    """Return whether a limit of seconds is reached before the next tick; at most a tenth of it is taken off."""
    return passed > limit - min(_TICK, limit / 10)


class Handler(Protocol):
    """What a connection tells its server."""

    def opened(self, connection: Connection) -> None:
        """Greet the client, before any message of it is handled. Runs beside the loop; may switch."""

    def text_arrived(self, connection: Connection, text: str) -> None:
        """Handle one message. Runs beside the loop, one at a time for a connection; may switch."""

    def closed(self, connection: Connection) -> None:
        """Note that the connection takes no part any more. Called once, as soon as it starts to close."""


class Connection(Incoming):
    """A client's WebSocket, as services see it ("ws" in the hooks)."""

    __slots__ = (
        "_asked", "_close_at", "_handler", "_request", "bad_messages", "close_code", "close_reason", "form", "id",
        "identity", "rate", "resume",
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        identity: Identity,
        form: str,
        settings: Settings,
        handler: Handler,
        outflow: Prompt | None = None,
        counts: Counts | None = None,
        *,
        is_compressed: bool = False,
    ) -> None:
        wire = compressed(form) if is_compressed else form
        super().__init__(link, wire, settings, outflow, counts, is_compressed=is_compressed)
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
        #: Where the client says it is, by stream; dropped when it is greeted.
        self.resume: Mapping[str, Place] = _NOWHERE
        #: How often the client may send.
        self.rate = Bucket(settings.messages_per_second, settings.message_burst, self.heard)
        self._close_at = 0.0
        self._handler = handler
        self._request: Request | None = None
        self._asked: float | None = None

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

    @property
    def asked(self) -> float:
        """Monotonic time at which the message arrived that is being handled; without one, now."""
        return self._asked if self._asked is not None else time.monotonic()

    # --- out

    def reply(self, payload: Any = None, *, payload_json: bytes | None = None, seq: str | None = None) -> None:
        """Answer the request that is being handled; a second answer to it is not sent."""
        request, self._request = self._request, None
        if request is not None:
            self.send(Message(request.channel, payload, payload_json=payload_json, seq=seq, id=request.id))

    # --- in

    def _greet(self) -> None:
        self._handler.opened(self)

    def _handle(self, came: float, text: str) -> None:
        self._asked = came
        self._handler.text_arrived(self, text)

    def begin(self, request: Request) -> None:
        """Note the request that is handled from here on; `reply` answers it."""
        self._request = request

    def end(self) -> None:
        """Note that the request is handled; what has not answered it by now does not."""
        self._request = self._asked = None

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
                self._counts.closed[code] += 1
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
            if was_open:
                self._counts.closed[self.close_code] += 1
            self._state = CLOSED
            self.descriptor = -1
            self._outbox = None
        self._link.close()
        if was_open:
            self._handler.closed(self)
        self._wake_waiters()

    def tick(self, now: float, position: str = "") -> None:
        """Look after liveness and time-outs; called about once a second with the monotonic time.

        Args:
            position: who is greeted has every stream up to here; a ping says so.
        """
        if self._state is CLOSING:
            if now >= self._close_at:
                self._finish()
            return
        if self._state is CLOSED:
            return
        with self._lock:
            behind = now - self._outbox.oldest if self._outbox is not None else 0.0
        if _is_over(behind, self._settings.outbox_seconds):
            self._fell_behind()
        elif self._is_paused or (self._is_handling and self._link.is_threaded):
            return  # Its bytes lie unread: whatever we miss may be among them.
        elif self._began and _is_over(now - self._began, self._settings.message_timeout):
            self._begin_close(CloseCode.NO_HEARTBEAT, "unfinished message", cut=True)
        elif self._pinged:
            if now - self._pinged > self._settings.ping_timeout:
                self._begin_close(CloseCode.NO_HEARTBEAT, "no sign of life", cut=True)
        elif now - self.heard >= self._settings.ping_interval:
            self._pinged = now
            self._write(_ping(position if not self._holds else "") if self.form == V1 else _PING_FRAME)
