"""The query for the rows of a view, in one go for all who wait for it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Hashable

from pymongo import ReadPreference

from ..config import Settings
from ..encoding import dumps
from ..errors import Refusal
from .keys import row_key
from .references import References
from .view import Query

__all__ = ["load_rows"]

#: Rows that are made without giving other greenlets a turn.
_ROWS_A_TURN = 500


def load_rows(query: Query, settings: Settings) -> dict[Hashable, bytes]:
    """Return the rows as JSON by key: one query, and one for each class that is expanded. May switch.

    Where the right needs the document, the query finds too many, and each is judged.

    Raises:
        Refusal: too_big, when there are more rows than a view may hold.
        PyMongoError: the database did not answer in time.
    """
    collection = query.exposure.document_class._get_collection().with_options(read_preference=ReadPreference.PRIMARY)
    timeout = settings.database_timeout
    access = query.access
    cursor = collection.find(
        query.to_query(),
        None if access.needs_document else dict.fromkeys(query.projection.paths, 1),
        limit=0 if access.needs_document else settings.view_max_rows + 1,
        max_time_ms=int(timeout * 1000),
        # Scopes compare strings by their bytes, whatever the collection's own collation is.
        collation={"locale": "simple"},
    )
    readable = (document for document in cursor if not access.needs_document or access.matches(document))
    documents = list(itertools.islice(readable, settings.view_max_rows + 1))
    if len(documents) > settings.view_max_rows:
        raise Refusal("too_big", "rows of a view")
    references = References()
    projection = query.projection
    references.load(lambda found: (projection.missing(document, found) for document in documents), timeout)
    rows: dict[Hashable, bytes] = {}
    for number, document in enumerate(documents, 1):
        rows[row_key(document["_id"])] = dumps(projection.row(document, references))
        if number % _ROWS_A_TURN == 0:
            time.sleep(0)
    return rows
