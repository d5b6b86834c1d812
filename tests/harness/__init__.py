"""Tools of the tests: real servers, a plain websocket client, and a look at what is left running."""

from __future__ import annotations

from .basics import (
    MS,
    PATIENCE,
    ROOT,
    Database,
    data_folder,
    disconnect,
    fast_folder,
    missing,
    require_program,
    wait_until,
)
from .commands import Commands
from .logins import login
from .processes import Leftovers, children_of, descendants_of, is_running
from .redis import RedisServer
from .servers import Servers, WebServer
from .sockets import Sockets, WebSocketClient

__all__ = [
    "MS",
    "PATIENCE",
    "ROOT",
    "Commands",
    "Database",
    "Leftovers",
    "RedisServer",
    "Servers",
    "Sockets",
    "WebServer",
    "WebSocketClient",
    "children_of",
    "data_folder",
    "descendants_of",
    "disconnect",
    "fast_folder",
    "is_running",
    "login",
    "missing",
    "require_program",
    "wait_until",
]
