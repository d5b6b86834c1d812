"""gunicorn's settings for long-lived connections: `gunicorn -c python:wsflask.gunicorn wsgi:app`.

To have more of your own, begin a gunicorn.conf.py with `from wsflask.gunicorn import *`.
"""

from __future__ import annotations

from typing import Any

from .workers import adopt, end, give_up

__all__ = [
    "backlog",
    "control_socket_disable",
    "graceful_timeout",
    "post_worker_init",
    "timeout",
    "worker_abort",
    "worker_class",
    "worker_connections",
    "worker_int",
]

#: Greenlets, on one event loop, on which WebSockets are parked.
worker_class = "gevent"
#: Requests in progress. gunicorn says nothing to one too many, so this is above WSFLASK_MAX_CONNECTIONS (16,000), which
#: answers 503. A parked WebSocket is none; one with TLS in the worker, or WSFLASK_TRANSPORT "threaded", is.
worker_connections = 20_000
#: Connections that the kernel keeps until a worker accepts them: those of a deploy come at once. More than
#: net.core.somaxconn, 4,096 by default, do not count.
backlog = 4096
#: Seconds a worker may take to end: three for its clients, the rest for pages that are being made.
graceful_timeout = 10
#: Seconds the event loop may hang before gunicorn replaces the worker; all its clients wait meanwhile.
timeout = 30
#: Otherwise all instances of a user would share one socket in his home, which a read-only home refuses.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Know from gunicorn itself when the worker is told to stop; space out the ends of --max-requests; tend garbage."""
    adopt(worker)


def worker_int(worker: Any) -> None:
    """Take leave of all clients on SIGQUIT and SIGINT, before gunicorn ends the worker 0.1 s later. May switch."""
    end()


def worker_abort(worker: Any) -> None:
    """Tell all clients of a worker whose event loop hung for `timeout`; gunicorn kills it within a second."""
    give_up()
