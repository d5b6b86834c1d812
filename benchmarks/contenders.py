"""Every server that is measured: wsflask, its peers, and the machine's limit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .peers import PEERS

__all__ = ["FLASK_SOCKETIO", "LIMIT", "NODE_WS", "ROOT", "WSFLASK", "Contender", "contender", "title_of"]

ROOT = Path(__file__).resolve().parent.parent

#: The C loop: one plain send() for each frame and socket.
LIMIT = "limit"
WSFLASK = "wsflask"
#: The peers that the goals are about.
FLASK_SOCKETIO, NODE_WS = "flask_socketio_gevent", "node_ws"

#: How the name of a peer ends whose clients sign in.
_LOGIN = "_login"

_HERE = ROOT / "benchmarks"
_LOOP = (str(_HERE / ".build" / "loop"), "--port", "{port}")
_LIMITS = {
    LIMIT: ("C loop, one send a frame", _LOOP),
    "limit_join": ("C loop, one write a socket", (*_LOOP, "--join")),
    "limit_python": ("the same loop in Python", (sys.executable, str(_HERE / "limit" / "loop.py"), "--port", "{port}")),
}
_WSFLASKS = {WSFLASK: "wsflask", "wsflask_database": "wsflask, users in MongoDB"}
_GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "-c", "python:wsflask.gunicorn", "-w", "1", "--log-level", "warning"),
    *("-b", "127.0.0.1:{port}", "benchmarks.app:app"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """How one server is started, and how its clients have to come."""

    name: str
    title: str
    #: The command that serves on a port.
    command: Callable[[int], Sequence[str]]
    cwd: Path = ROOT
    env: Mapping[str, str] = field(default_factory=dict)
    path: str = "/ws"
    is_socketio: bool = False
    #: The subprotocol that clients ask for.
    protocol: str | None = None
    #: Whether each client comes with a session of its own, and names its origin.
    has_login: bool = False
    #: Whether it needs MongoDB, and whether its users are kept there.
    has_database: bool = False
    has_stored_users: bool = False
    #: Whether clients offer compression.
    is_deflating: bool = False


def contender(name: str, *, deflate: bool = False, login: bool = False) -> Contender:
    """Return a server by its name.

    Args:
        name: a key of PEERS, "limit", "limit_join", "limit_python", "wsflask", or "wsflask_database".
        deflate: it compresses for clients that offer it, and they do.
        login: a connection needs a session; wsflask's always do.

    Raises:
        ValueError: it cannot do that.
    """
    if name in _LIMITS:
        title, argv = _LIMITS[name]
        return Contender(name=name, title=title, command=partial(_fill, argv))
    if name in _WSFLASKS:
        return _wsflask(name, deflate=deflate)
    peer = PEERS[name]
    if (deflate and peer.deflate_on is None) or (login and peer.login is None):
        raise ValueError(f"{peer.title} has no such option")
    return Contender(
        name=f"{name}{_LOGIN}" if login else name,
        title=peer.title,
        command=partial(peer.command, deflate=deflate, login=login),
        cwd=_HERE / "peers",
        path=peer.path,
        is_socketio=peer.kind == "socketio",
        has_login=login,
        is_deflating=deflate,
    )


def title_of(name: str) -> str:
    """Return how tables and plots call a server."""
    if name in _LIMITS:
        return _LIMITS[name][0]
    if name in _WSFLASKS:
        return _WSFLASKS[name]
    return PEERS[name.removesuffix(_LOGIN)].title + (", signed in" if name.endswith(_LOGIN) else "")


def _wsflask(name: str, *, deflate: bool) -> Contender:
    has_stored_users = name == "wsflask_database"
    env = {"BENCH_USERS": "database" if has_stored_users else "memory"}
    if deflate:
        env["BENCH_COMPRESSION"] = "1"
    return Contender(
        name=name,
        title=_WSFLASKS[name],
        command=partial(_fill, _GUNICORN),
        env=env,
        path="/wsflask/ws",
        protocol="wsflask.v1",
        has_login=True,
        has_database=True,
        has_stored_users=has_stored_users,
        is_deflating=deflate,
    )


def _fill(argv: Sequence[str], port: int) -> list[str]:
    return [argument.replace("{port}", str(port)) for argument in argv]
