"""Who is this: the Flask-Login user of a request, what has become of him since, and whether his session still holds."""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import bson
import flask
import flask_login
import pymongo
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData, base64_decode
from mongoengine import Document
from pymongo import ReadPreference

from .config import Settings
from .connection import Connection
from .documents import EndedSession
from .errors import ConfigError
from .identity import Identity
from .outage import log_failure

__all__ = ["Sessions", "derived_key", "groups_of", "is_signed_in"]

_log = logging.getLogger(__name__)

#: Where the browser's session keeps its server-side name, with the user it belongs to.
_KEY = "_wsflask"
#: Sets of groups that users share in memory, those of the latest handshakes.
_GROUP_SETS = 1000
#: Seconds by which the age of a cookie may differ from what itsdangerous reckons, in whole ones.
_ROUNDING = 2.0
#: A number of these takes 32 bytes.
_SIXTY_BITS = (1 << 60) - 1
_Groups = Callable[[Any], Iterable[str]]


class Sessions:
    """Name every login on the server, so that a cookie from before its logout opens no socket."""

    def __init__(self, app: Flask, groups: _Groups | None = None, settings: Settings | None = None) -> None:
        self._app = app
        settings = settings or Settings()
        self._memory_days, self._timeout = settings.session_memory_days, settings.database_timeout
        self._groups = groups or groups_of
        flask.request_started.connect(_note_beginning, app)
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
        began = flask.g.get("_wsflask_began")
        return self._identity(user, user_id, self._session_id(user_id), loaded=began, expires=self._expiry())

    def _identity(self, user: Any, user_id: str, session_id: str, **times: Any) -> Identity:
        groups = _shared(frozenset(map(str, self._groups(user))))
        return Identity(user, user_id, groups, session_id, fingerprint=_fingerprint(user), **times)

    def _expiry(self) -> float:
        """Return the monotonic time at which Flask's cookie of the session expires, a second late at most.

        It is `payload.timestamp.signature`, as itsdangerous' TimestampSigner makes them. Flask has checked the last two
        when it opened the session, or has ignored the cookie: to do so again would be a twentieth of a connect. What a
        cookie that was ignored says can only bring the end of the socket nearer.
        """
        interface, lifetime = self._app.session_interface, self._app.permanent_session_lifetime.total_seconds()
        if not isinstance(interface, SecureCookieSessionInterface):
            return math.inf
        cookie = flask.request.cookies.get(interface.get_cookie_name(self._app), "")
        now = time.monotonic()
        try:
            left = int.from_bytes(base64_decode(cookie.split(".")[-2]), "big") + lifetime - time.time()
        except (IndexError, BadData, OverflowError):
            return math.inf  # no cookie: he was remembered, or signs in with each request
        at_first = left + now - flask.g.get("_wsflask_began", now)
        if at_first < -_ROUNDING or left > lifetime + _ROUNDING:
            return math.inf  # a cookie that Flask has not accepted
        return _whole(math.ceil(now + left))

    def name_session(self) -> None:
        """Give a session from before wsflask was there its name; called before every request of the application."""
        if _endpoint() in ("static", "websocket"):
            return
        if "_user_id" in flask.session:
            self._ensure_name(str(flask.session["_user_id"]), is_login=False)
        elif self._app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME) in flask.request.cookies:
            try:
                flask_login.current_user.get_id()  # Loaded, the user signs in, and his session gets its name.
            except Exception as error:
                log_failure(_log, error, "a remembered user could not be loaded")

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
            with pymongo.timeout(self._timeout):
                return f"{_unnamed(user_id)}:{EndedSession.last_end(_unnamed(user_id))}"
        except Exception as error:
            log_failure(_log, error, "a session of user %r got no name", user_id)
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
            with pymongo.timeout(self._timeout):
                EndedSession.end(session_id, user_id, days=self._memory_days)
        except Exception:  # one line for each: each is a session that did not end
            _log.exception("the end of a session of user %r could not be written; its sockets stay open", user_id)

    def ended(self, connections: Iterable[Connection]) -> set[str]:
        """Return the ids of those sessions of the connections that were ended. One query; may switch."""
        return EndedSession.ended_among({connection.identity.session_id for connection in connections})

    def renew(self, identities: Mapping[str, Identity]) -> tuple[dict[str, Identity | None], dict[str, Exception]]:
        """Load users again; return by id who they are now, None if gone, inactive or with another id; and what failed.

        Costs one query for each MongoEngine class of users, and one call of the application's user loader for each user
        of another kind, or who got from it more than a document has. May switch.
        """
        by_class: dict[type[Document], dict[Any, str]] = {}
        documents: dict[str, Any] = {}
        for user_id, identity in identities.items():
            if isinstance(identity.user, Document):
                by_class.setdefault(_root_of(type(identity.user)), {})[identity.user.pk] = user_id
        with self._app.app_context():
            for document_class, ids in by_class.items():
                query = document_class.objects(pk__in=list(ids)).read_preference(ReadPreference.PRIMARY)
                found = query.in_bulk(list(ids))
                documents |= {user_id: found.get(pk) for pk, user_id in ids.items()}
        renewed: dict[str, Identity | None] = {}
        failures: dict[str, Exception] = {}
        for user_id, identity in identities.items():
            try:
                with self._app.app_context():
                    renewed[user_id] = self._renewed(identity, documents.get(user_id), user_id in documents)
            except Exception as error:
                failures[user_id] = error
        return renewed, failures

    def _renewed(self, before: Identity, user: Any, is_loaded: bool) -> Identity | None:
        loader = self._app.login_manager._user_callback  # type: ignore[attr-defined]
        if not is_loaded or (user is not None and not vars(before.user).keys() <= vars(user).keys()):
            user = loader(before.user_id) if loader is not None else before.user
        if not _is_active(user) or str(user.get_id()) != before.user_id:
            return None
        return self._identity(user, before.user_id, before.session_id)


