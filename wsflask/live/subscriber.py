"""One client that watches one view: what waits for it, and whether it is up to date."""

from __future__ import annotations

import enum
import threading
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from ..protocol.messages import Message
from .asking import Asked
from .before import Before
from .view import View

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Stage", "Subscriber"]


class Stage(enum.Enum):
    """WAITING (for the rows) -> SENDING (rows, then what changed meanwhile) -> LIVE; a lost position leads back."""

    WAITING = "waiting"
    SENDING = "sending"
    LIVE = "live"


class Subscriber:
    """A connection and a view. Guarded by the lock of `LiveViews`."""

    __slots__ = (
        "_ready", "asked", "before", "begun", "earlier", "error", "has_sender", "held", "is_reset", "moved_from",
        "outgoing", "parameters", "position", "rows", "stage", "start_seq", "state", "view", "ws",
    )  # fmt: skip

    def __init__(self, ws: Connection, view: View, parameters: dict[str, Any], asked: Asked | None = None) -> None:
        self.ws = ws
        self.view = view
        #: What the client asked for, to be judged again when its user's rights change; None: others vouch for it.
        self.asked = asked
        #: What was subscribed with.
        self.parameters = parameters
        self.stage = Stage.WAITING
        #: How often it was begun to send its rows.
        self.begun = 0
        #: Messages that the sender takes next.
        self.outgoing: list[Message] = []
        #: Whether somebody sends what is outgoing: one at a time does, so that the order holds.
        self.has_sender = True
        #: Whether the client has to be told to drop its rows.
        self.is_reset = False
        #: The position from which the client goes on, and the ids it has, as JSON values by key, if it says so.
        self.start_seq = ""
        self.held: Mapping[Hashable, Any] | None = None
        #: What the client has of the view that it watched until now.
        self.before: Before | None = None
        #: The name of the view it watched until now, while it has still to be told of the new one.
        self.moved_from = ""
        #: The name that the client may know it by while it has not heard of the new one.
        self.earlier = ""
        #: What the reply says: "loaded", "resumed" or "reset"; how many messages follow; the position.
        self.state = "loaded"
        self.rows = 0
        self.position = ""
        #: Why the rows could not be loaded.
        self.error: Exception | None = None
        self._ready: threading.Event | None = threading.Event()

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the first rows, and can be told that there are none."""
        return self._ready is not None

    def begin(self, messages: list[Message], position: str) -> None:
        """Have these messages sent, and after them what changes from now on."""
        self.stage = Stage.SENDING
        self.begun += 1
        self.outgoing = messages
        self.rows = len(messages)
        self.position = position
        self.before, self.held, self.start_seq, self.is_reset = None, None, "", False
        self._set_ready()

    def fail(self, error: Exception) -> None:
        """Tell who still waits that there are no rows."""
        if self._ready is not None:
            self.error = error
            self._set_ready()

    def wait(self, timeout: float) -> bool:
        """Wait for the rows; return whether they, or an error, are there. May switch."""
        ready = self._ready
        return ready is None or ready.wait(timeout)

    def _set_ready(self) -> None:
        if self._ready is not None:
            self._ready.set()
            self._ready = None
