"""What one connected user has not read, kept in memory so that a fan-out asks no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId

__all__ = ["Inbox"]

_Raw = Mapping[str, Any]


class Inbox:
    """The unread notifications of one user in one set of groups; holds for all connections that share them.

    Everything it is told it may be told twice, and in any order: a notification counts by its id, a read state by its
    `rev`. At rest `unread` is what `documents.unread_query` counts.
    """

    __slots__ = ("_before", "_newest", "_read", "_rev", "_unread", "groups", "is_loaded", "user_id")

    def __init__(self, user_id: str, groups: frozenset[str]) -> None:
        self.user_id = user_id
        self.groups = groups
        #: Whether `load` has been called; what is told earlier has to be told again after it.
        self.is_loaded = False
        self._before: ObjectId | None = None
        self._read: frozenset[ObjectId] = frozenset()
        self._rev = 0
        self._unread: dict[ObjectId, int] = {}
        self._newest: ObjectId | None = None

    @property
    def unread(self) -> int:
        """How many the user has not read."""
        return len(self._unread)

    @property
    def rev(self) -> int:
        """The revision of the read state."""
        return self._rev

    @property
    def ids(self) -> frozenset[ObjectId]:
        """The ids of what the user has not read."""
        return frozenset(self._unread)

    @property
    def category(self) -> int | None:
        """The category of the newest unread notification; None when there is none."""
        if self._newest is None and self._unread:
            self._newest = max(self._unread)
        return self._unread[self._newest] if self._newest is not None else None

    def load(self, state: _Raw | None, unread: Iterable[tuple[ObjectId, int]], *, since_rev: int | None = None) -> None:
        """Take what was queried: the read state, and the unread ids with their categories.

        Args:
            state: the raw NotificationState, None if there is none.
            unread: everything unread by that state; more does no harm.
            since_rev: `rev` when the query began. If it has grown since, the read state known here is the newer one.
        """
        if not (self.is_loaded and since_rev is not None and self._rev > max(since_rev, _rev(state))):
            self._take(state)
        self._unread = {identity: category for identity, category in unread if not self.is_read(identity)}
        self._newest = None
        self.is_loaded = True

    def is_addressed(self, notification: _Raw) -> bool:
        """Return whether the raw notification goes to this user."""
        return (
            notification.get("everyone") is True
            or self.user_id in (notification.get("users") or ())
            or not self.groups.isdisjoint(notification.get("groups") or ())
        )

    def is_read(self, identity: ObjectId) -> bool:
        """Return whether the user has read the notification with this id."""
        return (self._before is not None and identity <= self._before) or identity in self._read

    def put(self, identity: ObjectId, category: int) -> bool:
        """Take in a notification for this user; return whether count or category of the unread changed."""
        if self.is_read(identity) or self._unread.get(identity) == category:
            return False
        if self._newest is not None and identity > self._newest:
            self._newest = identity
        self._unread[identity] = category
        return True

    def discard(self, identity: ObjectId) -> bool:
        """Forget a notification; return whether it was unread."""
        if self._unread.pop(identity, None) is None:
            return False
        if identity == self._newest:
            self._newest = None
        return True

    def apply(self, state: _Raw) -> bool:
        """Take a raw read state, if it is newer; return False if it makes something unread: then `load` is needed."""
        if _rev(state) <= self._rev:
            return True
        before, read = state.get("read_before"), frozenset(state.get("read") or ())
        grows = self._before is None or (before is not None and before >= self._before)
        if not (grows and all(identity in read or _is_up_to(identity, before) for identity in self._read)):
            return False
        self._take(state)
        self._unread = {identity: category for identity, category in self._unread.items() if not self.is_read(identity)}
        self._newest = None
        return True

    def _take(self, state: _Raw | None) -> None:
        self._rev = _rev(state)
        self._before = state.get("read_before") if state else None
        self._read = frozenset(state.get("read") or ()) if state else frozenset()


def _rev(state: _Raw | None) -> int:
    return int(state.get("rev") or 0) if state else 0


def _is_up_to(identity: ObjectId, before: ObjectId | None) -> bool:
    return before is not None and identity <= before
