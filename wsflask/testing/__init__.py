"""For the tests of applications: a live server, a browser without a screen, and trouble on demand."""

from __future__ import annotations

from .clients import Answer, Client
from .live_server import LiveServer
from .proxy import Faults, Proxy
from .replica_set import ReplicaSet
from .servers import Servers, WebServer
from .sockets import WebSocketClient
from .waiting import wait_until

__all__ = [
    "Answer",
    "Client",
    "Faults",
    "LiveServer",
    "Proxy",
    "ReplicaSet",
    "Servers",
    "WebServer",
    "WebSocketClient",
    "wait_until",
]
