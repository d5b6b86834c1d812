"""The query for the rows of a view, in one go for all who wait for it."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import closing
from typing import Any

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from ..config import Settings
from ..errors import Refusal
from ..feed.positions import is_position, position_of, timestamp_of
from .keys import row_key
from .references import References
from .view import Loaded, Query, Row, row_of
from .window import slack_of

__all__ = ["load_rows"]

#: Rows that are made without giving other greenlets a turn, and the shortest time that does.
_ROWS_A_TURN, _A_MOMENT = 500, 1e-6
#: Documents fetched at once.
_BATCH = 1000
#: The collection has just been made, or changed: in a moment there is a snapshot of it.
_NO_SNAPSHOT_YET = 246
_TRIES, _PAUSE = 20, 0.02
#: A server without replication has no snapshots.
_NO_SNAPSHOTS = {72, 123, 20}


def load_rows(query: Query, settings: Settings, since: str = "") -> Loaded:
    """Return the rows by key: one query, and one for each class that is expanded. May switch.

    The query reads one snapshot, with read concern "snapshot" (MongoDB 5.0): its cluster time is the position of the
    rows. Without replication there is none, and the rows have no position.

    Args:
        since: a position that the snapshot may not lie before.

    Raises:
        Refusal: too_big, when there are more rows than a view may hold.
        PyMongoError: the database did not answer in time.
    """
    documents, position = _documents(query, settings, since)
    references = References()
    projection = query.projection
    references.load(
        lambda found: (projection.missing(document, found) for document in documents), settings.database_timeout
    )
    rows: dict[Hashable, Row] = {}
    for number, document in enumerate(documents, 1):
        rows[row_key(document["_id"])] = row_of(query, document, references)
        if number % _ROWS_A_TURN == 0:
            time.sleep(_A_MOMENT)
    return Loaded(rows, position, not query.limit or len(rows) < _most(query))


def _most(query: Query) -> int:
    return query.limit + slack_of(query.limit)


def _documents(query: Query, settings: Settings, since: str) -> tuple[list[dict[str, Any]], str]:
    for _ in range(_TRIES):
        try:
            return _read(query, settings, since, is_snapshot=True)
        except OperationFailure as error:
            if error.code in _NO_SNAPSHOTS:
                break
            if error.code != _NO_SNAPSHOT_YET:
                raise
            time.sleep(_PAUSE)
    return _read(query, settings, since, is_snapshot=False)


def _read(
    query: Query, settings: Settings, since: str, *, is_snapshot: bool
) -> tuple[list[dict[str, Any]], str]:
    collection = query.exposure.document_class._get_collection()
    command: dict[str, Any] = {
        "find": collection.name,
        "filter": query.to_query(),
        "batchSize": _BATCH,
        "maxTimeMS": int(settings.database_timeout * 1000),
        # Scopes compare strings by their bytes, whatever the collection's own collation is.
        "collation": {"locale": "simple"},
    }
    is_decided_later = query.access.needs_document
    if not is_decided_later:
        command["projection"] = dict.fromkeys((*query.projection.paths, *(query.order.paths if query.order else ())), 1)
        command["limit"] = _most(query) if query.order is not None else settings.view_max_rows + 1
    if query.order is not None:
        command["sort"] = dict(query.order.to_sort())
    if is_snapshot:
        after = {"afterClusterTime": timestamp_of(since)} if is_position(since) else {}
        command["readConcern"] = {"level": "snapshot", **after}
    client: MongoClient[dict[str, Any]] = collection.database.client
    most = _most(query) if query.order is not None else settings.view_max_rows
    with client.start_session(causal_consistency=False) as session:
        position, cursor = _cursor(collection, session, command, since if is_snapshot else "")
        with closing(cursor):
            found = _taken(query, cursor, most, settings.view_max_rows)
    if query.order is None and len(found) > most:
        raise Refusal("too_big", "rows of a view")
    return found, position


def _cursor(
    collection: Any, session: ClientSession, command: dict[str, Any], since: str
) -> tuple[str, Iterator[dict[str, Any]]]:
    """Run the command; return the position of what it saw, and its documents as they are fetched."""
    database, options = collection.database, collection.codec_options
    reply = database.command(command, codec_options=options, session=session)["cursor"]
    # A collection that does not exist has no snapshot; it had no documents at the position that was asked for.
    at = reply.get("atClusterTime")
    return (position_of(at) if at is not None else since), _batches(database, options, session, command, reply)


def _batches(
    database: Any, options: Any, session: ClientSession, command: dict[str, Any], reply: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    number, batch = reply["id"], reply["firstBatch"]
    try:
        while True:
            yield from batch
            if not number:
                return
            more = {"getMore": number, "collection": command["find"], "batchSize": _BATCH}
            reply = database.command(more, codec_options=options, session=session)["cursor"]
            number, batch = reply["id"], reply["nextBatch"]
    finally:
        if number:
            database.command({"killCursors": command["find"], "cursors": [number]}, session=session)


def _taken(query: Query, documents: Iterator[dict[str, Any]], most: int, most_read: int) -> list[dict[str, Any]]:
    """Return the documents that may be read, at most one too many.

    Raises:
        Refusal: too_big, when a predicate turns too many away for a few rows.
    """
    if not query.access.needs_document:
        return list(documents)
    found = []
    for number, document in enumerate(documents, 1):
        if number > 10 * most_read:
            raise Refusal("too_big", "documents to be judged one by one")
        if query.access.matches(document):
            found.append(document)
            if len(found) == most + (query.order is None):
                break
        if number % _ROWS_A_TURN == 0:
            time.sleep(_A_MOMENT)
    return found
