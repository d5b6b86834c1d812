"""From messages to clients: those who are up to date at once, the others behind what waits for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..tasks import spawn
from .subscriber import Stage, Subscriber
from .watchers import Watchers

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Delivery", "position_lost"]

#: Bytes sent of a load before the client's outbox is looked at.
_BYTES_A_TURN = 64 * 1024


class Delivery:
    """Sends, in order. Guarded by the lock of `LiveViews`, but for `send`, which takes it.

    Args:
        lock: of `LiveViews`.
        watchers: who watches what.
        deliver: sends one message to some connections; never blocks, must not raise.
        most: messages that may wait for one that is still being sent its rows.
    """

    def __init__(
        self,
        lock: Any,
        watchers: Watchers,
        deliver: Callable[[Message, Sequence[Connection]], None],
        most: int,
    ) -> None:
        self._lock = lock
        self._watchers = watchers
        self._deliver = deliver
        self._most = most

    def tell(self, subscribers: Sequence[Subscriber], message: Message) -> list[Subscriber]:
        """Send a message to those who have their rows, or are being sent them; return those who fell behind."""
        self._deliver(message, [one.ws for one in subscribers if one.stage is Stage.LIVE])
        behind = []
        for one in subscribers:
            if one.stage is Stage.SENDING:
                one.outgoing.append(message)
                if len(one.outgoing) > self._most:
                    behind.append(one)
        return behind

    def tell_one(self, ws: Connection, message: Message) -> None:
        """Send a message to one client that is no subscriber any more."""
        self._deliver(message, (ws,))

    def start(self, subscriber: Subscriber) -> None:
        """Have what is outgoing sent, unless somebody is at it."""
        if not subscriber.has_sender:
            subscriber.has_sender = True
            spawn("wsflask rows", self.send, subscriber)

    def send(self, subscriber: Subscriber) -> None:
        """Send the rows, then what changed meanwhile, until the subscriber is up to date. May switch."""
        while True:
            with self._lock:
                batch, subscriber.outgoing = subscriber.outgoing, []
                begun = subscriber.begun
                if not batch or subscriber.stage is not Stage.SENDING:
                    subscriber.has_sender = False
                    if subscriber.stage is Stage.SENDING:
                        subscriber.stage = Stage.LIVE
                    return
                subscriber.moved_from = ""  # the first message tells it
            size = 0
            for message in batch:
                if not self._is_current(subscriber, begun):
                    break
                self._deliver(message, (subscriber.ws,))
                size += len(message.payload_json)
                if size > _BYTES_A_TURN:
                    size = 0
                    while self._is_current(subscriber, begun) and not subscriber.ws.drain(1.0):
                        pass  # one who does not read is closed by the connection itself

    def _is_current(self, subscriber: Subscriber, begun: int) -> bool:
        """Return whether what was begun is still for the subscriber: the rows may be lost, its rights have changed."""
        is_watching = self._watchers.find(subscriber.ws, subscriber.view) is subscriber
        is_begun = subscriber.stage is Stage.SENDING and subscriber.begun == begun
        return is_begun and is_watching and subscriber.ws.is_open


def position_lost(ws: Connection) -> None:
    """Have a client come back that cannot be told what changed."""
    ws.close(CloseCode.POSITION_LOST, "position lost")
