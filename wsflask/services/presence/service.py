"""The service on the channel `presence`: who is here, user by user and tab by tab, in rooms."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ...connection import Connection
from ...encoding import dumps
from ...errors import ConfigError, Refusal
from ...protocol.codes import ERRORS, CloseCode
from ...protocol.messages import Message
from ...service import Host, Service
from .asking import Limits, parse_join, parse_list, parse_room, parse_update
from .crowd import Crowd
from .mongo import MongoPresenceStore
from .store import PresenceStore

__all__ = ["Presence"]

_log = logging.getLogger(__name__)

#: Seconds that a tab's worker has to be silent, beyond the linger, before its tabs count as gone: who comes back in
#: time has told of it by then.
_BEYOND = 3.0
#: The same, where the linger is short: several renewals may be late.
_PATIENCE = 8.0
#: Codes of a close after which a tab is not awaited.
_FINAL = frozenset({CloseCode.SESSION_ENDED, CloseCode.FORBIDDEN, CloseCode.TOO_MANY_BAD_MESSAGES})


class Presence(Service):
    """Tell clients who is in a room with them, on whichever worker, and who comes and goes.

    Args:
        may_join: whether a user may be in a room, and so learn who else is; asked at each join, and again when his
            rights change. None: everybody may be in the room "", and there is no other.
        describe: what others are shown of a user, such as his name; JSON values, 1 KiB. None: his id alone.
        linger: seconds for which a tab that has lost its connection still counts as being here.
    """

    channel = "presence"
    keeps_publications = False

    def __init__(
        self,
        server: Host | None = None,
        *,
        may_join: Callable[[Any, str], bool] | None = None,
        describe: Callable[[Any], Mapping[str, Any]] | None = None,
        linger: float = 5.0,
    ) -> None:
        super().__init__(server)
        if not 0 < linger < math.inf:
            raise ConfigError(f"Presence(linger={linger!r}); write seconds, above 0")
        self._may_join = may_join or (lambda user, room: room == "")
        self._describe = describe or (lambda user: {})
        self._linger = linger
        self._crowd: Crowd | None = None
        self._is_there = threading.Event()
        self._actions: dict[str, Callable[[Connection, Any, Any], Any]] = {
            "join": self._join,
            "update": self._update,
            "leave": self._leave,
            "list": self._list,
        }

    # --- hooks

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        """Join, update, leave, or list the members of a room that one is in."""
        name = message.get("action") if isinstance(message, dict) else None
        action = self._actions.get(name) if isinstance(name, str) else None
        if action is None:
            raise Refusal("bad_action" if isinstance(message, dict) else "bad_data")
        return action(ws, user, message.get("data"))

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        """Put the client out of rooms that he may not be in any more; show others what he is like now."""
        crowd = self._crowd
        for room in crowd.rooms_of(ws) if crowd is not None else ():
            try:
                about = self._about(user) if self._may_join(user, room) else None
            except Exception:
                _log.exception("presence of user %r in a room could not be judged; he is put out", ws.user_id)
                about = None
            if crowd is not None and about is not None:
                crowd.describe(ws, room, about)
            elif crowd is not None:
                crowd.leave(ws, room)
                ws.send(Message(self.channel, {"room": room, "code": "forbidden", "message": ERRORS["forbidden"]}))

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        """Await the client's tabs; after a sign-out they have left."""
        if self._crowd is not None:
            self._crowd.disconnected(ws, is_final=ws.close_code in _FINAL)

    def run(self) -> None:
        """Follow who is here."""
        settings = self.server.settings
        if self._crowd is None or self._crowd.feed is not self.server.feed:
            store = self._make_store()
            self._crowd = Crowd(self.channel, self.server, store, linger=self._linger, rooms=settings.presence_rooms)
        self._is_there.set()
        self._crowd.run()

    def _make_store(self) -> PresenceStore:
        patience = max(_PATIENCE, self._linger + _BEYOND)
        settings = self.server.settings
        if settings.redis_url is None:
            return MongoPresenceStore(self.server.feed, patience=patience, timeout=settings.database_timeout)
        from .redis import RedisPresenceStore  # its package is there: without it the server has not begun

        url, timeout = settings.redis_url, settings.database_timeout
        return RedisPresenceStore(url, self.server.secret, patience=patience, timeout=timeout)

    # --- actions

    def _join(self, ws: Connection, user: Any, data: Any) -> None:
        room, tab, meta = parse_join(data, self._limits)
        if not self._may_join(user, room):
            raise Refusal("forbidden")
        about = self._about(user)
        self._loaded().join(ws, (room, ws.user_id, tab), about, meta)

    def _update(self, ws: Connection, user: Any, data: Any) -> None:
        room, meta = parse_update(data, self._limits)
        self._loaded().update(ws, room, meta)

    def _leave(self, ws: Connection, user: Any, data: Any) -> None:
        self._loaded().leave(ws, parse_room(data))

    def _list(self, ws: Connection, user: Any, data: Any) -> None:
        room, after = parse_list(data)
        if room not in self._loaded().rooms_of(ws):
            raise Refusal("not_found")
        self._loaded().show(ws, room, after)

    def _loaded(self) -> Crowd:
        """Return the crowd once it is known who is here. May switch.

        Raises:
            Refusal: unavailable: the database was away since the process has begun.
        """
        timeout = self.server.settings.database_timeout
        if self._is_there.wait(timeout) and self._crowd is not None and self._crowd.is_loaded.wait(timeout):
            return self._crowd
        raise Refusal("unavailable")

    def _about(self, user: Any) -> str:
        """Return what others are shown of the user."""
        text = dumps(dict(self._describe(user)))
        if len(text) > self._limits.meta_bytes:
            raise ValueError(f"Presence(describe=…) returned more than {self._limits.meta_bytes} bytes of JSON")
        return text.decode()

    @property
    def _limits(self) -> Limits:
        return Limits(self.server.settings.presence_meta_bytes)
