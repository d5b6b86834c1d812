"""The inboxes of those who are connected, found by user and by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from ..connection import Connection
from ..feed.base import Change
from .bulletin import Bulletin
from .inbox import Inbox

__all__ = ["Box", "Inboxes", "unread_of"]


class Box(Inbox):
    """An inbox with the connections that look into it; small, for there is one for each user."""

    __slots__ = ("as_of", "greeted", "pending", "told", "waiting")

    def __init__(self, user_id: str, groups: frozenset[str], bulletin: Bulletin) -> None:
        super().__init__(user_id, groups, bulletin)
        #: Those who were told the count; only they get what follows.
        self.greeted: tuple[Connection, ...] = ()
        #: Those who wait for the inbox to be loaded.
        self.waiting: tuple[Connection, ...] = ()
        #: Changes that came while it was being loaded.
        self.pending: list[Change] | None = None
        #: Position that is not before what was queried when it was loaded; "" if there are none.
        self.as_of = ""
        #: Number of the latest round (see `rounds`) that has been here.
        self.told = 0


class Inboxes:
    """One box for each user and set of groups: two tabs of one user share it, whatever their number."""

    def __init__(self, bulletin: Bulletin) -> None:
        self._bulletin = bulletin
        self._by_user: dict[Any, tuple[Box, ...]] = {}
        self._by_group: dict[Any, dict[Box, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_user.values()))

    def __contains__(self, box: object) -> bool:
        return isinstance(box, Box) and box in self._by_user.get(box.user_id, ())

    def all(self) -> list[Box]:
        """Return every box."""
        return [box for boxes in self._by_user.values() for box in boxes]

    def join(self, ws: Connection) -> Box:
        """Let the connection wait at its box, and return that."""
        groups = ws.groups
        boxes = self._by_user.get(ws.user_id, ())
        box = next((box for box in boxes if box.groups is groups or box.groups == groups), None)
        if box is None:
            box = Box(ws.user_id, ws.groups, self._bulletin)
            self._by_user[ws.user_id] = (*self._by_user.get(ws.user_id, ()), box)
            for group in ws.groups:
                self._by_group.setdefault(group, {})[box] = None
        box.waiting += (ws,)
        return box

    def leave(self, ws: Connection) -> None:
        """Take the connection from its box; a box without connections is dropped."""
        box = self.of(ws)
        if box is None:
            return
        box.greeted = tuple(other for other in box.greeted if other is not ws)
        box.waiting = tuple(other for other in box.waiting if other is not ws)
        if not box.greeted and not box.waiting:
            rest = tuple(other for other in self._by_user.pop(box.user_id) if other is not box)
            if rest:
                self._by_user[box.user_id] = rest
            for group in box.groups:
                members = self._by_group[group]
                del members[box]
                if not members:
                    del self._by_group[group]

    def of(self, ws: Connection) -> Box | None:
        """Return the connection's box, if it has one: its user may be in other groups by now."""
        boxes = self._by_user.get(ws.user_id, ())
        return next((box for box in boxes if ws in box.greeted or ws in box.waiting), None)

    def of_user(self, user_id: Hashable) -> list[Box]:
        """Return the boxes of one user."""
        return list(self._by_user.get(user_id, ()))

    def addressed(self, notification: Mapping[str, Any]) -> list[Box]:
        """Return the boxes of those whom the raw notification names, by user or by group."""
        boxes: dict[Box, None] = {}
        for user_id in notification.get("users") or ():
            boxes.update(dict.fromkeys(self._by_user.get(user_id, ())))
        for group in notification.get("groups") or ():
            boxes.update(self._by_group.get(group, {}))
        return list(boxes)


def unread_of(
    boxes: Iterable[Box], found: Iterable[dict[str, Any]], bulletin: Bulletin, category: Callable[[dict[str, Any]], int]
) -> dict[Box, dict[bytes, int]]:
    """Return for each box the categories of those raw notifications that go to it, the bulletin's aside.

    The work grows with what was found, not with the boxes times the notifications.

    Args:
        category: returns the category of a raw notification.
    """
    unread: dict[Box, dict[bytes, int]] = {box: {} for box in boxes}
    by_name: dict[tuple[str, str], list[Box]] = defaultdict(list)
    for box in unread:
        by_name["users", box.user_id].append(box)
        for group in box.groups:
            by_name["groups", group].append(box)
    to_everyone: dict[bytes, int] = {}
    for raw in found:
        key = raw["_id"].binary
        if raw.get("everyone") is True:
            if key not in bulletin:
                to_everyone[key] = category(raw)
            continue
        for way in ("users", "groups"):
            for name in raw.get(way) or ():
                for box in by_name.get((way, name), ()):
                    unread[box][key] = category(raw)
    if to_everyone:
        for own in unread.values():
            own.update(to_everyone)
    return unread
