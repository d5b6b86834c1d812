"""The life of a server in one process: it starts with the first client, says goodbye to all, and ends."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .config import Settings
from .connection import Connection, State
from .errors import ConfigError
from .feed import create_feed
from .feed.base import Feed
from .health import Health
from .hub import Hub
from .people import People
from .protocol.codes import CloseCode
from .protocol.messages import Message
from .service import Service
from .tasks import Supervised, Task, spawn, supervise
from .transport.crew import Crew
from .workers import forget, gunicorn_worker, note, when_stopped

if TYPE_CHECKING:
    from .feed.bus import Bus

__all__ = ["Life"]

_log = logging.getLogger(__name__)

#: Seconds between two looks at connections' liveness.
_TICK = 1.0
#: Seconds of farewells before the event loop serves others; seconds between two looks at who is still there.
_AT_ONCE, _LOOK = 0.003, 0.02
#: Part of drain_timeout after which what waits for a slow client is dropped: its close frame has to get through.
_PATIENCE = 0.4


class Front(Protocol):
    """The server, as its life sees it."""

    hub: Hub
    closing: set[Connection]
    crew: Crew
    settings: Settings
    bus: Bus | None

    @property
    def secret(self) -> bytes: ...

    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any: ...


class Life:
    """Starts and ends what runs beside the requests of a process: feed, services, liveness."""

    def __init__(self, front: Front, people: People) -> None:
        self._front = front
        self._people = people
        #: Tells clients when the database is away.
        self.health = Health(front.hub)
        self._feed: Feed | None = None
        self._tasks: list[Supervised | Task] = []
        self._started_in = 0
        self._starting = threading.Lock()
        #: Monotonic time of the end of a drain, once one has begun.
        self._deadline = 0.0
        self._goodbye: Message | None = None

    @property
    def is_draining(self) -> bool:
        """Whether the process takes no new clients because it is about to end."""
        worker = gunicorn_worker()  # told to stop, perhaps before its first client came
        return bool(self._deadline) or (worker is not None and not worker.alive)

    @property
    def is_started(self) -> bool:
        """Whether feed and services run in this process."""
        return self._started_in == os.getpid()

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
            self._deadline, self._goodbye = 0.0, None
            front.crew.turn.bind()
            front.hub.outflow.turn.bind()
            self._feed = create_feed(front.settings, front.secret)
            self._feed.start()
            if front.bus is not None:
                front.bus.start()
            self._tasks = [
                supervise("wsflask ticker", partial(self._tick, workers)),
                *(
                    supervise(f"wsflask {type(service).__name__}", partial(front.run_hook, service.run))
                    for service in workers
                ),
            ]
            self._people.start()
            if (worker := gunicorn_worker()) is not None:
                self._tasks.append(spawn("wsflask drain", when_stopped, worker, self.drain))
            note(self)
            atexit.register(self.stop)
            self._started_in = os.getpid()

    def drain(self) -> None:
        """Tell every client goodbye, close with 1012, take no new ones. May switch, for at most drain_timeout.

        Returns when all clients have answered. A second call waits for the end of the first.
        """
        front = self._front
        timeout = front.settings.drain_timeout
        self._deadline = self._deadline or time.monotonic() + timeout
        pause = time.monotonic() + _AT_ONCE
        for connection in [*front.hub.connections(), *front.hub.arriving]:
            self.dismiss(connection)
            if time.monotonic() > pause:
                time.sleep(0.001)
                pause = time.monotonic() + _AT_ONCE
        self._await_answers(self._deadline - (1 - _PATIENCE) * timeout)
        self._await_answers(self._deadline)

    def _await_answers(self, deadline: float) -> None:
        """Return when every client has answered our close frame; at the deadline cut short what waits for it."""
        left = list(self._front.closing)
        while left := [each for each in left if each.state is not State.CLOSED]:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            time.sleep(min(remaining, _LOOK))
        for connection in left:
            connection.revoke()

    def dismiss(self, connection: Connection) -> None:
        """Tell one client goodbye, and close with 1012; never blocks."""
        if self._goodbye is None:
            self._goodbye = Message(
                "goodbye", {"reason": "restart", "reconnect": self._front.settings.reconnect_spread}
            )
        if connection.form == "v1":
            connection.send(self._goodbye)
        connection.close(CloseCode.RESTART, "restart")

    def abandon(self) -> None:
        """Tell every client goodbye from a signal's handler: the event loop hangs, nothing may wait for it."""
        self._deadline = self._deadline or time.monotonic()
        for connection in [*self._front.hub.connections(), *self._front.hub.arriving]:
            try:
                self.dismiss(connection)
            except Exception:
                _log.exception("%r could not be told goodbye", connection)

    def stop(self) -> None:
        """Drain, then end the services and the feed of this process. May switch; may be called twice."""
        if self._started_in != os.getpid():
            return
        self._started_in = 0
        atexit.unregister(self.stop)
        forget(self)
        self.drain()
        for task in self._tasks:
            task.stop(0.2)
        self._tasks = []
        self._people.stop()
        self._front.crew.stop()
        self._front.hub.outflow.turn.stop()
        if self._front.bus is not None:
            self._front.bus.stop()
        if self._feed is not None:
            self._feed.stop()

    def _tick(self, workers: Sequence[Service]) -> None:
        hub, all_closing = self._front.hub, self._front.closing
        streams = [service.stream for service in workers if service.stream is not None]
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            closing = all_closing.copy()
            position = min((stream.reached for stream in streams), default="")
            for connection in [*hub.connections(), *hub.arriving, *closing]:
                connection.tick(now, position)
            all_closing.difference_update([ws for ws in closing if ws.state is State.CLOSED])
            self._people.tick()
            self.health.look(self.feed)
