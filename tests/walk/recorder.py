"""Every image that every document has ever had, rebuilt from the change stream's own deltas."""

from __future__ import annotations

import copy
import datetime
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gevent
from pymongo.database import Database
from pymongo.errors import PyMongoError

from wsflask.encoding import to_json_value

from .domains import MARKER
from .rights import Raw
from .shapes import CLASSES

__all__ = ["Image", "Recorder", "updated"]

_WATCHED = sorted({shape.collection for shape in CLASSES.values()})


@dataclass(slots=True)
class Image:
    """A document as it was for a while; None: it was not there."""

    document: Raw | None
    since: float
    until: float = float("inf")


class Recorder:
    """Follows the database. Ids are as on the wire.

    Updates come as deltas, and are applied here: so each image is exact, also one that was gone a moment later.
    """

    def __init__(self, database: Database[Any]) -> None:
        self._database = database
        #: Collection and id to the images, the latest last.
        self.images: dict[tuple[str, Any], list[Image]] = {}
        #: Marker to the collections and ids of the documents that it was ever in: one update may go to several.
        self.owners: dict[str, set[tuple[str, Any]]] = {}
        self.changes = 0
        self.drops = 0
        #: Why it stopped, if it did.
        self.failure = ""
        self._stopped = threading.Event()
        self._moment = 0.0
        match = {"$match": {"$or": [{"ns.coll": {"$in": _WATCHED}}, {"operationType": "invalidate"}]}}
        self._stream = database.watch([match], max_await_time_ms=100)
        self._stream.try_next()
        self._task = gevent.spawn(self._follow)

    def stop(self) -> None:
        """Stop following."""
        self._stopped.set()
        self._task.join(5)
        self._stream.close()

    def await_quiet(self) -> None:
        """Return when nothing came for a while. May switch."""
        seen = -1
        while seen != self.changes:
            seen = self.changes
            gevent.sleep(0.4)

    def current(self) -> dict[str, dict[Any, Raw]]:
        """Return the documents of the present: collection to id, as stored, to document."""
        found: dict[str, dict[Any, Raw]] = {}
        for (collection, _), images in self.images.items():
            document = images[-1].document
            if document is not None:
                found.setdefault(collection, {})[document["_id"]] = document
        return found

    def _follow(self) -> None:
        try:
            while not self._stopped.is_set():
                event = self._stream.try_next()
                if event is not None:
                    self._take(event)
        except PyMongoError as error:
            self.failure = f"{type(error).__name__}: {error}"

    def _take(self, event: Mapping[str, Any]) -> None:
        self.changes += 1
        self._moment = _moment_of(event)
        kind, collection = event["operationType"], event.get("ns", {}).get("coll", "")
        if kind == "drop":
            self.drops += 1
            for (of_collection, identity), images in list(self.images.items()):
                if of_collection == collection and images[-1].document is not None:
                    self._note((collection, identity), None)
            return
        if kind not in ("insert", "update", "replace", "delete"):
            return
        key = (collection, to_json_value(event["documentKey"]["_id"]))
        if kind == "update":
            before = self.images[key][-1].document
            assert before is not None, event
            self._note(key, updated(before, event["updateDescription"]))
        else:
            self._note(key, event.get("fullDocument"))

    def _note(self, key: tuple[str, Any], document: Raw | None) -> None:
        images = self.images.setdefault(key, [])
        if images:
            images[-1].until = self._moment
        images.append(Image(document, self._moment))
        for value in (document or {}).values():
            if type(value) is str and MARKER.fullmatch(value):
                self.owners.setdefault(value, set()).add(key)


def _moment_of(event: Mapping[str, Any]) -> float:
    """Return the monotonic time of the change itself: we may hear of it later than clients do."""
    wall: datetime.datetime = event["wallTime"]
    happened = wall if wall.tzinfo is not None else wall.replace(tzinfo=datetime.UTC)
    return time.monotonic() - max(time.time() - happened.timestamp(), 0.0)


def updated(document: Raw, delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with a delta of the change stream applied."""
    changed = copy.deepcopy(dict(document))
    for cut in delta.get("truncatedArrays") or ():
        parent, last = _parent(changed, cut["field"])
        del parent[last][cut["newSize"] :]
    for path, value in delta["updatedFields"].items():
        parent, last = _parent(changed, path)
        if isinstance(parent, list) and last >= len(parent):
            parent.extend([None] * (last - len(parent) + 1))
        parent[last] = value
    for path in delta["removedFields"]:
        parent, last = _parent(changed, path)
        parent.pop(last, None)
    return changed


def _parent(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Return what holds the end of a dotted path, and the key or index there."""
    place: Any = document
    *above, last = path.split(".")
    for part in above:
        place = place[int(part) if isinstance(place, list) else part]
    return place, int(last) if isinstance(place, list) else last
