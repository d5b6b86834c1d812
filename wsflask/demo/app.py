"""The demo application: a departures desk as it was before, with wsflask registered into it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import mongoengine
from flask import Flask, render_template
from flask_login import LoginManager
from mongoengine.connection import ConnectionFailure, get_connection
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

from wsflask.assets import STATIC, TEMPLATES
from wsflask.errors import ConfigError

from .models import User, utc
from .protection import protect
from .realtime import create_server, tell_staff
from .replay import Replay
from .views import desk

__all__ = ["create_app"]

_NEW_YORK = ZoneInfo("America/New_York")
_MISSING = ("This page does not exist", "It may have been taken off the board, or belong to another airline.")
#: Title and sentence of the error pages by status.
_ERRORS = {
    400: ("This form is out of date", "Go back, load the page again, and send the form once more."),
    404: _MISSING,
    405: _MISSING,
    503: ("The database does not answer", "The desk will be back as soon as it does. Try again in a moment."),
}


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the demo application.

    Args:
        config: Flask's configuration. `SECRET_KEY` is required; `WSFLASK_MONGODB_URI` names the database, unless
            MongoEngine is connected already; `WSFLASK_DEMO_SPEED` is the speed of the replay in minutes a second.
    """
    app = Flask(
        "wsflask.demo", template_folder=str(TEMPLATES), static_folder=str(STATIC / "demo"), static_url_path="/static"
    )
    app.config.from_mapping(SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax", MAX_CONTENT_LENGTH=64 * 1024)
    app.config.from_mapping(config or {})
    if not app.config.get("SECRET_KEY"):
        raise ConfigError("the demo has no SECRET_KEY; set it to the same random text in every worker")
    _connect(app.config.get("WSFLASK_MONGODB_URI"))
    _add_login(app)
    protect(app)
    app.register_blueprint(desk)
    app.register_error_handler(HTTPException, _error_page)
    app.register_error_handler(PyMongoError, _no_database)
    app.add_template_filter(_local_time, "local_time")
    app.add_template_filter(_iso, "iso")
    _add_realtime(app)
    return app


def _add_realtime(app: Flask) -> None:
    server = create_server()
    app.register_blueprint(server.blueprint)
    replay = Replay(tell=tell_staff, speed=_speed(app))
    app.extensions["wsflask-demo"] = replay
    app.before_request(replay.start)


def _add_login(app: Flask) -> None:
    manager = LoginManager(app)
    manager.login_view = "desk.login"
    manager.login_message = None
    manager.user_loader(lambda username: User.objects(username=username).first())


def _connect(uri: str | None) -> None:
    try:
        get_connection()
    except ConnectionFailure:
        if not uri:
            raise ConfigError("the demo has no database; set WSFLASK_MONGODB_URI") from None
        mongoengine.connect("wsflask_demo", host=uri, tz_aware=True, serverSelectionTimeoutMS=5000)


def _speed(app: Flask) -> float | None:
    given = app.config.get("WSFLASK_DEMO_SPEED")
    if given in (None, ""):
        return None
    try:
        speed = float(given)
    except ValueError:
        speed = -1.0
    if not 0 <= speed <= 120:
        raise ConfigError(f"WSFLASK_DEMO_SPEED is {given!r}; write minutes a second, 0 to 120")
    return speed


def _error_page(error: HTTPException) -> tuple[str, int] | HTTPException:
    if error.code not in _ERRORS:
        return error
    title, sentence = _ERRORS[error.code]
    return render_template("wsflask/demo/error.html", title=title, sentence=sentence), error.code


def _no_database(error: Exception) -> tuple[str, int]:
    title, sentence = _ERRORS[503]
    return render_template("wsflask/demo/error.html", title=title, sentence=sentence), 503


def _local_time(moment: datetime | None) -> str:
    """Show a moment as the hour in New York."""
    aware = utc(moment)
    return aware.astimezone(_NEW_YORK).strftime("%H:%M") if aware else "\N{EN DASH}"


def _iso(moment: datetime | None) -> str:
    """Show a moment as browsers read it."""
    aware = utc(moment)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ") if aware else ""
