"""The servers that wsflask is compared with: how each is started, and what of it is not comparable."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = str(ROOT / ".venv-bench" / "bin" / "python")
NODE = "node"

_GUNICORN = (
    *(PYTHON, "-m", "gunicorn", "-k", "gevent", "-w", "1", "--worker-connections", "20000", "--backlog", "4096"),
    *("--no-control-socket", "--graceful-timeout", "1", "--log-level", "warning"),
    *("--chdir", str(HERE), "-b", "127.0.0.1:{port}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One server; `argv` has "{port}" where its port belongs."""

    name: str
    title: str
    argv: tuple[str, ...]
    #: What it speaks: "raw" is the JSON messages over plain WebSocket, "socketio" is Engine.IO 4.
    kind: str = "raw"
    path: str = "/ws"
    #: Whose versions belong under the figures, the peer itself first.
    packages: tuple[str, ...]
    #: What to append to compress for clients that offer it; None: the peer cannot.
    deflate_on: tuple[str, ...] | None = ()
    #: What to append to decline an offer; None: the peer has no switch, so the client must not offer.
    deflate_off: tuple[str, ...] | None = ()
    #: What to append so that a connection needs a signed-in session; None: not made for it.
    login: tuple[str, ...] | None = None
    notes: str

    def arguments(self, *, deflate: bool = False, login: bool = False) -> tuple[str, ...]:
        """Return the command with "{port}" still in it."""
        return self.argv + ((self.deflate_on if deflate else self.deflate_off) or ()) + ((login and self.login) or ())

    def command(self, port: int, *, deflate: bool = False, login: bool = False) -> list[str]:
        """Return the command that serves on `port` of 127.0.0.1."""
        return [part.replace("{port}", str(port)) for part in self.arguments(deflate=deflate, login=login)]


_ALL = (
    Peer(
        name="flask_socketio_gevent",
        title="Flask-SocketIO, gunicorn with gevent",
        argv=(*_GUNICORN, "flask_socketio_gevent:app"),
        kind="socketio",
        path="/socket.io/?EIO=4&transport=websocket",
        packages=("Flask-SocketIO", "python-socketio", "python-engineio", "simple-websocket", "gunicorn", "gevent"),
        deflate_off=None,
        login=("--env", "BENCHMARK_LOGIN=1"),
        notes="Speaks Socket.IO, queues every frame for a writer greenlet of each client, "
        "and has no switch for compression.",
    ),
    Peer(
        name="flask_sock_gunicorn",
        title="flask-sock, gunicorn with gevent",
        argv=(*_GUNICORN, "flask_sock_gunicorn:app"),
        packages=("flask-sock", "simple-websocket", "wsproto", "gunicorn", "gevent"),
        deflate_off=None,
        notes="A reader that is slow gets torn frames or stops the loop for all, "
        "and there is no switch for compression.",
    ),
    Peer(
        name="channels_daphne",
        title="Django Channels, daphne",
        argv=(
            *("env", f"PYTHONPATH={HERE}", PYTHON, "-m", "daphne", "-v", "0"),
            *("-e", "tcp:{port}:interface=127.0.0.1:backlog=4096", "channels_daphne:application"),
        ),
        packages=("channels", "daphne", "Django", "Twisted", "autobahn"),
        deflate_on=None,
        notes="The in-memory layer copies a message for each client and walks all of them for each copy, "
        "so that the cost of a broadcast grows with their square; daphne never compresses.",
    ),
    Peer(
        name="starlette_uvicorn",
        title="Starlette, uvicorn",
        argv=(
            *(PYTHON, "-m", "uvicorn", "--app-dir", str(HERE), "--host", "127.0.0.1", "--port", "{port}"),
            *("--log-level", "warning", "--no-access-log", "--backlog", "4096", "starlette_uvicorn:app"),
        ),
        packages=("starlette", "uvicorn", "websockets", "uvloop", "httptools"),
        deflate_on=("--ws-per-message-deflate", "true"),
        deflate_off=("--ws-per-message-deflate", "false"),
        notes="Awaits one client after the other: one that stopped reading stops the loop for all.",
    ),
    Peer(
        name="websockets_broadcast",
        title="websockets, broadcast()",
        argv=(PYTHON, str(HERE / "websockets_broadcast.py"), "--port", "{port}"),
        packages=("websockets",),
        deflate_on=("--deflate",),
        deflate_off=("--no-deflate",),
        notes="A protocol library alone, without sessions or routes; broadcast() has no backpressure.",
    ),
    Peer(
        name="aiohttp_server",
        title="aiohttp",
        argv=(PYTHON, str(HERE / "aiohttp_server.py"), "--port", "{port}"),
        packages=("aiohttp",),
        deflate_on=("--deflate",),
        deflate_off=("--no-deflate",),
        notes="Awaits one client after the other: one that stopped reading stops the loop for all.",
    ),
    Peer(
        name="node_ws",
        title="ws on Node",
        argv=(NODE, str(HERE / "node_ws.mjs"), "--port", "{port}"),
        packages=("ws", "node"),
        deflate_on=("--deflate",),
        notes="A protocol library alone, without sessions or routes.",
    ),
    Peer(
        name="node_socketio",
        title="socket.io on Node",
        argv=(NODE, str(HERE / "node_socketio.mjs"), "--port", "{port}"),
        kind="socketio",
        path="/socket.io/?EIO=4&transport=websocket",
        packages=("socket.io", "engine.io", "node"),
        deflate_on=("--deflate",),
        notes="Speaks Socket.IO, with its own pings and acknowledgements, and frames a broadcast once for all.",
    ),
)

PEERS = {peer.name: peer for peer in _ALL}
