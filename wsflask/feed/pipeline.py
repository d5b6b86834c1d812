"""What the change stream is asked for, and what its events mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from .changes import Change, Gap, Late
from .subscription import Namespace
from .tail import Event

__all__ = ["OPS", "pipeline_for", "stage_options", "told_by"]

#: What happens to documents, by MongoDB's name.
OPS = {"insert": "I", "update": "U", "replace": "U", "delete": "D"}

#: First wire version with pre-images, MongoDB 6.0.
_PRE_IMAGES = 17

#: An event with more than one image of a document, or with an image and the new values, may be larger than an event
#: can be, and end the stream. One of them is needed.
_ONE_IMAGE = {
    "operationType": 1,
    "ns": 1,
    "to": 1,
    "documentKey._id": 1,
    "fullDocument": 1,
    "fullDocumentBeforeChange": {
        "$cond": [{"$eq": ["$operationType", "delete"]}, "$fullDocumentBeforeChange", "$$REMOVE"]
    },
}
_NO_IMAGE = {"operationType": 1, "ns": 1, "documentKey._id": 1}


def pipeline_for(namespaces: Iterable[Namespace], *, with_image: bool = True) -> list[dict[str, Any]]:
    """Return the filter for the changes of these collections, and for whatever ends or replaces one."""
    collections: dict[str, list[str]] = defaultdict(list)
    for database, collection in sorted(namespaces):
        collections[database].append(collection)
    wanted: list[dict[str, Any]] = [{"operationType": {"$in": ["dropDatabase", "invalidate"]}}]
    for database, names in collections.items():
        wanted.append({"ns.db": database, "ns.coll": {"$in": names}})
        wanted.append({"to.db": database, "to.coll": {"$in": names}})
    return [{"$match": {"$or": wanted}}, {"$project": _ONE_IMAGE if with_image else _NO_IMAGE}]


def stage_options(hello: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else to ask of the server that answered so: documents, and their last states where it keeps them."""
    options = {"fullDocument": "updateLookup"}
    if hello.get("maxWireVersion", 0) >= _PRE_IMAGES:
        options["fullDocumentBeforeChange"] = "whenAvailable"
    return options


def told_by(
    seq: str, event: Event, watched: frozenset[Namespace], options: CodecOptions[dict[str, Any]]
) -> list[tuple[Namespace, Change | Gap]]:
    """Return what an event tells, and to those who watch which of the collections; also changes that are overtaken."""
    kind = event["operationType"]
    op = OPS.get(kind)
    if op is not None:
        place = event["ns"]
        namespace = place["db"], place["coll"]
        document = event.get("fullDocumentBeforeChange" if op == "D" else "fullDocument")
        if isinstance(document, RawBSONDocument):
            document = Late(bytes(document.raw), options)
        return [(namespace, Change(seq, op, namespace[1], event["documentKey"]["_id"], document))]
    if kind in ("drop", "rename"):
        reason, places = f"a collection was changed by {kind}", (event["ns"], event.get("to"))
        return [((place["db"], place["coll"]), Gap(seq, reason, place["coll"])) for place in places if place]
    if kind == "dropDatabase":
        lost = [namespace for namespace in watched if namespace[0] == event["ns"]["db"]]
        return [(namespace, Gap(seq, "the database was dropped", namespace[1])) for namespace in lost]
    return []
