"""An application whose one service tells every client what its user may do, whenever that changes."""

from __future__ import annotations

import os
from typing import Any

from wsflask.connection import Connection
from wsflask.service import Service

from .echo import URI, create_app

__all__ = ["Rights"]


class Rights(Service):
    """Send the user's title and groups at first, and at each change."""

    channel = "rights"

    def on_connect(self, ws: Connection, user: Any) -> None:
        self.on_rights_changed(ws, user)

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        self.send(ws, {"title": user.title, "groups": sorted(ws.groups), "pid": os.getpid()})


if URI in os.environ:
    app = create_app(Rights)
