"""Rows as the HTML of a template: rendered once for each change, and shared by all who look at that page."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any

from ..access.names import KEY
from ..encoding import dumps
from .projection import Projection
from .references import Missing, References
from .view import Query

__all__ = ["RowTemplate", "in_markup", "is_one_element"]

_log = logging.getLogger(__name__)

#: The template's name, the name of the document in it, the row; returns HTML.
RowTemplate = Callable[[str, str, dict[str, Any]], str]

_FIRST_TAG = re.compile(r"\s*(?:<!--.*?-->\s*)*<([a-zA-Z][^\s/>]*)", re.DOTALL)
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


def in_markup(query: Query, template: str, render: RowTemplate, *, is_strict: bool = False) -> Query:
    """Return the query with rows `{"_id": …, "html": …}`, whose view is shared by all with this template.

    Args:
        render: `Host.render_row`.
        is_strict: raise what the template raises. Else it is logged and the row's `html` is null: the client leaves the
            row as it is, and other rows and views are not touched.
    """
    return dataclasses.replace(query, projection=_Markup(query, template, render, is_strict=is_strict))


class _Markup(Projection):
    """The rows of another projection as HTML."""

    __slots__ = ("_inner", "_is_strict", "_name", "_render", "_template")

    def __init__(self, query: Query, template: str, render: RowTemplate, *, is_strict: bool) -> None:
        self._inner = query.projection
        self._template = template
        self._name = query.exposure.document_class.__name__.lower()
        self._render = render
        self._is_strict = is_strict
        self.key = f"html {template!r} {self._inner.key}"
        self.collections = self._inner.collections
        self.paths = self._inner.paths

    def row(self, document: Mapping[str, Any], references: References) -> dict[str, Any]:
        row = self._inner.row(document, references)
        return {KEY: row[KEY], "html": self._html(row)}

    def _html(self, row: dict[str, Any]) -> str | None:
        identity = row[KEY]
        try:
            return _with_id(self._render(self._template, self._name, row), identity)
        except Exception as error:
            if self._is_strict:
                raise
            _log.exception("%s failed for a row: %s", self._template, type(error).__name__)
            return None

    def note_missing(self, document: Mapping[str, Any], references: References, missing: Missing) -> None:
        self._inner.note_missing(document, references, missing)


def _with_id(html: str, identity: Any) -> str:
    """Return the element with the document's id as its first attribute, in JSON.

    The text before the first attribute is the template's own, for what is escaped has no `<`; and of two attributes of
    one name browsers take the first.
    """
    found = _FIRST_TAG.match(html)
    if found is None:
        raise ValueError("a row's template gives an element; it has to begin with <tag …>")
    return f"<{found[1]} data-wsflask-id='{_quoted(identity)}'{html[found.end() :].rstrip()}"


def _quoted(value: Any) -> str:
    text = dumps(value).decode()
    return text.replace("&", "&amp;").replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")


def is_one_element(html: str) -> bool:
    """Return whether the text is one element, with nothing beside it."""
    parser = _Outline()
    parser.feed(html)
    parser.close()
    return parser.roots == 1 and not parser.has_more


class _Outline(HTMLParser):
    """Counts the outermost elements. End tags that HTML lets out are not missed."""

    def __init__(self) -> None:
        super().__init__()
        self.roots = 0
        self.has_more = False
        self._root = ""
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if self._depth == 0:
            self.roots += 1
            self._root = tag
        if tag == self._root and tag not in _VOID:
            self._depth += 1

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._root and self._depth:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth == 0 and data.strip():
            self.has_more = True
