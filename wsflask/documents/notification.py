"""A notification: what is said, and to whom."""

from __future__ import annotations

from typing import Any

from mongoengine import (
    BooleanField,
    DictField,
    Document,
    ListField,
    StringField,
    ValidationError,
)
from pymongo.errors import OperationFailure

from .fields import StrictIntField, UTCDateTimeField, utc_now

__all__ = ["MESSAGE_MAX_LENGTH", "Notification"]

#: Characters in one message: it is shown in a bell's list, and goes to every recipient's outbox.
MESSAGE_MAX_LENGTH = 10_000
#: Largest category: what fits every client's 32-bit integer.
_MAX_CATEGORY = 2**31 - 1
#: Name of the index that makes old notifications expire, and MongoDB's code for one with another time.
_RETENTION, _OTHER_OPTIONS = "wsflask_retention", 85


class Notification(Document):
    """Something that users are told; `Notifier.notify(notification)` saves it, and that sends it.

    It needs at least one recipient: `everyone=True`, ids of `users`, or names of `groups`. The times are set by
    `save()`; `created_user` and `changed_user` are ids that the application may fill in.
    """

    meta = {
        "collection": "wsflask_notifications",
        "allow_inheritance": True,
        "strict": False,
        "index_cls": False,
        "indexes": [
            {"fields": ["everyone", "_id"], "cls": False},
            {"fields": ["users", "_id"], "cls": False},
            {"fields": ["groups", "_id"], "cls": False},
        ],
    }

    message = StringField(required=True, min_length=1, max_length=MESSAGE_MAX_LENGTH)
    #: An integer with a label in the setting `WSFLASK_NOTIFICATION_LABELS`: 10 is "success".
    category = StrictIntField(required=True, default=10, min_value=0, max_value=_MAX_CATEGORY)
    #: What the reader can do about it: dictionaries, handed to the client as they are.
    actions = ListField(DictField())
    created_dt = UTCDateTimeField()
    changed_dt = UTCDateTimeField()
    created_user = StringField()
    changed_user = StringField()
    everyone = BooleanField(required=True, default=False)
    #: Ids of users, as `user.get_id()` gives them.
    users = ListField(StringField())
    groups = ListField(StringField())

    def clean(self) -> None:
        """Refuse a notification to nobody."""
        if not (self.everyone or self.users or self.groups):
            raise ValidationError("A notification needs everyone=True, users=[...] or groups=[...]")

    def save(self, *args: Any, **kwargs: Any) -> Notification:
        """Save, after setting the times: a first save keeps those that were given, later ones change `changed_dt`."""
        now = utc_now()
        is_new = self._created
        self.created_dt = self.created_dt or now
        self.changed_dt = (self.changed_dt or self.created_dt) if is_new else now
        super().save(*args, **kwargs)
        return self

    @classmethod
    def keep_for(cls, days: float) -> None:
        """Have the database delete notifications this many days after they were created. May switch."""
        collection, seconds = cls._get_collection(), int(days * 86400)
        try:
            collection.create_index("created_dt", name=_RETENTION, expireAfterSeconds=seconds)
        except OperationFailure as error:
            if error.code != _OTHER_OPTIONS:
                raise
            index = {"name": _RETENTION, "expireAfterSeconds": seconds}
            collection.database.command("collMod", collection.name, index=index)
