"""An application that tells who is here."""

from __future__ import annotations

import json
import os

from wsflask import Presence, WebSocketServer

from .desk import create_app

__all__ = ["app"]

app = create_app(os.environ["WSFLASK_MONGODB_URI"], **json.loads(os.environ.get("ROOMS_CONFIG", "{}")))
server = WebSocketServer(app, services=[Presence(describe=lambda user: {"name": user.id.title()})])


@app.get("/pid")
def pid() -> str:
    """Return which worker answers."""
    return str(os.getpid())
