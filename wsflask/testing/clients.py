"""What a user's browser does, as far as HTTP, cookies and the websocket go."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flask_login
from flask import Flask

from .sockets import Sockets, WebSocketClient
from .waiting import PATIENCE

__all__ = ["Answer", "Client"]

#: Flask-Login's session protection compares it between requests: the same everywhere.
_AGENT = "wsflask.testing"
#: Attributes with which a server takes a cookie back.
_ENDS = ("max-age=0", "expires=thu, 01 jan 1970 00:00:00 gmt")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an HTTP request; a redirect is not followed."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, from JSON."""
        return json.loads(self.text)


class Client:
    """One browser: its cookies, its HTTP requests, its websockets.

    Args:
        base_url: of the server, such as "http://127.0.0.1:5000".
        app: the application that is served there, for `login`; it may be served by another process, with the same
            SECRET_KEY. None: sign in by posting the login form.
        sockets: closes the websockets when the test is over.
    """

    def __init__(self, base_url: str, app: Flask | None, sockets: Sockets, *, path: str = "/wsflask/ws") -> None:
        self.base_url = base_url
        #: By name.
        self.cookies: dict[str, str] = {}
        self._app = app
        self._path = path
        self._sockets = sockets

    @property
    def cookie(self) -> str:
        """The Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    # --- the session

    def login(self, user: Any, *, remember: bool = False) -> None:
        """Sign a user in, as `flask_login.login_user` does in a view: no password and no form are needed."""
        app = self._its_app()
        with self._request_of(app):
            if not flask_login.login_user(user, remember=remember):
                raise AssertionError(f"Flask-Login does not sign {user!r} in; is he active?")
            self._keep(app.process_response(app.response_class()).headers.getlist("Set-Cookie"))

    def logout(self) -> None:
        """Sign the user out, as `flask_login.logout_user` does in a view."""
        app = self._its_app()
        with self._request_of(app):
            app.preprocess_request()
            flask_login.logout_user()
            self._keep(app.process_response(app.response_class()).headers.getlist("Set-Cookie"))

    def _its_app(self) -> Flask:
        if self._app is None:
            raise AssertionError("the client does not know the application; give it with client(app=…)")
        return self._app

    def _request_of(self, app: Flask) -> Any:
        """Return a request context with this client's cookies, as its requests have."""
        headers = {"User-Agent": _AGENT, **({"Cookie": self.cookie} if self.cookies else {})}
        return app.test_request_context("/", base_url=self.base_url, headers=headers)

    # --- HTTP

    def get(self, path: str, **headers: str) -> Answer:
        """Get a page."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, fields: Mapping[str, str] | None = None, *, body: Any = None) -> Answer:
        """Post a form, or a JSON body."""
        if body is not None:
            return self.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return self.request("POST", path, urllib.parse.urlencode(fields or {}).encode())

    def request(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request with this client's cookies, and keep those of the answer. Blocks."""
        sent = {"User-Agent": _AGENT, "Origin": self.base_url, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = self.cookie
        request = urllib.request.Request(self.base_url + path, data, sent, method=method)  # noqa: S310 - http alone
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        try:
            answer = opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self._keep(answer.headers.get_all("Set-Cookie") or ())
            text = answer.read().decode(errors="replace")
            return Answer(answer.status, dict(answer.headers.items()), text)

    def _keep(self, lines: Any) -> None:
        for line in lines:
            pair, *attributes = line.split(";")
            name, _, value = pair.partition("=")
            if any(each.strip().lower() in _ENDS for each in attributes):
                self.cookies.pop(name.strip(), None)
            else:
                self.cookies[name.strip()] = value.strip()

    # --- the websocket

    def connect(self, *, form: str = "v1", **options: Any) -> WebSocketClient:
        """Open a websocket with this client's session: another tab each time.

        Args:
            form: "v1", or "plain" for a client without the subprotocol.
            options: of `WebSocketClient`.
        """
        url = "ws" + self.base_url.removeprefix("http") + self._path
        options.setdefault("headers", {"User-Agent": _AGENT})
        options.setdefault("subprotocols", ("wsflask.v1",) if form == "v1" else ())
        return self._sockets.connect(url, cookie=self.cookie or None, **options)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
