"""An application without users that sends every message back, binary ones too: what a conformance suite talks to."""

from __future__ import annotations

import os
import threading
import time

from flask import Blueprint, Flask

from wsflask.config import Settings
from wsflask.connection import Connection, Outflow, State
from wsflask.identity import Identity
from wsflask.protocol.deflate import deflate
from wsflask.protocol.frames import BINARY, COMPRESSED, TEXT, Event, FrameReader, frame
from wsflask.protocol.messages import PLAIN, Message
from wsflask.tasks import spawn
from wsflask.transport.crew import Crew
from wsflask.transport.link import Link
from wsflask.transport.route import Options, add_route, prepare

#: "parked" or "threaded", as in WSFLASK_TRANSPORT; the application is made when it is set.
TRANSPORT = "FRAME_ECHO_TRANSPORT"
#: Where the websocket is.
PATH = "/echo"

#: The largest message that Autobahn sends has 16 MiB.
SETTINGS = Settings(max_message_bytes=17 * 1024 * 1024, outbox_bytes=40 * 1024 * 1024)


class _Reader(FrameReader):
    """Tells a binary message as a text whose data is bytes: a connection refuses the other kind with 1003."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[Event]:
        return [Event(TEXT, event.data) if event.kind == BINARY else event for event in super().feed(data)]


class _Echoed(Message):
    __slots__ = ("_data",)

    def __init__(self, data: str | bytes) -> None:
        super().__init__("echo")
        self._data = data

    def frame(self, form: str) -> bytes:
        opcode, data = (BINARY, self._data) if isinstance(self._data, bytes) else (TEXT, self._data.encode())
        return frame(data, opcode) if form == PLAIN else frame(deflate(data), opcode | COMPRESSED)


class _Echo:
    """The handler of all connections; it keeps those that have not ended, to look after their time-outs."""

    def __init__(self) -> None:
        self._outflow = Outflow()
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self._ticks = False

    def accept(self, link: Link, *, is_compressed: bool) -> Connection:
        outflow = None if link.is_threaded else self._outflow
        nobody = Identity(None, "", frozenset(), "")
        connection = Connection(link, nobody, PLAIN, SETTINGS, self, outflow, is_compressed=is_compressed)
        connection._reader = _Reader(SETTINGS.max_message_bytes, is_compressed=is_compressed)
        link.owner = connection
        with self._lock:
            self._connections.add(connection)
            if not self._ticks:
                self._ticks = True
                spawn("frame echo ticker", self._tick)
        connection.start()
        return connection

    def opened(self, connection: Connection) -> None:
        """Say nothing: a suite waits for its own words."""

    def text_arrived(self, connection: Connection, text: str | bytes) -> None:
        connection.send(_Echoed(text))

    def closed(self, connection: Connection) -> None:
        """Keep it until its socket has closed."""

    def _tick(self) -> None:
        while True:
            time.sleep(1.0)
            with self._lock:
                self._connections = {one for one in self._connections if one.state is not State.CLOSED}
                connections = list(self._connections)
            for connection in connections:
                connection.tick(time.monotonic())


def create_app(transport: str) -> Flask:
    """Return the application: the route, the links and the connections are wsflask's own."""
    app = Flask(__name__)
    echo = _Echo()
    blueprint = Blueprint("frame_echo", __name__)
    add_route(blueprint, PATH, "websocket", lambda: echo.accept, lambda: Options(transport, compression=True), Crew())
    prepare(app)
    app.register_blueprint(blueprint)
    return app


if TRANSPORT in os.environ:
    app = create_app(os.environ[TRANSPORT])
