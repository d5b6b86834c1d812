"""Call the hooks of services for a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from .connection import Connection
from .outage import log_failure
from .protocol.codes import CloseCode
from .service import Service

__all__ = ["Front", "Hook", "call_each", "greet"]

_log = logging.getLogger(__name__)

#: Takes a connection and its user.
Hook = Callable[[Connection, Any], None]


class Front(Protocol):
    """The server, as hooks are called for it."""

    def judge(self, ws: Connection) -> None: ...
    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any: ...
    def in_turn(self, ws: Connection, work: Callable[[], None]) -> None: ...


def greet(front: Front, ws: Connection, hooks: Iterator[Hook]) -> None:
    """Call the hooks one after another; if one fails the client is closed with 1013. May switch.

    One that holds the connection is done when it releases it; then the next one's turn comes.
    """
    for hook in hooks:
        if not ws.is_open:
            return
        before, identity = ws.holds, ws.identity
        try:
            hook(ws, identity.user)
        except Exception as error:
            name = type(getattr(hook, "__self__", None)).__name__
            log_failure(_log, error, "%s.on_connect failed for user %r", name, ws.user_id)
            ws.close(CloseCode.OVERLOAD, "try again")
            return
        if ws.identity is not identity:
            front.judge(ws)
        if ws.holds > before:
            others = partial(front.run_hook, greet, front, ws, hooks)
            ws.when_released(partial(front.in_turn, ws, others))
            return


def call_each(services: Iterable[Service], name: str, call: Callable[[Service], None], ws: Connection) -> None:
    """Make the call for each service; one that fails keeps none of the others from theirs. May switch."""
    for service in services:
        try:
            call(service)
        except Exception as error:
            log_failure(_log, error, "%s.%s failed for user %r", type(service).__name__, name, ws.user_id)
