"""Serve an application of the tests' own process."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from .clients import Client
from .sockets import Sockets

__all__ = ["LiveServer"]

#: Seconds to wait for the end of the server's thread.
_END = 5.0


class _Silent(WSGIRequestHandler):
    """Writes no line for each request between the lines of the tests."""

    def log(self, *_: Any) -> None:
        """Say nothing."""


class LiveServer:
    """An application behind real sockets, on a free port of 127.0.0.1, in threads of this process.

    What the test changes, the application sees at once: they share the process and its MongoEngine connection. For
    many workers, and for faults, start processes with `Servers`.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._sockets = Sockets()
        self._http = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
        self.base_url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="live server", daemon=True)
        self._thread.start()

    def client(self) -> Client:
        """Return a new browser, without cookies."""
        return Client(self.base_url, self.app, self._sockets, path=_path_of(self.app))

    def stop(self) -> None:
        """End the clients' websockets, wsflask's work in this process, and the server."""
        with self._sockets:
            pass
        server = self.app.extensions.get("wsflask")
        if server is not None:
            server.stop()
        self._http.shutdown()
        self._thread.join(_END)
        self._http.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _path_of(app: Flask) -> str:
    """Return where the application has wsflask's websocket."""
    paths = [rule.rule for rule in app.url_map.iter_rules() if rule.websocket]
    named = [path for path in paths if path.endswith("/ws")]
    if not named:
        raise AssertionError("the application has no websocket of wsflask; register server.blueprint")
    return named[0]
