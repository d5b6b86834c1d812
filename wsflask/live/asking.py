"""What a client asks for when it subscribes, made the query of a view by what it may see."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from ..access.exposure import Exposure, Exposures
from ..access.names import KEY
from ..access.order import Order
from ..config import Settings
from ..errors import Refusal
from .catalog import Right, parse_catalog
from .keys import row_key
from .view import Query

__all__ = ["Asked", "held_rows", "parse_subscribe", "query_for"]

#: Characters of a position or of a view's name, as clients hand them back.
_MAX_TEXT = 512
_KEYS = {
    "class_name", "data_scope", "catalog", "show_hidden", "start_seq", "view", "rows", "order_by", "limit",
}  # fmt: skip
#: What goes with the sealed text of a page, which says the rest.
_LIVE_KEYS = {"live", "start_seq", "view", "rows"}
_NOT_GIVEN: Any = object()


@dataclass(frozen=True, slots=True)
class Asked:
    """The data of a request to subscribe, with its shape checked."""

    class_name: str
    data_scope: Any = None
    catalog: Any = None
    show_hidden: bool = False
    start_seq: str = ""
    view: str = ""
    #: The ids that the client has, with `start_seq`; None: it does not say.
    rows: Sequence[Any] | None = None
    order_by: Any = None
    limit: int | None = None
    #: The template of the rows on a live page.
    template: str = ""


def _no_page(text: str) -> dict[str, Any]:
    raise Refusal("bad_data", "there are no pages")


def parse_subscribe(data: Any, open_live: Callable[[str], dict[str, Any]] = _no_page) -> Asked:
    """Return the request in a client's data.

    Args:
        open_live: `sealing.opened`, for the sealed text of a page.

    Raises:
        Refusal: bad_data.
    """
    template = ""
    if isinstance(data, dict) and "live" in data:
        if not isinstance(data["live"], str) or not data.keys() <= _LIVE_KEYS:
            raise Refusal("bad_data", "the data of a live page")
        parts = open_live(data["live"])
        template = parts.pop("template")
        data = {**parts, **{name: value for name, value in data.items() if name != "live"}}
    if not isinstance(data, dict) or not data.keys() <= _KEYS:
        raise Refusal("bad_data", "the data of a subscription")
    class_name, show_hidden = data.get("class_name"), data.get("show_hidden", False)
    texts = ["" if data.get(name) is None else data[name] for name in ("start_seq", "view")]
    if not isinstance(class_name, str) or not isinstance(show_hidden, bool | None):
        raise Refusal("bad_data", "class_name or show_hidden")
    if not all(isinstance(text, str) and len(text) <= _MAX_TEXT for text in texts):
        raise Refusal("bad_data", "start_seq or view")
    rows, limit = data.get("rows"), data.get("limit")
    if not isinstance(rows, list | None):
        raise Refusal("bad_data", "rows")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise Refusal("bad_data", "limit")
    return Asked(
        class_name,
        data.get("data_scope"),
        data.get("catalog"),
        show_hidden is True,
        texts[0],
        texts[1],
        rows,
        data.get("order_by"),
        limit,
        template,
    )


def query_for(
    asked: Asked,
    user: Any,
    exposures: Exposures,
    settings: Settings,
    acl: Any = _NOT_GIVEN,
    *,
    may_be_empty: bool = False,
) -> tuple[Query, bool]:
    """Return the query of the view, and whether hidden fields are shown in it. May switch, in a `read`.

    Args:
        acl: the right to use in place of the exposure's own; who gives it also vouches for `show_hidden`.
        may_be_empty: whether a user who may read nothing has a view, without rows.

    Raises:
        Refusal: not_found (not exposed, or nothing of it may be read: the same answer), forbidden (a scope over a
            field the user does not see), bad_data, too_big, too_deep.
    """
    exposure = exposures.get(asked.class_name)
    if exposure is None:
        raise Refusal("not_found")
    if acl is _NOT_GIVEN:
        access = exposure.access_for(user)
        may_see_hidden = exposure.may_see_hidden(user)
    else:
        access = exposure.access_by(acl, user)
        may_see_hidden = asked.show_hidden
    if access.is_empty and not may_be_empty:
        raise Refusal("not_found")
    seen = exposure.fields_for(user)
    everything = seen.union(exposure.hidden)
    comparable = everything if may_see_hidden else seen
    scope = exposure.parse_scope(
        asked.data_scope,
        comparable,
        max_conditions=settings.scope_max_conditions,
        max_values=settings.scope_max_values,
    )
    is_hidden_shown = asked.show_hidden and may_see_hidden
    right = Right(exposure, access, everything if is_hidden_shown else seen)
    projection = parse_catalog(asked.catalog, right, _rights_of(user, exposures, asked.show_hidden))
    order, limit = _window(asked, exposure, comparable, settings)
    return Query(exposure, scope, access, projection, order, limit), is_hidden_shown


def _window(
    asked: Asked, exposure: Exposure, comparable: frozenset[str], settings: Settings
) -> tuple[Order | None, int]:
    if asked.order_by is None and asked.limit is None:
        return None, 0
    limit = settings.view_max_window if asked.limit is None else asked.limit
    if limit > settings.view_max_window:
        raise Refusal("too_big", "limit")
    return exposure.parse_order(asked.order_by, comparable), limit


def held_rows(asked: Asked, exposure: Exposure) -> dict[Hashable, Any] | None:
    """Return the ids that the client has, by key; None where it does not say, or what it says are no ids."""
    if asked.rows is None:
        return None
    convert = exposure.names.filter_field(KEY).convert
    try:
        return {row_key(convert(id_)): id_ for id_ in asked.rows}
    except (ValueError, TypeError, ArithmeticError):
        return None


def _rights_of(user: Any, exposures: Exposures, show_hidden: bool) -> Any:
    """Return how the classes that references point to are judged: each once, by its own exposure."""
    known: dict[Exposure, Right | None] = {}

    def right(document_class: Any) -> Right | None:
        exposure = exposures.for_class(document_class)
        if exposure is None:
            return None
        if exposure not in known:
            access = exposure.access_for(user)
            visible = exposure.fields_for(user, show_hidden)
            known[exposure] = None if access.is_empty else Right(exposure, access, visible)
        return known[exposure]

    return right
