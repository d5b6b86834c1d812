"""A notification that has changed, on its way to the boxes of those it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..connection import Connection
from ..hub import Hub
from ..protocol.messages import V1, Message
from .inbox import Inbox
from .inboxes import Box
from .letters import Letter

__all__ = ["Addressees", "Round"]


class Addressees:
    """Whom a raw notification names, by user or by group; asked without a search, however many they are."""

    __slots__ = ("_groups", "_users")

    def __init__(self, notification: Mapping[str, Any]) -> None:
        self._users = frozenset(notification.get("users") or ())
        self._groups = frozenset(notification.get("groups") or ())

    def __contains__(self, inbox: Inbox) -> bool:
        return inbox.user_id in self._users or not self._groups.isdisjoint(inbox.groups)


@dataclass(slots=True, kw_only=True)
class Round:
    """Revises boxes, and tells their connections: one frame for all who have the same count and category.

    A box is visited once, whether its turn comes or something else happens to it first.
    """

    #: Larger than that of every earlier round.
    number: int
    #: The notification's id.
    key: bytes
    #: Its category; None if it was deleted.
    category: int | None
    #: Whom it names; None if it goes to everyone, or was deleted.
    addressees: Addressees | None
    #: Its category on the bulletin before and now; None if it was or is not there.
    was_posted: int | None
    is_posted: int | None
    #: Whether only those are told for whom it counts now, and did not before.
    is_arrival: bool
    #: Its position, where it is new in the stream of clients of the form v1: they are told in any case; "" else.
    seq: str
    #: Those of them with a count of up to a later position, in which it may have been.
    fresh: Mapping[Connection, str]
    letter: Letter
    #: Returns the label of the newest unread notification in an inbox.
    label_of: Callable[[Inbox], str]
    #: That label for every box without unread ones of its own, if it is the same for all.
    newest: str | None
    _messages: dict[tuple[int, str, bool], Message] = field(default_factory=dict)

    def visit(self, boxes: Iterable[Box], hub: Hub) -> None:
        """Visit those of the boxes that were not visited yet; never blocks."""
        told: dict[tuple[int, str, bool], list[Connection]] = {}
        number, key, was, posted = self.number, self.key, self.was_posted, self.is_posted
        addressees, is_arrival, newest = self.addressees, self.is_arrival, self.newest
        for box in boxes:
            if box.told >= number:
                continue
            box.told = number
            own = self.category if addressees is not None and box in addressees else None
            before, after = box.revise(key, own, was, posted)
            greeted, is_read = box.greeted, False
            if before == after or (is_arrival and before is not None):
                if not self.seq or (addressees is not None and box not in addressees):
                    continue
                if not (greeted := tuple(filter(self._streams_to, greeted))):
                    continue
                is_read = box.is_read(key)
            label = newest if newest is not None and box.own is None else self.label_of(box)
            told.setdefault((box.unread, label, is_read), []).extend(greeted)
        for what, connections in told.items():
            if what not in self._messages:
                self._messages[what] = self.letter(*what)
            hub.send(self._messages[what], connections)

    def _streams_to(self, ws: Connection) -> bool:
        return ws.form == V1 and self.fresh.get(ws, "") < self.seq