def is_signed_in() -> bool:
    """Return whether the current request is one of a signed-in user; loads nobody."""
    user = flask.g.get("_login_user")
    return "_user_id" in flask.session or (user is not None and bool(user.is_authenticated))


def _note_beginning(_app: Flask, **_: Any) -> None:
    """Note when a handshake began: before any hook of the application could load its user."""
    if _endpoint() == "websocket":
        flask.g._wsflask_began = time.monotonic()


def _endpoint() -> str:
    return (flask.request.endpoint or "").rpartition(".")[2]


def _unnamed(user_id: str) -> str:
    """Return the id of a cookie from before wsflask that never came by a page since; a user's all end together."""
    return f"user:{user_id}"


def _is_active(user: Any) -> bool:
    return user is not None and bool(getattr(user, "is_active", True))


def _root_of(document_class: type[Document]) -> type[Document]:
    """Return the class whose query finds the document whichever subclass it belongs to by now."""
    name = document_class._get_collection_name()
    line: list[Any] = [each for each in document_class.__mro__ if issubclass(each, Document)]
    root: type[Document] = [each for each in line if each._get_collection_name() == name][-1]
    return root


def _fingerprint(user: Any) -> int | None:
    """Return a number that is equal for equal contents of a user document; None for other users."""
    if not isinstance(user, Document):
        return None
    try:
        return hash(bson.encode(user.to_mongo(), codec_options=user._get_db().codec_options)) & _SIXTY_BITS
    except Exception:
        return None  # a document that cannot be encoded has no contents to compare


@lru_cache(_GROUP_SETS)
def _whole(seconds: int) -> float:
    """Return the one number for all who come in the same second."""
    return float(seconds)


@lru_cache(_GROUP_SETS)
def _shared(groups: frozenset[str]) -> frozenset[str]:
    """Return the one set for all who are in the same groups, or in none: each takes a few hundred bytes."""
    return groups


def derived_key(secret_key: str | bytes | None) -> bytes:
    """Return wsflask's own key, derived from the application's."""
    key = secret_key.encode() if isinstance(secret_key, str) else bytes(secret_key or b"")
    return hashlib.sha256(b"wsflask\0" + key).digest()


def groups_of(user: Any) -> Iterable[str]:
    """Return the groups in the user's attribute `groups`."""
    groups = getattr(user, "groups", None)
    if not isinstance(groups, list | tuple | set | frozenset):
        return ()
    return [group for group in groups if isinstance(group, str)]
