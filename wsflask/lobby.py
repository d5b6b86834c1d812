"""Where handshakes wait for their turn: before Flask, so that waiting costs little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .gate import Gate
from .transport.handshake import Refused, answer, check_handshake
from .transport.upgrade import is_gone

__all__ = ["Host", "Lobby", "check_room", "enter", "leave"]

#: Seconds that a handshake may wait: clients give up after 20, with all that comes behind it.
_PATIENCE = 18.0
#: Where a request keeps its turn.
_TURN = "wsflask.turn"
_CROWDED = Refused(503, "Too many come at once.", {"Retry-After": "5"})

_WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Host(Protocol):
    """The server, as its lobby sees it."""

    @property
    def gate(self) -> Gate: ...
    def is_full(self) -> str | None: ...


class Lobby:
    """WSGI middleware: hands handshakes on to the application when it is their turn, all other requests at once.

    A crowd comes when a worker was restarted. A request that the application has begun with has cost most of what it
    will, and holds its context: waiting, it would weigh on the others, and have cost that in vain if its client gives
    up.

    Args:
        application: the next one.
        host: whose gate it is.
        path: of the handshakes, as in PATH_INFO.
    """

    def __init__(self, application: _WSGI, host: Host, path: str) -> None:
        self._application = application
        self._host = host
        self._path = path

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != self._path or check_handshake(environ) is not None:
            return self._application(environ, start_response)
        try:
            refused = enter(self._host, environ)
            if refused is not None:
                return answer(refused)(environ, start_response)
            return self._application(environ, start_response)
        finally:
            leave(environ)


def enter(host: Host, environ: dict[str, Any]) -> Refused | None:
    """Wait for the turn of this handshake, to be ended by `leave`, or return why it is refused. May switch.

    To be called again where the application looks at the handshake: not every one has come by the lobby (werkzeug takes
    "//wsflask/ws" for the same path), and one that has does not wait again.
    """
    if _TURN in environ:
        return None
    if (refused := check_room(host)) is not None:
        return refused
    turn = host.gate.enter(_PATIENCE)
    if turn is None:
        return _CROWDED
    environ[_TURN] = turn
    # It may have become full, or begun to drain, meanwhile.
    return _CROWDED if is_gone(environ) else check_room(host)


def check_room(host: Host) -> Refused | None:
    """Return why no further client is taken now, or None."""
    reason = host.is_full()
    return Refused(503, reason, {"Retry-After": "2"}) if reason is not None else None


def leave(environ: Mapping[str, Any]) -> None:
    """Let the next one in, if this one has its turn: who is known may stay for as long as its socket lives."""
    turn = environ.get(_TURN)
    if turn is not None:
        turn.end()
