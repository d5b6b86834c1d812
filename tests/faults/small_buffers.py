"""gunicorn's settings of a stand whose kernel takes little for clients that do not read: outboxes fill soon."""

from __future__ import annotations

import socket
from typing import Any

from wsflask.gunicorn import *  # noqa: F403 # as an application does that has settings of its own

#: Bytes that the kernel keeps for a client; Linux doubles it. Without it, it takes some megabytes.
SEND_BUFFER = 32 * 1024


def when_ready(server: Any) -> None:
    """Have what is accepted inherit the small buffer."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
