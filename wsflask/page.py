"""Live pages: `{{ live(Order.objects(status="open"), template="order_row.html") }}` in the application's templates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import flask
from flask import Flask
from jinja2 import Environment
from markupsafe import Markup, escape

from .access.exposure import Exposure, Exposures
from .config import Settings
from .errors import ConfigError, Refusal
from .live.asking import Asked, query_for
from .live.loads import load_rows
from .live.markup import in_markup, is_one_element
from .live.querysets import class_of, wanted_by
from .live.sealing import sealed
from .live.view import Loaded, Query
from .session import Sessions

__all__ = ["Pages", "Site"]

_TAG = re.compile(r"[a-z][a-z0-9-]*\Z")
#: What is answered with an empty container: to have no right is no fault.
_NO_RIGHT = frozenset({"not_found", "forbidden"})


class Site(Protocol):
    """The server, as its pages see it."""

    exposures: Exposures
    settings: Settings

    @property
    def secret(self) -> bytes: ...
    @property
    def sessions(self) -> Sessions: ...
    def run_hook(self, hook: Callable[..., Any], *args: Any) -> Any: ...


class Pages:
    """Renders rows, in pages and for those who look at them; the application's templates get `live`."""

    def __init__(self, site: Site, app: Flask) -> None:
        self._site = site
        self._app = app
        self._environment: Environment | None = None
        app.add_template_global(self.live, "live")

    # --- in a page

    def live(
        self,
        documents: Any,
        template: str,
        *,
        fields: Sequence[str] | Mapping[str, Any] | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
        tag: str = "div",
    ) -> Markup:
        """Return the rows in an element that the client keeps up to date, from exactly this moment on. May switch.

        They are what the signed-in user would get if he subscribed, by the same rights; without any, or with nobody
        signed in, the element is empty.

        Args:
            documents: an exposed class, or a QuerySet of one: equality, `ne lt lte gt gte in`, order and limit.
            template: gives one element for `row`, which has the fields' JSON values, and bears the class's name in
                lower case too. Rendered without a request: it is shared by all who see the same.
            fields: names of the fields, or a catalog; None: all that the user may see.
            order_by: field, or "-field", or a list of them, in place of the QuerySet's.
            limit: rows at most, in place of the QuerySet's.
            tag: name of the element; "tbody" in a table.

        Raises:
            ConfigError: the class is not exposed, or a subscription cannot ask for what the QuerySet does.
        """
        if not isinstance(tag, str) or not _TAG.match(tag):
            raise ConfigError(f"live(): the tag is {tag!r}; write 'div', say, or 'tbody'")
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigError(f"live(): the limit is {limit!r}; write how many rows at most")
        exposure = self._exposure_of(class_of(documents))
        self._check_template(template)
        wanted = wanted_by(documents, exposure, self._site.settings)
        parts: dict[str, Any] = {
            "class_name": exposure.name,
            "data_scope": wanted.data_scope,
            "catalog": _catalog(fields),
            "order_by": _names(order_by) if order_by is not None else wanted.order_by,
            "limit": limit if limit is not None else wanted.limit,
            "template": template,
        }
        identity = None if wanted.is_nothing else self._site.sessions.identify()
        container = self._container(parts, identity.user, exposure) if identity is not None else None
        attributes, rows = container if container is not None else ("", "")
        return Markup(f"<{tag}{attributes}>{rows}</{tag}>")  # noqa: S704 - rows are rendered with autoescape

    def _exposure_of(self, document_class: Any) -> Exposure:
        exposure = self._site.exposures.for_class(document_class)
        if exposure is None:
            name = document_class.__name__
            raise ConfigError(f"live(): {name} is not exposed; write server.expose({name}, fields=(…), …)")
        return exposure

    def _container(self, parts: dict[str, Any], user: Any, exposure: Exposure) -> tuple[str, str] | None:
        """Return the attributes and the rows, or None where the user has no right."""
        try:
            query, loaded = self._load(parts, user)
        except Refusal as refusal:
            if refusal.code in _NO_RIGHT:
                return None
            raise ConfigError(f"live() of {exposure.name} would be refused with {refusal}") from None
        text = sealed(parts, self._site)
        if len(text) > self._site.settings.max_json_string:
            raise ConfigError(f"live() of {exposure.name} has too many values for a client to send back")
        attributes = {"live": text, "view": query.name(self._site.secret), "seq": loaded.position}
        seen = list(loaded.rows.values())[: query.limit or None]
        rows = [str(json.loads(row.body)["html"]) for row in seen]
        if rows and not is_one_element(rows[0]):
            raise ConfigError(f"{parts['template']} has to give one element for a row, with nothing beside it")
        shown = "".join(f' data-wsflask-{name}="{escape(value)}"' for name, value in attributes.items() if value)
        return shown, "\n".join(rows)

    def _load(self, parts: dict[str, Any], user: Any) -> tuple[Query, Loaded]:
        asked = Asked(**{name: value for name, value in parts.items() if name != "template"})
        query, _ = query_for(asked, user, self._site.exposures, self._site.settings)
        query = in_markup(query, parts["template"], self.render_row, is_strict=True)
        return query, load_rows(query, self._site.settings)

    # --- a row

    def render_row(self, template: str, name: str, row: dict[str, Any]) -> str:
        """Return the row in the template, in an application context of its own and without a request."""
        return str(self._site.run_hook(self._render, template, name, row))

    def _render(self, template: str, name: str, row: dict[str, Any]) -> str:
        return self._rows.get_template(template).render({name: row, "row": row})

    def _check_template(self, template: Any) -> None:
        if not isinstance(template, str):
            raise ConfigError(f"live(): the template is {template!r}; write the name of its file")
        autoescape = self._rows.autoescape
        if not (autoescape(template) if callable(autoescape) else autoescape):
            raise ConfigError(f"live(): {template} would not be escaped; give it a name that ends in .html")

    @property
    def _rows(self) -> Environment:
        """The application's Jinja environment, as rows need it."""
        if self._environment is None:
            self._environment = _environment_for_rows(self._app)
        return self._environment


