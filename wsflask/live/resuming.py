"""What a client has that comes back, on whichever worker: told from what changed since it left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from bson import Timestamp
from pymongo.errors import PyMongoError

from ..access.exposure import Exposure
from ..feed.base import HistoryLost, Touch
from ..feed.positions import moment_of, position_of, timestamp_of
from .before import Before, Held, Told, Unknown
from .keys import row_key
from .past import Past
from .rows import RowsView
from .subscriber import Subscriber
from .view import Loaded

__all__ = ["Resuming"]

_log = logging.getLogger(__name__)

#: What asks the database for changes: document class, after which position, up to which, how many at most.
History = Callable[[Any, str, str, int], Sequence[Touch]]
#: Seconds by which the feed of a worker that keeps up shows a document later than it changed, at most.
_LATE = 10


class Resuming:
    """Guarded by the lock of `LiveViews`, but for `reach_back`, which takes it.

    Args:
        lock: of `LiveViews`.
        past: what changed lately.
        most: changes of a collection that are asked for.
    """

    def __init__(self, lock: Any, past: Past, most: int) -> None:
        self._lock = lock
        self._past = past
        self._most = most
        self._reaching = threading.Lock()
        #: By collection, up to where it is known that the history does not tell: nobody makes us ask again and again.
        self._lost: dict[str, str] = {}

    def reach_back(self, exposure: Exposure, start_seq: str, history: History) -> None:
        """Learn what changed in the class's collection since shortly before a position. May switch.

        Args:
            history: asks the database.
        """
        since = _shortly_before(start_seq)
        if self._is_known(exposure.collection, since):
            return
        with self._reaching:  # one at a time: the next may find that it knows enough
            if self._is_known(exposure.collection, since):
                return
            floor = self._past.floor(exposure.collection)
            try:
                touches = history(exposure.document_class, since, floor, self._most)
            except HistoryLost:
                self._lost[exposure.collection] = max(since, self._lost.get(exposure.collection, ""))
                return
            except PyMongoError as error:
                _log.warning("the history of %s could not be read: %s", exposure.name, type(error).__name__)
                return
            with self._lock:
                if self._past.floor(exposure.collection) == floor:
                    earlier = ((touch.seq, row_key(touch.id), touch.op) for touch in touches)
                    self._past.extend(exposure.collection, since, earlier)

    def _is_known(self, collection: str, since: str) -> bool:
        """Return whether it is known what changed since, or that this cannot be known."""
        with self._lock:
            floor = self._past.floor(collection)
            return not floor or floor <= since or since <= self._lost.get(collection, "")

    def before(self, subscriber: Subscriber, loaded: Loaded, position: str) -> Before | None:
        """Return what a client has already; None: that cannot be told, or it has nothing.

        Args:
            loaded: the rows of its view.
            position: every change up to here is known.
        """
        view, start_seq = subscriber.view, subscriber.start_seq
        if subscriber.before is not None or not start_seq:
            return subscriber.before
        if not loaded.position:
            return None  # the rows may be ahead of what is known to have changed
        touched = self._past.since(view.collection, start_seq) if moment_of(start_seq) <= position else None
        if touched is None:
            return None
        for collection in view.query.projection.collections:
            if self._past.since(collection, start_seq) != {}:
                return None  # what the rows show has changed: which rows, nobody remembers
        if subscriber.held is not None:
            return Held(subscriber.held, touched)
        if isinstance(view, RowsView):
            departed = view.departed_since(start_seq)
            late = self._past.between(view.collection, _shortly_before(start_seq), start_seq)
            if departed is None or late is None:
                return Unknown(touched)
            return Told(departed, touched, late)
        return None


def _shortly_before(position: str) -> str:
    at = timestamp_of(position)
    return position_of(Timestamp(max(at.time - _LATE, 0), at.inc))
