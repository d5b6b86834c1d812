"""What the notifier's messages say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

from ..config import Settings
from ..documents import category_of, label_of, notification_item
from ..encoding import dumps
from ..protocol.messages import Message
from ..service import Service
from .inbox import Inbox

__all__ = ["Letter", "Letters"]

#: Makes the message for a count of unread notifications and the label of the newest.
Letter = Callable[[int, str], Message]

#: Key of the messages with a count and nothing else: each says how many there are in all.
_COUNT = "unread"
#: Messages with a count that are kept for the next who has it too.
_KEPT = 256


class Letters:
    """The messages of a service, with the labels that its server has for categories."""

    def __init__(self, service: Service) -> None:
        self._service = service
        #: The message with a count and nothing else.
        self.count: Letter = lru_cache(_KEPT)(self._new_count)

    def arrival(self, raw: dict[str, Any]) -> Letter:
        """Return what makes the messages that tell of a raw notification; it is encoded once for all of them."""
        last = b""

        def letter(unread: int, label: str) -> Message:
            nonlocal last
            last = last or dumps(self.item(raw, is_read=False))
            payload = b'{"category":%b,"last":%b,"unread":%d}' % (dumps(label), last, unread)
            return Message(self._service.channel, payload_json=payload)

        return letter

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

    def _new_count(self, unread: int, label: str) -> Message:
        return Message(self._service.channel, {"unread": unread, "category": label}, key=_COUNT)

    @cached_property
    def _settings(self) -> Settings:
        return self._service.server.settings
