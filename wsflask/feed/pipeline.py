"""What the change stream is asked for, and what its events mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from .base import Change, Namespace

__all__ = ["Event", "change_in", "namespaces_in", "pipeline_for"]

Event = Mapping[str, Any]

_OPS = {"insert": "I", "update": "U", "replace": "U", "delete": "D"}


def pipeline_for(namespaces: frozenset[Namespace]) -> list[dict[str, Any]]:
    """Return the filter for the changes of these collections, and for whatever ends or replaces one."""
    collections: dict[str, list[str]] = defaultdict(list)
    for database, collection in sorted(namespaces):
        collections[database].append(collection)
    wanted: list[dict[str, Any]] = [{"operationType": {"$in": ["dropDatabase", "invalidate"]}}]
    for database, names in collections.items():
        wanted.append({"ns.db": database, "ns.coll": {"$in": names}})
        wanted.append({"to.db": database, "to.coll": {"$in": names}})
    return [{"$match": {"$or": wanted}}]


def change_in(event: Event) -> Change | None:
    """Return the change an event tells of; None if it is of another kind, or about a document that is gone since."""
    op = _OPS.get(event["operationType"])
    if op is None:
        return None
    document = event.get("fullDocumentBeforeChange" if op == "D" else "fullDocument")
    if document is None and op != "D":
        return None  # deleted before it could be looked up: the delete follows
    return Change(event["_id"]["_data"], op, event["ns"]["coll"], event["documentKey"]["_id"], document)


def namespaces_in(event: Event) -> tuple[Namespace, ...]:
    """Return the collections that an event of the kind drop or rename names."""
    places = (event.get("ns"), event.get("to"))
    return tuple((place["db"], place["coll"]) for place in places if place)
