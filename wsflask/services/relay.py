"""The service without a channel: what other processes published, or ended, takes effect in this one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pymongo

from ..documents import RIGHTS_CHANGED, EndedSession, Publication
from ..feed.base import Gap
from ..hub import Recipients, sign_out
from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..service import Host, Service

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

#: Ended sessions that are remembered in the process; a handshake takes milliseconds.
_REMEMBERED = 1000


class Relay(Service):
    """Send publications to their recipients and close the connections of ended sessions.

    Args:
        rights_changed: called with the users whose rights have changed; None: perhaps everyone's.
    """

    def __init__(
        self, server: Host | None = None, *, rights_changed: Callable[[Sequence[str] | None], None] = lambda _: None
    ) -> None:
        super().__init__(server)
        self._rights_changed = rights_changed
        #: In the order in which they ended; asked at every handshake.
        self._lately_ended: dict[str, None] = {}

    def has_ended(self, session_id: str) -> bool:
        """Return whether the session has ended lately: perhaps after a handshake had asked the database."""
        return session_id in self._lately_ended

    def run(self) -> None:
        publications = Publication._get_collection_name()
        changes = self.server.feed.watch(Publication, EndedSession, name="relay")
        try:
            self._catch_up()
            for change in changes:
                if isinstance(change, Gap):
                    self._catch_up()
                elif change.op != "I" or change.document is None:
                    continue
                elif change.collection == publications:
                    try:
                        self._relay(change.document)
                    except Exception:
                        _log.exception("the publication %s could not be sent", change.id)
                else:
                    self._end(str(change.id))
        finally:
            changes.close()

    def _relay(self, document: dict[str, Any]) -> None:
        to = Recipients(
            everyone=bool(document.get("everyone")),
            users=tuple(document.get("users", ())),
            groups=tuple(document.get("groups", ())),
        )
        hub = self.server.hub
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
