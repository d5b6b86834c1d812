"""Documents that others refer to, loaded for a batch of rows: one query for each class, never one for each row."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import pymongo
from bson import DBRef
from pymongo import ReadPreference

from ..access.exposure import Exposure
from .keys import row_key

__all__ = ["Missing", "References", "referenced_id"]

#: Ids of documents that are still to be loaded, by exposure.
Missing = dict[Exposure, dict[Hashable, Any]]


def referenced_id(stored: Any) -> Any:
    """Return the id in a reference as MongoEngine stores it: bare, as DBRef, or with cached fields around it."""
    if isinstance(stored, DBRef):
        return stored.id
    if isinstance(stored, Mapping):
        return referenced_id(stored.get("_id", stored.get("_ref")))
    return stored


class References:
    """What has been loaded so far."""

    def __init__(self) -> None:
        self._found: dict[Exposure, dict[Hashable, Mapping[str, Any] | None]] = {}

    def get(self, exposure: Exposure, identity: Any) -> Mapping[str, Any] | None:
        """Return the raw document, or None where there is none or it was not loaded."""
        return self._found.get(exposure, {}).get(row_key(identity))

    def note_missing(self, exposure: Exposure, identity: Any, missing: Missing) -> None:
        """Add the id to `missing`, unless it was looked for already."""
        key = row_key(identity)
        if identity is not None and key not in self._found.get(exposure, {}):
            missing.setdefault(exposure, {})[key] = identity

    def shown_by(self, note: Callable[[References, Missing], None]) -> Missing:
        """Return all documents that a row shows, loaded or not.

        Args:
            note: the row's way to note what is missing.
        """
        shown: Missing = {}
        note(_Watched(self), shown)
        return shown

    def load(self, find_missing: Callable[[References], Iterable[Missing]], timeout: float) -> None:
        """Load what is missing, and what that refers to in turn, until nothing is. May switch.

        Args:
            find_missing: called after each round.
            timeout: seconds one query may take.
        """
        while True:
            wanted: Missing = {}
            for missing in find_missing(self):
                for exposure, ids in missing.items():
                    wanted.setdefault(exposure, {}).update(ids)
            if not wanted:
                return
            for exposure, ids in wanted.items():
                self._load_class(exposure, ids, timeout)

    def _load_class(self, exposure: Exposure, ids: dict[Hashable, Any], timeout: float) -> None:
        found: dict[Hashable, Mapping[str, Any] | None] = dict.fromkeys(ids)
        collection = exposure.document_class._get_collection().with_options(read_preference=ReadPreference.PRIMARY)
        query = {"_id": {"$in": list(ids.values())}}
        with pymongo.timeout(timeout):
            for document in collection.find(query):
                found[row_key(document["_id"])] = document
        self._found.setdefault(exposure, {}).update(found)


class _Watched(References):
    """Has what the others have, and notes every document that is asked for."""

    def __init__(self, references: References) -> None:
        self._found = references._found

    def note_missing(self, exposure: Exposure, identity: Any, missing: Missing) -> None:
        if identity is not None:
            missing.setdefault(exposure, {})[row_key(identity)] = identity
