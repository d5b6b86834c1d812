"""The MongoEngine documents that wsflask keeps, all in collections named `wsflask_*`."""

from .applied_command import KEPT_COMMANDS, AppliedCommand
from .clipboard_state import ClipboardState
from .ended_session import EndedSession
from .item import category_of, label_of, notification_item
from .notification import MESSAGE_MAX_LENGTH, Notification
from .presence import PresenceEntry, PresenceLease
from .publication import RIGHTS_CHANGED, KeptPublication, Publication
from .reading import (
    NotificationState,
    addressed_to,
    is_read,
    mark_all_read,
    mark_read,
    read_state,
    unread_count,
    unread_query,
)

__all__ = [
    "KEPT_COMMANDS",
    "MESSAGE_MAX_LENGTH",
    "RIGHTS_CHANGED",
    "AppliedCommand",
    "ClipboardState",
    "EndedSession",
    "KeptPublication",
    "Notification",
    "NotificationState",
    "PresenceEntry",
    "PresenceLease",
    "Publication",
    "addressed_to",
    "category_of",
    "is_read",
    "label_of",
    "mark_all_read",
    "mark_read",
    "notification_item",
    "read_state",
    "unread_count",
    "unread_query",
]
