"""The Flask side: the blueprint's routes, and what a handshake is refused for."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

import pymongo
from flask import Blueprint, Response, g, request
from flask.sansio.app import App
from flask.sansio.blueprints import BlueprintSetupState

from .assets import STATIC, TEMPLATES
from .config import Settings
from .identity import Identity
from .lobby import Host, Lobby, check_room, enter, leave
from .outage import log_failure
from .session import Sessions, is_signed_in
from .transport.crew import Crew
from .transport.handshake import Refused, answer, check_handshake, origin_is_allowed
from .transport.link import Link, Owner
from .transport.route import Opening, Options, add_route, is_endpoint
from .written import may_have_written

__all__ = ["Door", "make_blueprint"]

_log = logging.getLogger(__name__)

_PATH = "/ws"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Door(Host, Protocol):
    """The server, as its blueprint sees it."""

    @property
    def sessions(self) -> Sessions: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def patience(self) -> float: ...
    def attach(self, app: App) -> None: ...
    def stamp(self, response: Response) -> Response: ...
    @property
    def crew(self) -> Crew: ...
    def accept(
        self, link: Link, identity: Identity | None, environ: dict[str, Any], *, is_compressed: bool, is_away: bool
    ) -> Owner: ...


def make_blueprint(door: Door) -> Blueprint:
    """Return the blueprint `wsflask`: `/wsflask/ws`, and `/wsflask/static/` with the JS client."""
    blueprint = Blueprint(
        "wsflask",
        __name__,
        url_prefix="/wsflask",
        static_folder=str(STATIC),
        static_url_path="/static",
        template_folder=str(TEMPLATES),
    )
    blueprint.record_once(lambda state: door.attach(state.app))
    blueprint.record(functools.partial(_add_lobby, door))

    @blueprint.before_app_request
    def _name_session() -> None:
        door.sessions.name_session()

    @blueprint.after_app_request
    def _stamp(response: Response) -> Response:
        if door.settings.position_header and may_have_written(response) and is_signed_in():
            return door.stamp(response)
        return response

    @blueprint.before_request
    def _admit() -> Response | None:
        if not is_endpoint("websocket"):
            return None
        refused = _refusal(door)
        return answer(refused) if refused is not None else None

    @blueprint.route(_PATH, websocket=False, methods=_METHODS, endpoint="no_websocket")
    def _no_websocket() -> Response:
        return answer(check_handshake(request.environ) or Refused(400, "A WebSocket handshake is expected."))

    def open_connection() -> Opening:
        accept = functools.partial(door.accept, is_away=g.get("_wsflask_is_away", False))
        return functools.partial(_accept, accept, g._wsflask_identity, request.environ)

    def options() -> Options:
        return Options(door.settings.transport, door.settings.compression)

    add_route(blueprint, _PATH, "websocket", open_connection, options, door.crew)
    return blueprint


def _add_lobby(door: Door, state: BlueprintSetupState) -> None:
    app: Any = state.app
    app.wsgi_app = Lobby(app.wsgi_app, door, f"{(state.url_prefix or '').rstrip('/')}{_PATH}")


def _accept(
    accept: Callable[..., Owner], identity: Identity | None, environ: dict[str, Any], link: Link, *, is_compressed: bool
) -> Owner:
    return accept(link, identity, environ, is_compressed=is_compressed)


def _refusal(door: Door) -> Refused | None:
    """Return why this handshake is refused, or None, with the identity left in `g`."""
    environ = request.environ
    try:
        refused = check_handshake(environ) or _check_origin(door.settings) or enter(door, environ) or _identify(door)
    finally:
        leave(environ)
    return refused or check_room(door)  # Others may have come in meanwhile.


def _identify(door: Door) -> Refused | None:
    """Leave the identity in `g`, or return why there is none."""
    try:
        with pymongo.timeout(door.patience):
            g._wsflask_identity = door.sessions.identify()
    except Exception as error:
        if not log_failure(_log, error, "the user of a handshake could not be found out"):
            return Refused(503, "The user cannot be found out.", {"Retry-After": "5"})
        g._wsflask_identity, g._wsflask_is_away = None, True
    return None


def _check_origin(settings: Settings) -> Refused | None:
    origin = request.environ.get("HTTP_ORIGIN")
    if origin is None:
        if request.cookies and not settings.allow_missing_origin:
            return Refused(403, "A cookie without an Origin is not accepted.")
        return None
    if not origin_is_allowed(origin, request.host, request.scheme, settings.origins):
        _log.warning("a handshake from origin %r to %r was refused; see WSFLASK_ORIGINS", origin[:200], request.host)
        return Refused(403, "This origin is not allowed.")
    return None
