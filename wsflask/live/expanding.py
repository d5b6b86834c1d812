"""What rows refer to: loaded for a batch of changes, and rows read again because it has changed."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pymongo
from pymongo import ReadPreference
from pymongo.errors import PyMongoError

from ..feed.base import Change
from ..outage import log_failure
from .keys import identity_of, row_key
from .references import References
from .view import View

__all__ = ["loaded_references", "read_again"]

_log = logging.getLogger(__name__)

#: Documents asked for at once.
_BATCH = 1000


def loaded_references(wanted: Sequence[tuple[View, Change]], timeout: float) -> References:
    """Return what the rows show that the changes may make in the views, as far as the database tells. May switch.

    Args:
        timeout: seconds one query may take.
    """
    references = References()
    try:
        references.load(lambda found: (view.missing(change, found) for view, change in wanted), timeout)
    except PyMongoError as error:
        log_failure(_log, error, "what changed rows refer to could not be loaded")
    return references


def read_again(stale: Mapping[View, set[Hashable]], timeout: float) -> Iterator[list[tuple[View, Change]]]:
    """Yield, some at a time, the documents of rows that show something that has changed, as if they had. May switch.

    One query for each collection and thousand documents, whatever the number of views. One that is gone is left out:
    the feed tells of it.

    Args:
        stale: the rows, by view.
        timeout: seconds one query may take.

    Raises:
        PyMongoError: the database failed.
    """
    views: dict[str, list[View]] = {}
    for view in stale:
        views.setdefault(view.collection, []).append(view)
    for collection, showing in views.items():
        keys = list(set().union(*(stale[view] for view in showing)))
        source: Any = showing[0].query.exposure.document_class._get_collection()
        source = source.with_options(read_preference=ReadPreference.PRIMARY)  # others may be behind the feed
        for start in range(0, len(keys), _BATCH):
            wanted = {"_id": {"$in": [identity_of(key) for key in keys[start : start + _BATCH]]}}
            with pymongo.timeout(timeout):
                found = list(source.find(wanted))
            yield [
                (view, Change("", "U", collection, document["_id"], document))
                for document in found
                for view in showing
                if row_key(document["_id"]) in stale[view]
            ]
