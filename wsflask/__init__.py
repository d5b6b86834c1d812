"""Real-time services for a Flask UI: notifications, a clipboard, live views of MongoEngine documents."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

#: Where each name is found when it is first asked for: gunicorn's first process reads its settings from this package
#: before anything is patched, and pymongo must not be imported by then.
_HOMES = {
    "Broadcaster": "live.broadcaster",
    "Change": "feed",
    "Clipboard": "services.clipboard",
    "ConfigError": "errors",
    "Connection": "connection",
    "EVERYONE": "hub",
    "Gap": "feed",
    "Notification": "documents",
    "Notifier": "services.notifier",
    "Presence": "services.presence",
    "Recipients": "hub",
    "Refusal": "errors",
    "Service": "service",
    "Settings": "config",
    "WSFlaskError": "errors",
    "WebSocketServer": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value