def _environment_for_rows(app: Flask) -> Environment:
    """Return an environment where `url_for` needs no request, and `order.items` is the field if there is one."""
    environment = app.jinja_env.overlay()
    adapter = app.url_map.bind(app.config["SERVER_NAME"] or "localhost", app.config["APPLICATION_ROOT"])
    environment.globals = {**app.jinja_env.globals, "url_for": partial(_path_of, app, adapter), "live": _no_live}
    plain = environment.getattr

    def field_first(obj: Any, attribute: str) -> Any:
        return obj[attribute] if type(obj) is dict and attribute in obj else plain(obj, attribute)

    environment.getattr = field_first  # type: ignore[method-assign]
    return environment


def _path_of(app: Flask, adapter: Any, endpoint: str, *, _external: bool = False, **values: Any) -> str:
    """Return the path of an endpoint; an absolute URL needs the setting SERVER_NAME, as without a request it does."""
    if _external:
        return flask.url_for(endpoint, _external=True, **values)
    anchor = values.pop("_anchor", None)
    app.inject_url_defaults(endpoint, values)
    path = str(adapter.build(endpoint, values, force_external=False))
    return path if anchor is None else f"{path}#{anchor}"


def _no_live(*_: Any, **__: Any) -> str:
    raise ConfigError("live() cannot be used in the template of a row")


def _catalog(fields: Any) -> Any:
    if isinstance(fields, str):
        raise ConfigError(f"live(): fields is a string; write fields=({fields!r},)")
    return fields if fields is None or isinstance(fields, Mapping) else dict.fromkeys(fields)


def _names(order_by: str | Sequence[str]) -> list[str]:
    return [order_by] if isinstance(order_by, str) else list(order_by)
