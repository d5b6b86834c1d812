"""Dotted paths through raw documents, as MongoDB's `find` follows them."""

from __future__ import annotations

__all__ = ["is_index"]


def is_index(segment: str) -> bool:
    """Return whether the part of a path may also mean a place in a list."""
    return segment.isascii() and segment.isdigit() and (segment == "0" or segment[0] != "0")
