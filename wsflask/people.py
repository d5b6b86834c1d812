"""The users who are connected to this process: whose documents are followed, and who has changed lately."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import pymongo
from mongoengine import Document

from .connection import Connection
from .errors import ConfigError
from .feed.base import Feed, Gap
from .hub import sign_out
from .outage import log_failure
from .protocol.codes import CloseCode
from .renewals import Item, Office, Renewals
from .tasks import Supervised, supervise

__all__ = ["People", "names_of"]

_log = logging.getLogger(__name__)

#: Changed users that are remembered in the process, for those whose handshake began before the change.
_REMEMBERED = 1000
#: Connections whose sessions are checked by one query.
_CHECKED = 100


class Front(Office, Protocol):
    """The server, as those who are connected to it see it."""

    @property
    def feed(self) -> Feed: ...


class People:
    """Have users renewed who have changed, or may have: by what the feed tells of their documents, and on request.

    A handshake that had loaded its user before the change is not missed: the user is renewed when it is let in.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._renewals = Renewals(front)
        #: Has services judge a connection anew, one call at a time; never switches.
        self.tell = self._renewals.tell
        self._lock = threading.Lock()
        self._is_started = False
        self._tasks: list[Supervised] = []
        #: The classes of users that have come.
        self._classes: set[type[Document]] = set()
        #: Monotonic time of the latest changes, in the order of these times.
        self._lately: dict[Item, float] = {}
        #: Who was loaded before may have changed unseen since: his document (False), or his rights (True).
        self._since = {False: 0.0, True: 0.0}
        #: Monotonic time before which no session's cookie expires.
        self._expiry = math.inf

    def start(self) -> None:
        """Begin to follow the users who come, and those who are here already."""
        self._is_started = True
        self._tasks = [supervise("wsflask sessions", self._check)]
        for connection in self._front.hub.connections():
            self._meet(connection)

    def stop(self) -> None:
        """Follow nobody any more. May switch; may be called twice."""
        self._is_started = False
        for task in self._tasks:
            task.stop(0.2)
        self._tasks = []
        self._classes.clear()

    def tick(self) -> None:
        """Try again to load those who could not be, and have sessions expire; called about once a second."""
        self._renewals.retry()
        if time.monotonic() >= self._expiry:
            self._expire(time.monotonic())

    def entered(self, connection: Connection) -> None:
        """Note a connection that was taken into the hub; its user may have changed since he was loaded."""
        identity = connection.identity
        self._expiry = min(self._expiry, identity.expires)
        names = self._meet(connection)
        loaded, identity.loaded = identity.loaded, 0.0
        for is_told, since in self._since.items():
            if loaded <= since or any(self._lately.get((name, is_told), 0.0) >= loaded for name in names):
                self._renewals.add((identity.user_id, is_told))

    def rights_changed(self, names: Sequence[str] | None) -> None:
        """Have these users renewed, and services judge them anew; None: everyone who is here or coming."""
        if names is None:
            self._renew_all(is_told=True)
        else:
            for name in names:
                self._note((name, True))

    # --- whose documents are followed

    def _meet(self, connection: Connection) -> set[str]:
        """Follow the class of the user's document, if it is one; return his names."""
        user, user_id = connection.user, connection.user_id
        if not isinstance(user, Document):
            return {user_id}
        if self._is_started and type(user) not in self._classes:
            self._classes.add(type(user))
            name = f"wsflask users, {type(user).__name__}"
            self._tasks.append(supervise(name, partial(self._follow, type(user), name)))
        names = {user_id, str(user.pk)}
        self._renewals.has_aliases |= len(names) > 1
        return names

    def _follow(self, document_class: type[Document], name: str) -> None:
        try:
            changes = self._front.feed.watch(document_class, name=name)
        except ConfigError as error:
            _log.warning("a change of a user counts within WSFLASK_SESSION_CHECK_INTERVAL, not at once: %s", error)
            return
        with changes:
            self._renew_all(is_told=False)
            for change in changes:
                if isinstance(change, Gap):
                    self._renew_all(is_told=False)
                else:
                    self._note((str(change.id), False))

    # --- who has changed

    def _renew_all(self, *, is_told: bool) -> None:
        self._since[is_told] = time.monotonic()
        for user_id in self._front.hub.user_ids():
            self._renewals.add((user_id, is_told))

    def _note(self, item: Item) -> None:
        with self._lock:
            self._lately.pop(item, None)
            self._lately[item] = time.monotonic()
            if len(self._lately) > _REMEMBERED:
                oldest = next(iter(self._lately))
                self._since[oldest[1]] = max(self._since[oldest[1]], self._lately.pop(oldest))
        self._renewals.add(item)

    # --- the back-stop

    def _expire(self, now: float) -> None:
        """Send those away whose session's cookie has expired; a page may have got them another one meanwhile."""
        self._expiry = math.inf
        for connection in self._front.hub.connections():
            if connection.identity.expires <= now:
                connection.close(CloseCode.RESTART, "come back")
            else:
                self._expiry = min(self._expiry, connection.identity.expires)

    def _check(self) -> None:
        """Check everyone once in each interval, some at a time over its last tenth: loading users takes the loop."""
        interval = self._front.settings.session_check_interval
        while True:
            time.sleep(0.9 * interval)
            connections = self._front.hub.connections()
            pause = 0.1 * interval / max(len(connections) / _CHECKED, 1)
            for start in range(0, len(connections), _CHECKED):
                time.sleep(pause)
                if self._check_some(connections[start : start + _CHECKED]):
                    break  # Not one time-out after another.

    def _check_some(self, connections: Sequence[Connection]) -> bool:
        """Check the sessions of these connections; return whether the database is away."""
        for connection in connections:
            self._renewals.add((connection.user_id, False))
        try:
            with pymongo.timeout(self._front.settings.database_timeout):
                ended = self._front.sessions.ended(connections)
        except Exception as error:
            return log_failure(_log, error, "sessions could not be checked; they are tried again at the next interval")
        sign_out(connection for connection in connections if connection.identity.session_id in ended)
        return False


def names_of(user: Any) -> list[str]:
    """Return the names of a user: of a user object its id and the primary key of its document, else the id itself."""
    if not hasattr(user, "get_id"):
        return [str(user)]
    keys = [user.get_id(), getattr(user, "pk", None)]
    return list(dict.fromkeys(str(key) for key in keys if key is not None))
