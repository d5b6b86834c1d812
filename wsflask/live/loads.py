"""The query for the rows of a view, in one go for all who wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.command_cursor import CommandCursor
from pymongo.errors import OperationFailure

from ..config import Settings
from ..errors import Refusal
from ..feed.positions import is_position, position_of, timestamp_of
from .keys import row_key
from .references import References
from .view import Loaded, Query, Row, row_of
from .window import slack_of

__all__ = ["load_rows"]

_log = logging.getLogger(__name__)

#: Rows that are made without giving other greenlets a turn, and the shortest time that does.
_ROWS_A_TURN, _A_MOMENT = 500, 1e-6
#: Documents fetched at once, and how many are judged for one that may be a row of a view.
_BATCH, _JUDGED = 1000, 10
#: Seconds that the end of a cursor may take; one that is not ended is let go of by the server.
_FAREWELL = 1.0
#: The collection has changed since: in a moment the position has moved on.
_NO_SNAPSHOT_YET = 246
_TRIES, _PAUSE = 25, 0.02


def load_rows(query: Query, settings: Settings, position: Callable[[], str] | None = None) -> Loaded:
    """Return the rows by key: one query, and one for each class that is expanded. May switch.

    The query reads one snapshot (read concern "snapshot", MongoDB 5.0): the one at the feed's position, so that each
    change after it is followed, and none before it shown again. Where there is none, the rows are of no exact moment.

    Args:
        position: tells the feed's position, "" where it is none of the database's; None: the latest snapshot is read.

    Raises:
        Refusal: too_big, when there are more rows than a view may hold.
        PyMongoError: the database did not answer in time.
    """
    documents, at = _documents(query, settings, position)
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
    return Loaded(rows, at, not query.limit or len(rows) < _most(query))


def _most(query: Query) -> int:
    return query.limit + slack_of(query.limit)


def _documents(
    query: Query, settings: Settings, position: Callable[[], str] | None
) -> tuple[list[dict[str, Any]], str]:
    for _ in range(_TRIES):
        at = position() if position is not None else None
        if at is not None and not is_position(at):
            break
        moment = {"atClusterTime": timestamp_of(at)} if at is not None else {}
        try:
            return _read(query, settings, {"level": "snapshot", **moment})
        except OperationFailure as error:
            if error.code != _NO_SNAPSHOT_YET:
                _log.debug("there is no snapshot of %s: %s", query.exposure.name, error.code)
                break
            time.sleep(_PAUSE)
    return _read(query, settings, {"level": "majority"})


def _read(query: Query, settings: Settings, read_concern: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Return the documents, and the position at which they were read; "" where that is not known."""
    collection = query.exposure.document_class._get_collection()
    most = _most(query) if query.order is not None else settings.view_max_rows + 1
    command: dict[str, Any] = {
        "find": collection.name,
        "filter": query.to_query(),
        "batchSize": _BATCH,
        "maxTimeMS": int(settings.database_timeout * 1000),
        # Scopes compare strings by their bytes, whatever the collection's own collation is.
        "collation": {"locale": "simple"},
        "readConcern": read_concern,
    }
    if query.order is not None:
        command["sort"] = dict(query.order.to_sort())
    if not query.access.needs_document:
        paths = (*query.projection.paths, *(query.order.paths if query.order is not None else ()))
        command |= {"projection": dict.fromkeys(paths, 1), "limit": most}
    client: MongoClient[dict[str, Any]] = collection.database.client
    with client.start_session(causal_consistency=False) as session:
        run = partial(collection.database.command, codec_options=collection.codec_options, session=session)
        with pymongo.timeout(settings.database_timeout):  # a server that is frozen keeps no time
            reply = run(command)["cursor"]
            address = client.address if reply["id"] else None
        cursor: CommandCursor[dict[str, Any]] = CommandCursor(collection, reply, address, session=session)
        with closing(_fetched(cursor, settings.database_timeout)) as documents:
            found = _readable(query, documents, most, settings.view_max_rows)
    if query.order is None and len(found) > settings.view_max_rows:
        raise Refusal("too_big", "rows of a view")
    at = reply.get("atClusterTime", read_concern.get("atClusterTime"))
    return found, position_of(at) if at is not None else ""


def _fetched(cursor: CommandCursor[dict[str, Any]], timeout: float) -> Generator[dict[str, Any]]:
    """Yield what a cursor finds, fetched as it is taken; each batch may take so many seconds."""
    cursor.batch_size(_BATCH)
    try:
        while True:
            with pymongo.timeout(timeout):
                batch = list(islice(cursor, _BATCH))
            if not batch:
                return
            yield from batch
    finally:
        with pymongo.timeout(_FAREWELL):
            cursor.close()


def _readable(query: Query, documents: Iterator[dict[str, Any]], most: int, most_rows: int) -> list[dict[str, Any]]:
    """Return the documents that may be read, at most `most`.

    Raises:
        Refusal: too_big, when a predicate turns too many away.
    """
    if not query.access.needs_document:
        return list(documents)
    found = []
    for number, document in enumerate(documents, 1):
        if number > _JUDGED * most_rows:
            raise Refusal("too_big", "documents to be judged one by one")
        if query.access.matches(document):
            found.append(document)
            if len(found) == most:
                break
        if number % _ROWS_A_TURN == 0:
            time.sleep(_A_MOMENT)
    return found
