"""Who is this: the Flask-Login user of a request, and whether its session still holds."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import flask
import flask_login
from flask import Flask
from mongoengine import Document

from .connection import Connection
from .documents import EndedSession
from .errors import ConfigError
from .identity import Identity

__all__ = ["Sessions", "groups_of"]

_log = logging.getLogger(__name__)

#: Where the browser's session keeps its server-side name, with the user it belongs to.
_KEY = "_wsflask"
#: Sets of groups that users share in memory, those of the latest handshakes.
_GROUP_SETS = 1000
_Groups = Callable[[Any], Iterable[str]]


class Sessions:
    """Name every login on the server, so that a cookie from before its logout opens no socket."""

    def __init__(self, app: Flask, groups: _Groups | None = None, *, memory_days: float = 366.0) -> None:
        self._app = app
        self._memory_days = memory_days
        self._groups = groups or groups_of
        flask_login.user_logged_in.connect(self._logged_in, app)
        flask_login.user_loaded_from_cookie.connect(self._remembered, app)
        flask_login.user_logged_out.connect(self._logged_out, app)

    def identify(self) -> Identity | None:
        """Return who the current request belongs to; None when nobody is signed in.

        Loads the user once. Whether the session was ended meanwhile is for `ended` to say. May switch.

        Raises:
            ConfigError: the application has no LoginManager, not even after it was set up.
        """
        if not hasattr(self._app, "login_manager"):
            raise ConfigError("the application has no flask_login.LoginManager; it says who is signed in")
        user = flask_login.current_user._get_current_object()
        if not user.is_authenticated or not getattr(user, "is_active", True):
            return None
        user_id = str(user.get_id())
        session_id = self._session_id(user_id)
        return Identity(user, user_id, _shared(frozenset(map(str, self._groups(user)))), session_id)

    def name_session(self) -> None:
        """Give a session from before wsflask was there its name; called before every request of the application."""
        if _endpoint() in ("static", "websocket"):
            return
        if "_user_id" in flask.session:
            self._ensure_name(str(flask.session["_user_id"]), is_login=False)
        elif self._app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME) in flask.request.cookies:
            try:
                flask_login.current_user.get_id()  # Loaded, the user signs in, and his session gets its name.
            except Exception:
                _log.exception("a remembered user could not be loaded")

    def _ensure_name(self, user_id: str, *, is_login: bool) -> None:
        named = flask.session.get(_KEY)
        if isinstance(named, dict) and named.get("user") == user_id and isinstance(named.get("id"), str):
            return
        # A name given at a handshake would be lost: the answer to it cannot set a cookie.
        if _endpoint() != "websocket":
            name = secrets.token_urlsafe(16) if is_login else self._shared_name(user_id)
            if name:
                flask.session[_KEY] = {"id": name, "user": user_id}

    def _shared_name(self, user_id: str) -> str:
        """Return the name of the user's sessions that no login here began: restored by a remember cookie, or older.

        Tabs that are restored together each get an answer of their own, and the browser keeps one of them: with one
        name for all, a logout ends all. The next logout begins another name. "" while the database is away.
        """
        try:
            return f"{_unnamed(user_id)}:{EndedSession.last_end(_unnamed(user_id))}"
        except Exception:
            _log.exception("a session of user %r got no name", user_id)
            return ""

    def _session_id(self, user_id: str) -> str:
        named = flask.session.get(_KEY)
        if isinstance(named, dict) and named.get("user") == user_id:
            return str(named.get("id"))
        if "_user_id" not in flask.session:
            return f"request:{user_id}"  # Signed in by what each request brings; there is no logout.
        return _unnamed(user_id)

    def _logged_in(self, _app: Flask, user: Any, **_: Any) -> None:
        named = flask.session.get(_KEY)
        user_id = str(user.get_id())
        if isinstance(named, dict) and named.get("user") != user_id:
            self._end(str(named.get("id")), str(named.get("user")))
        self._ensure_name(user_id, is_login=True)

    def _remembered(self, _app: Flask, user: Any, **_: Any) -> None:
        self._ensure_name(str(user.get_id()), is_login=False)

    def _logged_out(self, _app: Flask, user: Any, **_: Any) -> None:
        user_id = str(user.get_id()) if user is not None else ""
        named = flask.session.pop(_KEY, None)
        if isinstance(named, dict):
            self._end(str(named.get("id")), user_id)
        if user_id:
            self._end(self._shared_name(user_id) or _unnamed(user_id), user_id)
            self._end(_unnamed(user_id), user_id)

    def _end(self, session_id: str, user_id: str) -> None:
        try:
            EndedSession.end(session_id, user_id, days=self._memory_days)
        except Exception:
            _log.exception("the end of a session of user %r could not be written; its sockets stay open", user_id)

    def ended(self, connections: Iterable[Connection]) -> set[str]:
        """Return the ids of those sessions of the connections that were ended. One query; may switch."""
        return EndedSession.ended_among({connection.identity.session_id for connection in connections})

    def over(self, connections: Iterable[Connection]) -> list[Connection]:
        """Return those whose session was ended, or whose user is gone or inactive. May switch.

        Costs one query for the sessions, one for each MongoEngine class of users, and one call of the application's
        user loader for each user of another kind.
        """
        connections = list(connections)
        ended = self.ended(connections)
        inactive = self._inactive({connection.user_id: connection.user for connection in connections})
        return [c for c in connections if c.identity.session_id in ended or c.user_id in inactive]

    def _inactive(self, users: dict[str, Any]) -> set[str]:
        gone: set[str] = set()
        by_class: dict[type[Document], dict[Any, str]] = {}
        for user_id, user in users.items():
            if isinstance(user, Document):
                by_class.setdefault(type(user), {})[user.pk] = user_id
            elif not _is_active(self._load(user_id)):
                gone.add(user_id)
        for document_class, ids in by_class.items():
            found = document_class.objects(pk__in=list(ids)).in_bulk(list(ids))
            gone |= {user_id for pk, user_id in ids.items() if not _is_still(found.get(pk), user_id)}
        return gone

    def _load(self, user_id: str) -> Any:
        loader = self._app.login_manager._user_callback  # type: ignore[attr-defined]
        with self._app.app_context():
            return loader(user_id) if loader is not None else True


def _endpoint() -> str:
    return (flask.request.endpoint or "").rpartition(".")[2]


def _unnamed(user_id: str) -> str:
    """Return the id of a cookie from before wsflask that never came by a page since; a user's all end together."""
    return f"user:{user_id}"


def _is_still(user: Any, user_id: str) -> bool:
    """Return whether the user may still come in, by the id that his session has (Flask-Login's alternative ids)."""
    return _is_active(user) and str(user.get_id()) == user_id


def _is_active(user: Any) -> bool:
    return user is not None and bool(getattr(user, "is_active", True))


@lru_cache(_GROUP_SETS)
def _shared(groups: frozenset[str]) -> frozenset[str]:
    """Return the one set for all who are in the same groups, or in none: each takes a few hundred bytes."""
    return groups


def groups_of(user: Any) -> Iterable[str]:
    """Return the groups in the user's attribute `groups`."""
    groups = getattr(user, "groups", None)
    if not isinstance(groups, list | tuple | set | frozenset):
        return ()
    return [group for group in groups if isinstance(group, str)]
