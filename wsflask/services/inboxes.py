"""The inboxes of those who are connected, found by user and by group."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from bson import ObjectId

from ..connection import Connection
from ..feed.base import Change
from .inbox import Inbox

__all__ = ["Box", "Inboxes", "unread_of"]

_Key = tuple[str, frozenset[str]]
_Index = dict[Any, dict[_Key, None]]


@dataclass(slots=True, eq=False)
class Box:
    """An inbox with the connections that look into it."""

    inbox: Inbox
    #: Those who were told the count; only they get what follows.
    greeted: dict[Connection, None] = field(default_factory=dict)
    #: Those who wait for the inbox to be loaded.
    waiting: dict[Connection, None] = field(default_factory=dict)
    #: Changes that came while it was being loaded.
    pending: list[Change] = field(default_factory=list)


class Inboxes:
    """One box for each user and set of groups: two tabs of one user share it, whatever their number."""

    def __init__(self) -> None:
        self._boxes: dict[_Key, Box] = {}
        self._by_connection: dict[Connection, Box] = {}
        self._by_user: _Index = {}
        self._by_group: _Index = {}

    def __len__(self) -> int:
        return len(self._boxes)

    def __contains__(self, box: object) -> bool:
        return isinstance(box, Box) and self._boxes.get(_key(box.inbox)) is box

    def all(self) -> list[Box]:
        """Return every box."""
        return list(self._boxes.values())

    def join(self, ws: Connection) -> tuple[Box, bool]:
        """Let the connection wait at its box; return that, and whether it was made for it, and has to be loaded."""
        key = (ws.user_id, ws.groups)
        box = self._boxes.get(key)
        is_new = box is None
        if box is None:
            box = self._boxes[key] = Box(Inbox(*key))
            self._by_user.setdefault(ws.user_id, {})[key] = None
            for group in ws.groups:
                self._by_group.setdefault(group, {})[key] = None
        box.waiting[ws] = None
        self._by_connection[ws] = box
        return box, is_new

    def leave(self, ws: Connection) -> None:
        """Take the connection from its box; a box without connections is dropped."""
        box = self._by_connection.pop(ws, None)
        if box is None:
            return
        box.greeted.pop(ws, None)
        box.waiting.pop(ws, None)
        if not box.greeted and not box.waiting:
            key = _key(box.inbox)
            del self._boxes[key]
            _discard(self._by_user, box.inbox.user_id, key)
            for group in box.inbox.groups:
                _discard(self._by_group, group, key)

    def of(self, ws: Connection) -> Box | None:
        """Return the connection's box, if it has one."""
        return self._by_connection.get(ws)

    def of_user(self, user_id: Hashable) -> list[Box]:
        """Return the boxes of one user."""
        return [self._boxes[key] for key in self._by_user.get(user_id, ())]

    def addressed(self, notification: Mapping[str, Any]) -> list[Box]:
        """Return the boxes of those whom the raw notification goes to."""
        if notification.get("everyone") is True:
            return self.all()
        keys: dict[_Key, None] = {}
        for user_id in notification.get("users") or ():
            keys.update(self._by_user.get(user_id, {}))
        for group in notification.get("groups") or ():
            keys.update(self._by_group.get(group, {}))
        return [self._boxes[key] for key in keys]


def unread_of(
    boxes: Iterable[Box], states: Mapping[str, Mapping[str, Any]], found: Iterable[Mapping[str, Any]], default: int
) -> dict[Box, dict[ObjectId, int]]:
    """Return for each box the categories of those raw notifications that go to it and lie beyond its watermark.

    The work grows with what is unread, not with the boxes times the notifications.
    """
    unread: dict[Box, dict[ObjectId, int]] = {box: {} for box in boxes}
    by_name: dict[tuple[str, str], list[Box]] = defaultdict(list)
    for box in unread:
        by_name["users", box.inbox.user_id].append(box)
        for group in box.inbox.groups:
            by_name["groups", group].append(box)
    to_everyone: list[tuple[ObjectId, int]] = []
    for raw in found:
        category = raw.get("category", default)
        if raw.get("everyone") is True:
            to_everyone.append((raw["_id"], category))
            continue
        for way in ("users", "groups"):
            for name in raw.get(way) or ():
                for box in by_name.get((way, name), ()):
                    unread[box][raw["_id"]] = category
    to_everyone.sort(key=itemgetter(0))
    for box, own in unread.items():
        watermark = (states.get(box.inbox.user_id) or {}).get("read_before")
        start = bisect_right(to_everyone, watermark, key=itemgetter(0)) if watermark is not None else 0
        own.update(to_everyone[start:])
    return unread


def _key(inbox: Inbox) -> _Key:
    return inbox.user_id, inbox.groups


def _discard(index: _Index, name: str, key: _Key) -> None:
    members = index[name]
    del members[key]
    if not members:
        del index[name]
