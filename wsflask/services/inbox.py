"""What one connected user has not read, kept in memory so that a fan-out asks no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId

from .bulletin import Bulletin

__all__ = ["Inbox"]

_Raw = Mapping[str, Any]
_NONE: frozenset[bytes] = frozenset()


class Inbox:
    """The unread notifications of one user in one set of groups; holds for all connections that share them.

    Those to everyone are on the bulletin, which all inboxes share; an inbox holds how many of them count, and the
    others by id. At rest `unread` is what `documents.unread_query` counts. Everything may be told twice, and in any
    order: a notification counts by its id, a read state by its `rev`. Ids are bytes, as on the bulletin.
    """

    __slots__ = ("_before", "_bulletin", "_newest", "_read", "_rev", "groups", "is_loaded", "own", "unread", "user_id")

    def __init__(self, user_id: str, groups: frozenset[str], bulletin: Bulletin) -> None:
        self.user_id = user_id
        self.groups = groups
        #: Whether `load` has been called; what is told earlier has to be told again after it.
        self.is_loaded = False
        #: How many the user has not read.
        self.unread = 0
        #: Unread ones that are not on the bulletin, with their categories: to the user or his groups, and those to
        #: everyone that a query has found before the feed told of them. None: there are none.
        self.own: dict[bytes, int] | None = None
        self._bulletin = bulletin
        self._before = b""
        self._read = _NONE
        self._rev = 0
        #: The newest of `own`, if it is known.
        self._newest: bytes | None = None

    @property
    def rev(self) -> int:
        """The revision of the read state."""
        return self._rev

    @property
    def category(self) -> int | None:
        """The category of the newest unread notification; None when there is none."""
        own = self.own
        newest, category = b"", None
        if self.unread > (len(own) if own is not None else 0):
            newest, category = self._bulletin.newest(self._before, self._read)
        if own is not None:
            if self._newest is None:
                self._newest = max(own)
            if self._newest > newest:
                category = own[self._newest]
        return category

    def load(self, state: _Raw | None, unread: Iterable[tuple[bytes, int]], *, since_rev: int | None = None) -> None:
        """Take what was queried: the read state, and the unread ids with their categories.

        Args:
            state: the raw NotificationState, None if there is none.
            unread: everything unread by that state, the bulletin aside; more does no harm.
            since_rev: `rev` when the query began. If it has grown since, the read state known here is the newer one.
        """
        if not (self.is_loaded and since_rev is not None and self._rev > max(since_rev, _rev(state))):
            self._take(state)
        self.is_loaded = True
        self._keep(unread)

    def is_read(self, key: bytes) -> bool:
        """Return whether the user has read the notification with this id."""
        return key <= self._before or key in self._read

    def counts(self, key: bytes) -> bool:
        """Return whether the notification with this id is one of the unread."""
        return not self.is_read(key) and (key in self._bulletin or (self.own is not None and key in self.own))

    def revise(
        self, key: bytes, own: int | None, was_posted: int | None, is_posted: int | None
    ) -> tuple[int | None, int | None]:
        """Take in how one notification has changed; return the category with which it counted before, and counts now.

        None stands for a notification that is not there, and as an answer for one that does not count.

        Args:
            key: its id.
            own: its category, if it goes to this user or his groups.
            was_posted: its category on the bulletin before.
            is_posted: its category on the bulletin now.
        """
        if key <= self._before or key in self._read:
            return None, None
        before = was_posted if self.own is None else self._pop(key, was_posted)
        after = is_posted
        if is_posted is None and own is not None:
            after = own
            self._put(key, own)
        self.unread += (after is not None) - (before is not None)
        return before, after

    def apply(self, state: _Raw) -> bool:
        """Take a raw read state, if it is newer; return False if it makes something unread: then `load` is needed."""
        if _rev(state) <= self._rev:
            return True
        before, read = _before(state), _read(state)
        if before < self._before or not all(key in read or key <= before for key in self._read):
            return False
        self._take(state)
        self._keep((self.own or {}).items())
        return True

    def _take(self, state: _Raw | None) -> None:
        self._rev = _rev(state)
        self._before = _before(state)
        self._read = _read(state)

    def _keep(self, own: Iterable[tuple[bytes, int]]) -> None:
        bulletin = self._bulletin
        self.own = {key: category for key, category in own if not self.is_read(key) and key not in bulletin} or None
        self._newest = None
        self.unread = self._bulletin.unread(self._before, self._read) + len(self.own or ())

    def _put(self, key: bytes, category: int) -> None:
        self.own = self.own or {}
        if self._newest is not None and key > self._newest:
            self._newest = key
        self.own[key] = category

    def _pop(self, key: bytes, default: int | None) -> int | None:
        if self.own is None or key not in self.own:
            return default
        category = self.own.pop(key)
        if key == self._newest:
            self._newest = None
        self.own = self.own or None
        return category


def _rev(state: _Raw | None) -> int:
    return int(state.get("rev") or 0) if state else 0


def _before(state: _Raw | None) -> bytes:
    before: ObjectId | None = state.get("read_before") if state else None
    return before.binary if before is not None else b""


def _read(state: _Raw | None) -> frozenset[bytes]:
    read = state.get("read") if state else None
    return frozenset(identity.binary for identity in read) if read else _NONE
