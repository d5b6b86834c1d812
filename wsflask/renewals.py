"""Load users again, in rounds, and have their connections and the services know what has become of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

import pymongo
from mongoengine import Document

from .config import Settings
from .connection import Connection
from .gather import Gather
from .hub import Hub, sign_out
from .outage import is_outage, log_failure
from .session import Sessions

__all__ = ["Item", "Office", "Renewals"]

_log = logging.getLogger(__name__)

#: Seconds between two rounds: the longest delay of a change, and the shortest time between two loads of one user.
_PAUSE = 0.1
#: Users that are loaded by one query, before others have their turn: some 10 ms.
_CHUNK = 100
#: Seconds that such a turn lasts at least: with 0 the process' other greenlets would run, but no socket be read.
_TURN = 1e-6
#: Seconds between two lines in the log on users whom their loader cannot load.
_QUIET = 30.0

#: A user's name, and whether it was said that his rights have changed: that counts though his document is the same.
Item = tuple[str, bool]


class Office(Protocol):
    """The server, as those who look after its users see it."""

    hub: Hub
    settings: Settings
    closing: set[Connection]

    @property
    def sessions(self) -> Sessions: ...
    def on_rights_changed(self, ws: Connection, user: Any) -> None: ...
    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any: ...


class Renewals:
    """Renew users by name: the id that Flask-Login has for them, or the primary key of their document.

    Those who are added at about the same time are loaded together, and each at most once a round.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._rounds: Gather[Item] = Gather("wsflask renewals", self._renew, self._put_off, limit=500, pause=_PAUSE)
        self._lock = threading.Lock()
        #: Whether a user has come with another id than his primary key: then names are searched for.
        self.has_aliases = False
        #: Those who could not be loaded.
        self._unsettled: dict[Item, None] = {}
        self._logged = 0.0
        #: Connections whose services are being told, and whether there is something new to tell already.
        self._telling: dict[Connection, bool] = {}

    def add(self, item: Item) -> None:
        """Have a user loaded again soon, if he is here or coming; never switches."""
        self._rounds.add(item)

    def retry(self) -> None:
        """Try again to load those who could not be; never switches."""
        unsettled, self._unsettled = self._unsettled, {}
        for item in unsettled:
            self._rounds.add(item)

    def tell(self, connection: Connection) -> None:
        """Have services judge the connection anew, one call at a time; never switches."""
        with self._lock:
            is_under_way = connection in self._telling
            self._telling[connection] = is_under_way
        if not is_under_way:
            connection.beside(partial(self._tell_services, connection))

    # --- what has become of them

    def _renew(self, items: list[Item]) -> None:
        """Load users again, each once, and have it count. May switch."""
        wanted = self._find(items)
        user_ids = list(wanted)
        for start in range(0, len(user_ids), _CHUNK):
            chunk = user_ids[start : start + _CHUNK]
            is_away = False
            try:
                missing = self._renew_chunk({user_id: wanted[user_id] for user_id in chunk})
            except Exception as error:
                is_away = self._log_failure(error)
                missing = set(user_ids[start:] if is_away else chunk)
            self._put_off((user_id, wanted[user_id]) for user_id in missing)
            if is_away:
                return  # Not one time-out after another.
            time.sleep(_TURN)
            self._await_services()

    def _find(self, items: Iterable[Item]) -> dict[str, bool]:
        """Return the ids of those who are here or coming, and whether their rights were said to have changed."""
        hub = self._office.hub
        coming = {connection.user_id for connection in list(hub.arriving)}
        aliases: dict[str, set[str]] = defaultdict(set)
        if self.has_aliases:
            for connection in [*hub.connections(), *list(hub.arriving)]:
                if isinstance(connection.user, Document):
                    aliases[str(connection.user.pk)].add(connection.user_id)
        found: dict[str, bool] = {}
        for name, is_told in items:
            known = {name} if name in coming or hub.connections_of(name) else set()
            for user_id in known | aliases.get(name, set()):
                found[user_id] = is_told or found.get(user_id, False)
        return found

    def _renew_chunk(self, wanted: Mapping[str, bool]) -> set[str]:
        """Load users again, and have it count; return the ids of those who could not be loaded. May switch."""
        before = {user_id: connections[0].identity for user_id, connections in self._connections_of(wanted)}
        with pymongo.timeout(self._office.settings.database_timeout):
            renewed, failures = self._office.sessions.renew(before)
        changed: set[str] = set()
        for user_id, connections in self._connections_of(renewed):
            now = renewed[user_id]
            if now is None:
                changed.add(user_id)
                sign_out(connections)
                continue
            for connection in connections:
                if wanted[user_id] or connection.identity.differs(now):
                    changed.add(user_id)
                    has_lost_group = not connection.groups <= now.groups
                    if self._office.hub.become(connection, now.in_session_of(connection.identity)):
                        connection.identity.loaded = 0.0
                        # What still waits for him may have been for a group that he has left.
                        if not (has_lost_group and connection.revoke()):
                            self.tell(connection)
        for connection in list(self._office.closing):
            if connection.user_id in changed:
                connection.revoke()
        for error in list(failures.values())[:1]:
            self._log_failure(error)
        return set(failures)

    def _connections_of(self, user_ids: Iterable[str]) -> Iterator[tuple[str, list[Connection]]]:
        """Yield the connections of each user who is here or coming."""
        coming: dict[str, list[Connection]] = defaultdict(list)
        for connection in list(self._office.hub.arriving):
            coming[connection.user_id].append(connection)
        for user_id in user_ids:
            connections = [*self._office.hub.connections_of(user_id), *coming.get(user_id, ())]
            if connections:
                yield user_id, connections

    def _put_off(self, items: Iterable[Item]) -> None:
        """Have them tried again at the next `retry`."""
        self._unsettled.update(dict.fromkeys(items))

    def _log_failure(self, error: Exception) -> bool:
        """Log it, seldom; return whether the database is away."""
        now, is_away = time.monotonic(), is_outage(error)
        if is_away or now - self._logged > _QUIET:
            self._logged = now
            log_failure(_log, error, "users could not be loaded; that is tried again")
        return is_away

    # --- what services make of it

    def _tell_services(self, connection: Connection) -> None:
        is_new = True
        try:
            while is_new:
                self._office.run_hook(self._office.on_rights_changed, connection, connection.user)
                with self._lock:
                    is_new = self._telling[connection] and connection.is_open
                    self._telling[connection] = False
                    if not is_new:
                        del self._telling[connection]
        except BaseException:  # The greenlet was killed.
            with self._lock:
                self._telling.pop(connection, None)
            self._put_off([(connection.user_id, True)])
            raise

    def _await_services(self) -> None:
        """Wait until services are not far behind, or for a second. May switch."""
        for _ in range(100):
            if len(self._telling) < self._office.settings.greetings_at_once:
                return
            time.sleep(0.01)
