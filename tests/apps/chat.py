"""An application with one service, whose messages are kept for those who come back."""

from __future__ import annotations

import os
from typing import Any

from wsflask.connection import Connection
from wsflask.service import Service

from .echo import URI, create_app

__all__ = ["Chat"]


class Chat(Service):
    """Tell each client which process it is connected to, and what it may have to hear anew."""

    channel = "chat"

    def on_connect(self, ws: Connection, user: Any) -> None:
        self.send(ws, {"pid": os.getpid()})

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        self.publish(message, keep=60)
        return "kept"

    def on_reset(self, ws: Connection, user: Any) -> None:
        self.send(ws, {"anew": ws.user_id})


if URI in os.environ:
    app = create_app(Chat)
