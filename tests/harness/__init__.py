"""Tools of the tests: real servers, a plain websocket client, and a look at what is left running."""

from __future__ import annotations

from wsflask.testing.processes import children_of, descendants_of, freeze, is_running, thaw
from wsflask.testing.servers import Servers, WebServer
from wsflask.testing.sockets import Sockets, WebSocketClient
from wsflask.testing.waiting import MS, PATIENCE, wait_until

from .basics import (
    ROOT,
    Database,
    data_folder,
    disconnect,
    fast_folder,
    missing,
    require_program,
)
from .commands import Commands
from .logins import login
from .processes import Leftovers
from .redis import RedisServer

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
    "freeze",
    "is_running",
    "login",
    "missing",
    "require_program",
    "thaw",
    "wait_until",
]
