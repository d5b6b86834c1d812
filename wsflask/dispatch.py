"""From a client's text to its service and back: the rate, the checks, the reply or the refusal."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import gevent

from .config import Settings
from .connection import Connection
from .errors import Refusal
from .outage import log_failure
from .protocol.codes import SUBPROTOCOL, CloseCode
from .protocol.messages import V1, Message, error_message
from .protocol.requests import Limits, parse

__all__ = ["Dispatcher", "Hooks"]

_log = logging.getLogger(__name__)
_PONG = Message("pong", {})

#: Refusals that a well-behaved client gets too; they do not count as bad messages.
_HONEST = frozenset({"forbidden", "not_found", "conflict", "unavailable", "internal"})


class Hooks(Protocol):
    """The server, as its dispatcher sees it."""

    def on_connect(self, ws: Connection, user: Any) -> None: ...
    def on_message(self, ws: Connection, user: Any, message: dict[str, Any]) -> Any: ...
    def on_disconnect(self, ws: Connection, user: Any) -> None: ...
    def judge(self, ws: Connection) -> None: ...
    def left(self, ws: Connection) -> bool: ...
    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any: ...
    def channels(self) -> list[str]: ...


class Dispatcher:
    """Handle what connections tell, on behalf of a server."""

    def __init__(self, hooks: Hooks, settings: Settings) -> None:
        self._hooks = hooks
        self._settings = settings
        self._welcome: Message | None = None
        #: Greetings of parked connections that wait, and how many are under way.
        self._waiting: deque[tuple[Connection, Callable[[], None]]] = deque()
        self._greeting = 0
        self._limits = Limits(settings.max_json_depth, settings.max_json_keys, settings.max_json_string)

    def opened(self, connection: Connection) -> None:
        """Have every service greet the client."""
        if connection.is_open:
            self._hooks.run_hook(self._hooks.on_connect, connection, connection.user)

    def greet(self, connection: Connection) -> None:
        """Have the client greeted, when its turn comes."""
        self.in_turn(connection, partial(self.opened, connection))

    def in_turn(self, connection: Connection, work: Callable[[], None]) -> None:
        """Do work that greets a client, beside the caller, as soon as fewer than `greetings_at_once` are at it.

        Until it is done, nothing the client sends is handled.
        """
        connection.hold()
        if connection.is_parked:
            self._waiting.append((connection, work))
            self._start_next()
        else:  # In a greenlet or thread of its own; there are as many as the web server allows.
            self._do(connection, work)

    def _start_next(self) -> None:
        while self._waiting and self._greeting < self._settings.greetings_at_once:
            self._greeting += 1
            connection, work = self._waiting.popleft()
            connection.beside(partial(self._do_counted, connection, work))

    def _do_counted(self, connection: Connection, work: Callable[[], None]) -> None:
        try:
            self._do(connection, work)
        finally:
            self._greeting -= 1
            self._start_next()

    def _do(self, connection: Connection, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            connection.release()

    def welcome(self, connection: Connection) -> None:
        """Welcome the client; to be called before anything else can be sent to it."""
        if connection.form == V1:
            if self._welcome is None:
                self._welcome = self._make_welcome()
            connection.send(self._welcome)

    def _make_welcome(self) -> Message:
        settings = self._settings
        return Message(
            "welcome",
            {
                "protocol": SUBPROTOCOL,
                "heartbeat": settings.ping_interval,
                "limits": {
                    "message_bytes": settings.max_message_bytes,
                    "messages_per_second": settings.messages_per_second,
                    "burst": settings.message_burst,
                    "subscriptions": settings.subscriptions_per_connection,
                },
                "channels": self._hooks.channels(),
            },
        )

    def closed(self, connection: Connection) -> None:
        """Take the connection out of the hub; its services are told beside the caller."""
        if self._hooks.left(connection):
            connection.beside(lambda: self._disconnect(connection))

    def _disconnect(self, connection: Connection) -> None:
        self._hooks.run_hook(self._hooks.on_disconnect, connection, connection.user)

    def text_arrived(self, connection: Connection, text: str) -> None:
        """Handle one message: every outcome but silence by choice is a reply or a stable code."""
        request_id = None
        identity = connection.identity
        try:
            if not connection.rate.take(1, time.monotonic()):
                raise Refusal("rate_limited")
            request = parse(text, self._limits)
            request_id = request.id if connection.form == V1 else None
            if request.channel in ("ping", "pong"):
                if request.channel == "ping":
                    connection.send(_PONG)
                return
            connection.begin(request)
            message = {"channel": request.channel, "payload": request.payload}
            reply = self._hooks.run_hook(self._hooks.on_message, connection, identity.user, message)
            if reply is not None or request.id is not None:
                connection.reply(reply)
        except Refusal as refusal:
            _log.debug("connection %s: %s", connection.id, refusal)
            self._refuse(connection, refusal.code, request_id or refusal.request_id)
        except (Exception, gevent.Timeout) as error:
            is_away = log_failure(_log, error, "%r: a message failed", connection)
            connection.send(error_message("unavailable" if is_away else "internal", request_id))
        except gevent.GreenletExit:
            connection.send(error_message("internal", request_id))
            raise
        finally:
            connection.end()
            if connection.identity is not identity:
                self._hooks.judge(connection)

    def _refuse(self, connection: Connection, code: str, request_id: str | None) -> None:
        connection.send(error_message(code, request_id))
        if code in _HONEST:
            return
        connection.bad_messages += 1
        if connection.bad_messages >= self._settings.max_bad_messages:
            if code == "rate_limited":
                connection.close(CloseCode.RATE_LIMITED, "too many messages")
            else:
                connection.close(CloseCode.TOO_MANY_BAD_MESSAGES, "too many bad messages")
