"""What a client asks for when it subscribes, made the query of a view by what it may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..access.exposure import Exposure, Exposures
from ..config import Settings
from ..errors import Refusal
from .catalog import Right, parse_catalog
from .view import Query

__all__ = ["Asked", "parse_subscribe", "query_for"]

#: Characters of a position or of a view's name, as clients hand them back.
_MAX_TEXT = 512
_KEYS = {"class_name", "data_scope", "catalog", "show_hidden", "start_seq", "view"}
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


def parse_subscribe(data: Any) -> Asked:
    """Return the request in a client's data.

    Raises:
        Refusal: bad_data.
    """
    if not isinstance(data, dict) or not data.keys() <= _KEYS:
        raise Refusal("bad_data", "the data of a subscription")
    class_name, show_hidden = data.get("class_name"), data.get("show_hidden", False)
    texts = ["" if data.get(name) is None else data[name] for name in ("start_seq", "view")]
    if not isinstance(class_name, str) or not isinstance(show_hidden, bool | None):
        raise Refusal("bad_data", "class_name or show_hidden")
    if not all(isinstance(text, str) and len(text) <= _MAX_TEXT for text in texts):
        raise Refusal("bad_data", "start_seq or view")
    return Asked(class_name, data.get("data_scope"), data.get("catalog"), show_hidden is True, texts[0], texts[1])


def query_for(
    asked: Asked, user: Any, exposures: Exposures, settings: Settings, acl: Any = _NOT_GIVEN
) -> tuple[Query, bool]:
    """Return the query of the view, and whether hidden fields are shown in it. May switch, in an acl.

    Args:
        acl: the right to use in place of the exposure's own; who gives it also vouches for `show_hidden`.

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
    if access.is_empty:
        raise Refusal("not_found")
    seen = exposure.fields_for(user)
    everything = seen.union(exposure.hidden)
    scope = exposure.parse_scope(
        asked.data_scope,
        everything if may_see_hidden else seen,
        max_conditions=settings.scope_max_conditions,
        max_values=settings.scope_max_values,
    )
    is_hidden_shown = asked.show_hidden and may_see_hidden
    right = Right(exposure, access, everything if is_hidden_shown else seen)
    projection = parse_catalog(asked.catalog, right, _rights_of(user, exposures, asked.show_hidden))
    return Query(exposure, scope, access, projection), is_hidden_shown


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
