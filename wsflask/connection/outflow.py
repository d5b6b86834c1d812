"""Write, at the end of each turn of the event loop, what the turn has brought for its connections."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub

from ..transport.sends import send_each

if TYPE_CHECKING:
    from ..protocol.messages import Message
    from .outgoing import Outgoing

__all__ = ["Outflow"]

_log = logging.getLogger(__name__)

#: Connections that are written to before the loop looks at its sockets again: about 2 ms of system calls.
_CHUNK = 512


class Outflow:
    """Join what several sends of one turn bring for a connection, and leave with one write.

    A greenlet's messages leave when it next waits, before the loop waits for anything. Answers go before fan-outs, and
    between two chunks of a fan-out the loop serves whoever has sent something: a broadcast to 10,000 holds nobody up.
    For the thread of the event loop alone.
    """

    def __init__(self) -> None:
        self._prompt: list[Outgoing] = []
        self._bulk: deque[Outgoing] = deque()
        self._is_armed = False
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._prompt) + len(self._bulk)

    def prompt(self, connection: Outgoing) -> None:
        """Note that something waits for the connection, to leave before any fan-out."""
        self._prompt.append(connection)
        if not self._is_armed:
            self._arm()

    def fan_out(self, message: Message, connections: Iterable[Outgoing]) -> None:
        """Have every connection get the message: one encoding, one frame for each form, one pass."""
        frames: dict[str, bytes] = {}
        add = self._bulk.append
        for connection in connections:
            if connection.pending is None:
                wire = connection.wire
                connection.pending = frames.get(wire) or frames.setdefault(wire, message.frame(wire))
                add(connection)
            else:
                connection.send_behind(message)
        if self._bulk and not self._is_armed:
            self._arm()

    def _arm(self) -> None:
        self._is_armed = True
        get_hub().loop.run_callback(self._flush)

    def _flush(self) -> None:
        """Write one chunk of answers and one of fan-outs. Runs in the hub; never switches."""
        prompt, self._prompt = self._prompt[:_CHUNK], self._prompt[_CHUNK:]
        bulk = self._bulk
        try:
            _write(prompt)
            if bulk:
                _write(bulk.popleft() for _ in range(min(_CHUNK, len(bulk))))
        finally:
            if self._prompt or bulk:
                # Not a callback: those run before the loop looks at its sockets again, a timer runs beside them.
                if self._timer is None:
                    self._timer = get_hub().loop.timer(0)
                self._timer.start(self._flush)
            else:
                self._is_armed = False

    def stop(self) -> None:
        """Free the timer, when the process' server stops."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        self._is_armed = False


def _write(connections: Iterable[Outgoing]) -> None:
    """Write what waits for each; several that wait for the same frames share one joined copy of them."""
    waiting: list[tuple[Outgoing, bytes | list[bytes]]] = []
    descriptors: list[int] = []
    chunks: list[bytes] = []
    frames: list[bytes] = []
    joined = b""
    for connection in connections:
        pending = connection.pending
        if pending is None:
            continue  # written already, with an answer
        if connection.descriptor < 0:
            connection.flush()
            continue
        connection.pending = None
        waiting.append((connection, pending))
        descriptors.append(connection.descriptor)
        if isinstance(pending, bytes):
            chunks.append(pending)
        else:
            if pending != frames:
                frames, joined = pending, b"".join(pending)
            chunks.append(joined)
    for index, sent in send_each(descriptors, chunks):
        connection, pending = waiting[index]
        try:
            connection.left_behind(pending, sent)
        except Exception:
            _log.exception("what waits for %r could not be kept", connection)
