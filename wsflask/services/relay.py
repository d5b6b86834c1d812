"""The service without a channel: what other processes published, or ended, takes effect in this one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pymongo

from ..connection import Connection
from ..documents import RIGHTS_CHANGED, EndedSession, KeptPublication, Publication
from ..feed.base import Change, Gap, Subscription
from ..hub import Recipients, sign_out
from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..service import Host, Service
from ..streams.rounds import Rounds
from ..streams.stream import Stream
from .publications import STREAM, Kept, Publications, recipients_of

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

#: Changes that are taken in together, and seconds without one after which the position of the feed is noted.
_BATCH, _LOOK = 200, 1.0
#: Ended sessions that are remembered in the process; a handshake takes milliseconds.
_REMEMBERED = 1000


class Relay(Service):
    """Send publications to their recipients and close the connections of ended sessions.

    Args:
        rights_changed: called with the users whose rights have changed; None: perhaps everyone's.
        channels: returns the channels whose publications can be resumed.
        reset: called with a client that has lost its place among them.
    """

    stream: Stream[Kept]

    def __init__(
        self,
        server: Host | None = None,
        *,
        rights_changed: Callable[[Sequence[str] | None], None] = lambda _: None,
        channels: Callable[[], list[str]] = list,
        reset: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        super().__init__(server)
        self._rights_changed = rights_changed
        self._reset = reset
        self._changes: Subscription | None = None
        self._fleeting = Publication._get_collection_name()
        self._kept = KeptPublication._get_collection_name()
        # Publications are noted and sent, and connections join those who get them, together: sending never blocks.
        self._lock = threading.RLock()
        #: Those who are not caught up yet, and those whose services have to be told of a reset.
        self._expected: dict[Connection, None] = {}
        self._astray: dict[Connection, None] = {}
        self._rounds = Rounds("wsflask publications", lambda: self.stream)
        self._source = Publications(lambda: self.server, channels, self._await, self._note_astray)
        #: In the order in which they ended; asked at every handshake.
        self._lately_ended: dict[str, None] = {}

    def bind(self, server: Host) -> None:
        super().bind(server)
        self.stream = Stream(STREAM, self._source, self._lock, server.settings, self._rounds.wake, pause=_pause)

    def _await(self, position: str) -> None:
        if self._changes is not None:
            self._changes.wake_at(position)

    def _note_astray(self, ws: Connection) -> None:
        self._astray[ws] = None

    def has_ended(self, session_id: str) -> bool:
        """Return whether the session has ended lately: perhaps after a handshake had asked the database."""
        return session_id in self._lately_ended

    def run(self) -> None:
        changes = self.server.feed.watch(Publication, KeptPublication, EndedSession, name="relay")
        self._changes = changes
        try:
            self._catch_up()
            self._go_on(changes.position)
            while not changes.is_closed:
                for change in changes.take_many(_BATCH, _LOOK):
                    if isinstance(change, Gap):
                        self._catch_up()
                        if change.collection in (None, self._kept):
                            self._go_on(change.seq)
                    elif change.op == "I" and change.document is not None:
                        self._take(change)
                self.stream.reach(changes.position)
        finally:
            changes.close()

    def _take(self, change: Change) -> None:
        document = change.document or {}
        try:
            if change.collection == self._kept:
                self._send_kept(change.seq, *Publications.item(change.seq, document))
            elif change.collection == self._fleeting:
                bus = self.server.bus
                if bus is None or bus.is_new(change.id):
                    self._relay(document)
            else:
                self._end(str(change.id))
        except Exception:
            _log.exception("the publication %s could not be sent", change.id)

    def hear(self, document: dict[str, Any]) -> None:
        """Send on a publication that came past the database."""
        self._relay(document)

    def _relay(self, document: dict[str, Any]) -> None:
        hub, to = self.server.hub, recipients_of(document)
        if document["channel"] == RIGHTS_CHANGED:
            self._rights_changed(to.users)
            return
        if document["channel"] == "goodbye":
            arriving = [connection for connection in hub.arriving if connection.user_id in to.users]
            for connection in [*hub.select(to), *arriving]:
                connection.close(CloseCode.RESTART, "come back")
            return
        message = Message(document["channel"], payload_json=document["payload"].encode())
        hub.send(message, hub.select(to))

    # --- kept publications

    def expect(self, ws: Connection) -> None:
        """Keep live publications from a connection that is about to come; it gets them when it is caught up."""
        self._expected[ws] = None

    def forget(self, ws: Connection) -> None:
        """Forget a connection that has closed."""
        self._expected.pop(ws, None)
        self._astray.pop(ws, None)

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Catch the client up with what was published and kept while it was away."""
        if ws in self._expected:
            self.stream.enter(ws, partial(self._expected.pop, ws, None))

    def greeted(self, ws: Connection, user: Any) -> None:
        """Have services know that a client that was greeted has lost its place, if it has."""
        ws.resume = {}
        if ws in self._astray:
            del self._astray[ws]
            self._reset(ws)

    def _send_kept(self, seq: str, item: Kept, size: int) -> None:
        with self._lock:
            if self.stream.add(seq, item, size):
                to = self.server.hub.select(Recipients(item.everyone, tuple(item.users), tuple(item.groups)))
                self.server.hub.send(item.message, [ws for ws in to if ws not in self._expected])

    def _those_up_to_date(self) -> list[Connection]:
        return [ws for ws in self.server.hub.connections() if ws not in self._expected]

    def _go_on(self, position: str) -> None:
        """Go on from a position of the feed: what lies before it is sent late, or everybody is told of the loss."""
        for ws in self.stream.go_on(position, self._send_kept, self._those_up_to_date):
            ws.beside(partial(self._reset, ws))

    def _end(self, session_id: str) -> None:
        self._lately_ended.pop(session_id, None)
        self._lately_ended[session_id] = None
        if len(self._lately_ended) > _REMEMBERED:
            del self._lately_ended[next(iter(self._lately_ended))]
        sign_out(each for each in self.server.hub.connections() if each.identity.session_id == session_id)

    def _catch_up(self) -> None:
        """Look for what was missed."""
        self._rights_changed(None)
        open_ids = {connection.identity.session_id for connection in self.server.hub.connections()}
        with pymongo.timeout(self.server.settings.database_timeout):
            ended = EndedSession.ended_among(open_ids)
        for session_id in ended:
            self._end(session_id)


def _pause() -> None:
    """Give the other greenlets their turn: with 0 they would run, but no socket be read."""
    time.sleep(1e-6)
