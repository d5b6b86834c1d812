"""Write, at the end of each turn of the event loop, what the turn has brought for its connections."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..transport.sends import send_each
from ..transport.turn import Turn
from .counts import Counts

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

    Args:
        counts: where the messages are counted.
    """

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts = counts or Counts()
        self._prompt: list[Outgoing] = []
        self._bulk: list[Outgoing] = []
        #: When it is written.
        self.turn = Turn(self._flush)

    def __len__(self) -> int:
        return len(self._prompt) + len(self._bulk)

    def prompt(self, connection: Outgoing) -> None:
        """Note that something waits for the connection, to leave before any fan-out."""
        self._prompt.append(connection)
        if not self.turn.is_asked:
            self.turn.ask()

    def fan_out(self, message: Message, connections: Iterable[Outgoing]) -> None:
        """Have every connection get the message: one encoding, one frame for each form, one pass."""
        wire, frame = "", b""
        add = self._bulk.append
        if not isinstance(connections, list | tuple):
            connections = list(connections)
        self._counts.sent += len(connections)
        for connection in connections:
            if connection.pending is None:
                if connection.wire is not wire:
                    wire = connection.wire
                    frame = message.frame(wire)
                connection.pending = frame
                add(connection)
            else:
                connection.send_behind(message)
        if self._bulk:
            self.turn.ask()

    def _flush(self) -> bool:
        """Write one chunk of answers and one of fan-outs; return whether there are more."""
        prompt, self._prompt = self._prompt[:_CHUNK], self._prompt[_CHUNK:]
        bulk, self._bulk = self._bulk[:_CHUNK], self._bulk[_CHUNK:]
        _write(prompt)
        if bulk:
            _write(bulk)
        return bool(self._prompt or self._bulk)


def _write(connections: Iterable[Outgoing]) -> None:
    """Write what waits for each; several that wait for the same frames share one joined copy of them."""
    owners: list[Outgoing] = []
    descriptors: list[int] = []
    waiting: list[bytes | list[bytes]] = []
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
        owners.append(connection)
        descriptors.append(connection.descriptor)
        waiting.append(pending)
        if type(pending) is list:
            if pending != frames:
                frames, joined = pending, b"".join(pending)
            chunks.append(joined)
        else:
            chunks.append(pending)  # type: ignore[arg-type] # bytes, for there are no other lists
    try:
        behind = send_each(descriptors, chunks)
    except Exception:
        _log.exception("%d connections could not be written to", len(owners))
        for connection in owners:
            connection.peer_gone()  # Who comes again misses nothing; a gap would not be noticed.
        return
    for index, sent in behind:
        try:
            owners[index].left_behind(waiting[index], sent)
        except Exception:
            _log.exception("what waits for %r could not be kept", owners[index])
            owners[index].peer_gone()
