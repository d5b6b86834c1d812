"""The rows of a query, exactly as they were at one position."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from ..config import Settings
from ..encoding import dumps
from ..errors import Refusal
from .keys import row_key
from .references import References
from .view import Query

__all__ = ["Loaded", "load_rows"]

#: The collection has just been made: in a moment there is a snapshot of it.
_NO_SNAPSHOT_YET = 246
_TRIES, _PAUSE = 20, 0.02
#: A server without replication has no snapshots.
_NO_SNAPSHOTS = {72, 123, 20}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows as JSON by key, in order, and the position they are of; "": of no exact moment."""

    rows: dict[Hashable, bytes]
    position: str = ""


def load_rows(query: Query, settings: Settings, sort: Sequence[tuple[str, int]] = (), limit: int = 0) -> Loaded:
    """Return the rows: one query, and one for each class that is expanded. May switch.

    Raises:
        Refusal: too_big, when there are more rows than a view may hold.
        PyMongoError: the database did not answer in time.
    """
    order = dict(sort or ([("_id", 1)] if limit else []))
    documents, position = _documents(query, settings, order, limit or settings.view_max_rows + 1)
    if len(documents) > settings.view_max_rows:
        raise Refusal("too_big", "rows of a view")
    references = References()
    projection = query.projection
    references.load(lambda found: (projection.missing(one, found) for one in documents), settings.database_timeout)
    return Loaded({row_key(one["_id"]): dumps(projection.row(one, references)) for one in documents}, position)


def _documents(query: Query, settings: Settings, sort: Any, limit: int) -> tuple[list[dict[str, Any]], str]:
    collection = query.exposure.document_class._get_collection()
    command: dict[str, Any] = {
        "find": collection.name,
        "filter": query.to_query(),
        "projection": dict.fromkeys(query.projection.paths, 1),
        "limit": limit,
        "batchSize": limit,
        "maxTimeMS": int(settings.database_timeout * 1000),
        "collation": {"locale": "simple"},
        **({"sort": sort} if sort else {}),
    }
    database, options = collection.database, collection.codec_options
    with database.client.start_session(causal_consistency=False) as session:
        reply = _first(database, command, options, session)
        cursor = reply["cursor"]
        at = cursor.get("atClusterTime")
        found = list(cursor["firstBatch"])
        while cursor["id"]:
            more = {"getMore": cursor["id"], "collection": collection.name}
            cursor = database.command(more, codec_options=options, session=session)["cursor"]
            found += cursor["nextBatch"]
    return found, f"{(at.time << 32) + at.inc:020d}" if at is not None else ""


def _first(database: Any, command: dict[str, Any], options: Any, session: Any) -> Any:
    for _ in range(_TRIES):
        try:
            read = {**command, "readConcern": {"level": "snapshot"}}
            return database.command(read, codec_options=options, session=session)
        except OperationFailure as error:
            if error.code in _NO_SNAPSHOTS:
                break
            if error.code != _NO_SNAPSHOT_YET:
                raise
            time.sleep(_PAUSE)
    return database.command(command, codec_options=options, session=session)
