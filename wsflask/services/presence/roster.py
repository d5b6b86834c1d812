"""Who is in which room, and in what that differs from what was told last."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...encoding import quote
from .store import Entry, Key

__all__ = ["News", "Roster"]

#: The tabs of a user in a room.
_Tabs = dict[str, Entry]


@dataclass(frozen=True, slots=True)
class News:
    """What has changed in a room: JSON of the members that joined or changed, and of the ids of those who left."""

    joined: list[bytes]
    changed: list[bytes]
    left: list[bytes]
    #: How many are in the room now.
    total: int

    def payloads(self, room: str, most: int) -> Iterator[bytes]:
        """Yield it as payloads that tell of at most so many members each."""
        lists = {name: getattr(self, name) for name in ("joined", "changed", "left")}
        told = [(name, item) for name, items in lists.items() for item in items]
        for start in range(0, len(told), most):
            parts: dict[str, list[bytes]] = {name: [] for name in lists}
            for name, item in told[start : start + most]:
                parts[name].append(item)
            fields = (b',"%s":[%s]' % (name.encode(), b",".join(items)) for name, items in parts.items())
            yield b'{"room":%s%s,"total":%d}' % (quote(room), b"".join(fields), self.total)


class _Room:
    """The members of a room, and of those who changed since the last telling what was told."""

    __slots__ = ("before", "first_page", "order", "users")

    def __init__(self) -> None:
        self.users: dict[str, _Tabs] = {}
        self.before: dict[str, _Tabs] = {}
        #: Ids of those who were told, sorted, and the first page of them; None: to be made anew.
        self.order: list[str] | None = None
        self.first_page: bytes | None = None

    def told(self, user: str) -> _Tabs:
        """Return what was told of a user last."""
        before = self.before.get(user)
        return self.users.get(user, {}) if before is None else before

    def sorted(self) -> list[str]:
        """Return the ids of those who were told as being here."""
        if self.order is None:
            self.order = sorted(user for user in self.users.keys() | self.before.keys() if self.told(user))
        return self.order


class Roster:
    """The entries of all rooms. What it costs grows with what changes, not with who is there."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        #: Rooms with somebody who has changed.
        self._stirred: dict[str, None] = {}

    @property
    def has_news(self) -> bool:
        """Whether something is to be told."""
        return bool(self._stirred)

    def process_of(self, key: Key) -> str | None:
        """Return the lease under which an entry stands; None: there is no such entry."""
        room, user, tab = key
        found = self._rooms.get(room)
        entry = found.users.get(user, {}).get(tab) if found is not None else None
        return entry.process if entry is not None else None

    def put(self, entry: Entry) -> None:
        """Take an entry in, in place of one with the same key."""
        name, user, tab = entry.key
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Room()
        tabs = room.users.get(user)
        known = tabs.get(tab) if tabs is not None else None
        if known is None or (known.about, known.meta) != (entry.about, entry.meta):
            self._stir(name, room, user)
        room.users.setdefault(user, {})[tab] = entry

    def remove(self, key: Key) -> None:
        """Take an entry out, if it is there."""
        name, user, tab = key
        room = self._rooms.get(name)
        if room is None or tab not in room.users.get(user, {}):
            return
        self._stir(name, room, user)
        tabs = room.users[user]
        del tabs[tab]
        if not tabs:
            del room.users[user]

    def replace(self, entries: Iterable[Entry], spared: Iterable[Key] = ()) -> None:
        """Take these entries in place of all; those of the keys in `spared` stay."""
        rooms = self._rooms.values()
        gone = {entry.key for room in rooms for tabs in room.users.values() for entry in tabs.values()}
        gone.difference_update(spared)
        for entry in entries:
            self.put(entry)
            gone.discard(entry.key)
        for key in gone:
            self.remove(key)

    def news(self) -> Iterator[tuple[str, News]]:
        """Yield what has changed since the last call, by room; from now on it counts as told."""
        stirred, self._stirred = self._stirred, {}
        for name in stirred:
            room = self._rooms[name]
            before, room.before = room.before, {}
            news = News([], [], [], len(room.users))
            for user, tabs in before.items():
                now = room.users.get(user)
                if now is None:
                    if tabs:
                        news.left.append(quote(user))
                elif not tabs:
                    news.joined.append(_member(user, now))
                elif _shown(tabs) != _shown(now):
                    news.changed.append(_member(user, now))
            if news.joined or news.left:
                room.order = None
            room.first_page = None
            if not room.users:
                del self._rooms[name]
            yield name, news

    def page(self, name: str, most: int, after: str | None = None) -> bytes:
        """Return the fields of a page of members as JSON, without braces: `members`, `total` and `next`.

        It shows what was told last, so that what is told later comes on top of it.

        Args:
            after: the last id of the page before; None: the first page, which is encoded once for all who ask.
        """
        room = self._rooms.get(name)
        if room is None:
            return b'"members":[],"total":0,"next":null'
        if after is None and room.first_page is not None:
            return room.first_page
        order = room.sorted()
        start = bisect_right(order, after) if after is not None else 0
        users = order[start : start + most]
        following = quote(users[-1]) if start + most < len(order) else b"null"
        members = b",".join(_member(user, room.told(user)) for user in users)
        page = b'"members":[%s],"total":%d,"next":%s' % (members, len(order), following)
        if after is None:
            room.first_page = page
        return page

    def _stir(self, name: str, room: _Room, user: str) -> None:
        """Remember what was told of a user who changes now."""
        if user not in room.before:
            room.before[user] = dict(room.users.get(user, {}))
            self._stirred[name] = None


def _shown(tabs: _Tabs) -> dict[str, tuple[str, str]]:
    return {tab: (entry.about, entry.meta) for tab, entry in tabs.items()}


def _member(user: str, tabs: _Tabs) -> bytes:
    """Return a user as others are shown him; of what his tabs say of him that of the last, in the order of names."""
    about = tabs[max(tabs)].about.encode()
    listed = b",".join(b"%s:%s" % (quote(tab), tabs[tab].meta.encode()) for tab in sorted(tabs))
    return b'{"user":%s,"about":%s,"tabs":{%s}}' % (quote(user), about, listed)
