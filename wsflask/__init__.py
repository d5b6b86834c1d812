"""Real-time services for a Flask UI: notifications, a clipboard, live views of MongoEngine documents."""

from .config import Settings
from .connection import Connection
from .documents import Notification
from .errors import ConfigError, Refusal, WSFlaskError
from .feed import Change, Gap
from .hub import EVERYONE, Recipients
from .live.broadcaster import Broadcaster
from .server import WebSocketServer
from .service import Service
from .services.clipboard import Clipboard
from .services.notifier import Notifier
from .services.presence import Presence

__all__ = [
    # server
    "WebSocketServer",
    "Settings",
    # services
    "Broadcaster",
    "Clipboard",
    "Notifier",
    "Notification",
    "Presence",
    "Service",
    # what services see
    "Change",
    "Connection",
    "EVERYONE",
    "Gap",
    "Recipients",
    # errors
    "ConfigError",
    "Refusal",
    "WSFlaskError",
]
