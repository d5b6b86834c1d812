"""Dotted paths through raw documents, as MongoDB's `find` follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import DBRef

from .compare import Normal, normal

__all__ = ["as_object", "is_index", "leaves", "values_at"]


def is_index(segment: str) -> bool:
    """Return whether the part of a path may also mean a place in a list."""
    return segment.isascii() and segment.isdigit() and (segment == "0" or segment[0] != "0")


def as_object(value: Any) -> dict[str, Any] | None:
    """Return the value where it has fields, else None."""
    if isinstance(value, dict):
        return value
    return value.as_doc() if isinstance(value, DBRef) else None


def values_at(document: Mapping[str, Any], path: str) -> list[Normal]:
    """Return the normal forms of all values that a condition on this path in the database is asked about.

    A raw document meets an equality exactly when one of them is the condition's.
    """
    if "." in path:
        return [normal(value) for value in leaves(document, path.split("."))]
    value = document.get(path)
    return [normal(item) for item in value] if isinstance(value, list) else [normal(value)]


def leaves(document: Mapping[str, Any], segments: list[str]) -> list[Any]:
    """Return the values at the end of the path, the items in place of a list that ends it; None where one is missing.

    A list on the way stands for its items: those that have fields are gone into, others have nothing to find. Where
    the next part of the path is a number, the item at that place is meant too.
    """
    found: list[Any] = []
    _follow(document, segments, 0, found)
    return found


def _follow(node: Mapping[str, Any], segments: list[str], at: int, found: list[Any]) -> None:
    last = len(segments) - 1
    while True:
        value = node.get(segments[at])
        if isinstance(value, list):
            if at == last:
                found.extend(value)
            else:
                _enter(value, segments, at + 1, found)
            return
        if at == last:
            found.append(value)
            return
        inner = as_object(value)
        if inner is None:
            found.append(None)
            return
        node = inner
        at += 1


def _enter(items: list[Any], segments: list[str], at: int, found: list[Any]) -> None:
    """Go on into a list that stands in the middle of the path."""
    place = int(segments[at]) if is_index(segments[at]) else -1
    for number, item in enumerate(items):
        inner = as_object(item)
        if inner is not None:
            _follow(inner, segments, at, found)
        if number != place:
            continue
        if at + 1 == len(segments):
            found.append(item)  # as it is, even a list
        elif inner is not None:
            _follow(inner, segments, at + 1, found)
        elif isinstance(item, list):
            _enter(item, segments, at + 1, found)
