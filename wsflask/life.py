"""The life of a server in one process: it starts with the first client, says goodbye to all, and ends."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from .config import Settings
from .connection import Connection, State
from .errors import ConfigError
from .feed import create_feed
from .feed.base import Feed
from .hub import Hub
from .people import People
from .protocol.codes import CloseCode
from .protocol.messages import Message
from .service import Service
from .tasks import Supervised, Task, spawn, supervise
from .transport.crew import Crew
from .workers import gunicorn_worker, when_stopped

__all__ = ["Life"]

#: Seconds between two looks at connections' liveness.
_TICK = 1.0


class Front(Protocol):
    """The server, as its life sees it."""

    hub: Hub
    closing: set[Connection]
    crew: Crew
    settings: Settings

    @property
    def secret(self) -> bytes: ...

    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any: ...


class Life:
    """Starts and ends what runs beside the requests of a process: feed, services, liveness."""

    def __init__(self, front: Front, people: People) -> None:
        #: Whether the process takes no new clients because it is about to end.
        self.is_draining = False
        self._front = front
        self._people = people
        self._feed: Feed | None = None
        self._tasks: list[Supervised | Task] = []
        self._started_in = 0
        self._starting = threading.Lock()

    @property
    def feed(self) -> Feed:
        """The changes of the database.

        Raises:
            ConfigError: the server has not started.
        """
        if self._feed is None:
            raise ConfigError("the server has not started; it does with its first client, or call start()")
        return self._feed

    def start(self, workers: Sequence[Service]) -> None:
        """Start the feed and the work of these services, once in a process. May switch."""
        if self._started_in == os.getpid():
            return
        with self._starting:
            if self._started_in == os.getpid():
                return
            front = self._front
            self.is_draining = False
            front.crew.turn.bind()
            front.hub.outflow.turn.bind()
            self._feed = create_feed(front.settings, front.secret)
            self._feed.start()
            self._tasks = [
                supervise("wsflask ticker", self._tick),
                *(
                    supervise(f"wsflask {type(service).__name__}", partial(front.run_hook, service.run))
                    for service in workers
                ),
            ]
            self._people.start()
            if (worker := gunicorn_worker()) is not None:
                self._tasks.append(spawn("wsflask drain", when_stopped, worker, self.drain))
            atexit.register(self.stop)
            self._started_in = os.getpid()

    def drain(self) -> None:
        """Tell every client goodbye, close with 1012, take no new ones. May switch, for at most drain_timeout."""
        self.is_draining = True
        hub, settings = self._front.hub, self._front.settings
        goodbye = Message("goodbye", {"reason": "restart", "reconnect": settings.reconnect_spread})
        known = hub.connections()
        hub.send(goodbye, [connection for connection in known if connection.form == "v1"])
        connections = [*known, *hub.arriving]
        for connection in connections:
            connection.close(CloseCode.RESTART, "restart")
        deadline = time.monotonic() + settings.drain_timeout
        while time.monotonic() < deadline and any(connection.waiting_bytes for connection in connections):
            time.sleep(0.02)

    def stop(self) -> None:
        """Drain, then end the services and the feed of this process. May switch; may be called twice."""
        if self._started_in != os.getpid():
            return
        self._started_in = 0
        atexit.unregister(self.stop)
        self.drain()
        for task in self._tasks:
            task.stop(0.2)
        self._tasks = []
        self._people.stop()
        self._front.crew.stop()
        self._front.hub.outflow.turn.stop()
        if self._feed is not None:
            self._feed.stop()

    def _tick(self) -> None:
        hub, all_closing = self._front.hub, self._front.closing
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            closing = all_closing.copy()
            for connection in [*hub.connections(), *hub.arriving, *closing]:
                connection.tick(now)
            all_closing.difference_update([ws for ws in closing if ws.state is State.CLOSED])
            self._people.tick()
