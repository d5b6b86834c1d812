"""What the notifier's messages say."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, Protocol

from ..config import Settings
from ..documents import category_of, label_of, notification_item
from ..encoding import dumps
from ..protocol.messages import Message
from ..service import Service
from .inbox import Inbox

__all__ = ["Arrival", "Letter", "Letters"]

#: Key of the counts: a newer one says all that those before it did.
_COUNT = "unread"
#: Messages with a count that are kept for the next who has it too.
_KEPT = 256
#: Bytes that the name of a user or group takes, about.
_NAME = 80
#: Where an item says whether it was read; quotes inside of a JSON string are escaped, and what follows is ours.
_IS_READ = b'"is_read":'


class Letter(Protocol):
    """Makes the message for a count of unread notifications and the label of the newest."""

    def __call__(self, unread: int, label: str, /, is_read: bool = False) -> Message: ...


class Arrival:
    """A notification that has arrived: whom it is for, and what they get; encoded once for all of them."""

    __slots__ = (
        "__weakref__", "_channel", "_head", "_tail", "everyone", "groups", "is_gone", "key", "revision", "seq", "users",
    )  # fmt: skip

    def __init__(self, letters: Letters, raw: dict[str, Any], seq: str | None = None) -> None:
        self._channel = letters.channel
        self.key: bytes = raw["_id"].binary
        #: Its position in the feed, if that is known.
        self.seq = seq
        #: Whether it was deleted.
        self.is_gone = False
        #: How often it was changed.
        self.revision = -1
        self.revise(letters, raw)

    def revise(self, letters: Letters, raw: dict[str, Any]) -> None:
        """Take the notification as it is now: whom it is for, and what it says."""
        self.revision += 1
        self.everyone = raw.get("everyone") is True
        self.users = _names(raw.get("users"))
        self.groups = _names(raw.get("groups"))
        item = dumps(letters.item(raw, is_read=False))
        self._head, _, self._tail = item.rpartition(_IS_READ + b"false")

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self._head) + len(self._tail) + _NAME * (len(self.users) + len(self.groups))

    def is_for(self, user_id: str, groups: frozenset[str]) -> bool:
        """Return whether the user is to have it."""
        return not self.is_gone and (
            self.everyone or user_id in self.users or not self.groups.isdisjoint(groups)
        )

    def message(self, unread: int, label: str, /, is_read: bool = False) -> Message:
        """Return the message that tells of it."""
        last = b"".join((self._head, _IS_READ, b"true" if is_read else b"false", self._tail))
        payload = b'{"category":%b,"last":%b,"unread":%d}' % (dumps(label), last, unread)
        return Message(self._channel, payload_json=payload, seq=self.seq)


class Letters:
    """The messages of a service, with the labels that its server has for categories."""

    def __init__(self, service: Service) -> None:
        self._service = service
        #: The message with a count and nothing else.
        self.count: Letter = lru_cache(_KEPT)(self._new_count)
        #: The message of an arrival to those who missed it, at one revision of it.
        self.missed = lru_cache(_KEPT)(self._new_missed)

    @property
    def channel(self) -> str:
        """The service's channel."""
        return self._service.channel

    def item(self, raw: dict[str, Any], *, is_read: bool) -> dict[str, Any]:
        """Return a raw notification as clients get it."""
        labels, default = self._settings.notification_labels, self._settings.notification_default_category
        return notification_item(raw, labels=labels, default_category=default, is_read=is_read)

    def category(self, raw: dict[str, Any]) -> int:
        """Return the category of a raw notification."""
        return category_of(raw, self._settings.notification_default_category)

    def label(self, category: int | None) -> str:
        """Return the label of a category; None stands for the default."""
        known = self._settings.notification_default_category if category is None else category
        return label_of(known, self._settings.notification_labels)

    def label_in(self, inbox: Inbox) -> str:
        """Return the label of the newest unread notification."""
        return self.label(inbox.category)

    def _new_count(self, unread: int, label: str, /, is_read: bool = False) -> Message:
        return Message(self._service.channel, {"unread": unread, "category": label}, key=_COUNT)

    @staticmethod
    def _new_missed(arrival: Arrival, _: int, unread: int, label: str, is_read: bool) -> Message:
        return arrival.message(unread, label, is_read)

    @cached_property
    def _settings(self) -> Settings:
        return self._service.server.settings


def _names(given: Any) -> frozenset[str]:
    """Return the names in a list that anybody may have written."""
    return frozenset(name for name in given if isinstance(name, str)) if isinstance(given, list) else frozenset()
