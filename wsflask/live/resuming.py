"""What a client has that comes back, on whichever worker: told from what changed since it left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from pymongo.errors import AutoReconnect, PyMongoError

from ..access.exposure import Exposure
from ..errors import Refusal
from ..feed.base import HistoryLost, Touch
from ..feed.positions import moment_between, moment_of
from .before import Before, Held, Unknown
from .keys import row_key
from .past import Past
from .subscriber import Subscriber

__all__ = ["Resuming"]

_log = logging.getLogger(__name__)

#: What asks the database for changes: document class, after which position, up to which, how many at most.
History = Callable[[Any, str, str, int], Sequence[Touch]]


class Resuming:
    """Guarded by the lock of `LiveViews`, but for `reach_back`, which takes it.

    Args:
        lock: of `LiveViews`.
        past: what changed lately.
    """

    def __init__(self, lock: Any, past: Past) -> None:
        self._lock = lock
        self._past = past
        self._reaching = threading.Lock()
        #: By collection, up to where it is known that the history does not tell: nobody makes us ask again and again.
        self._lost: dict[str, str] = {}

    def reach_back(self, exposure: Exposure, start_seq: str, history: History, timeout: float = -1) -> None:
        """Learn what changed in the class's collection since a position, if it is not known. May switch.

        Args:
            history: asks the database.
            timeout: seconds to wait for one's turn; -1: as long as it takes.

        Raises:
            Refusal: unavailable, because others ask for long; the next attempt may find that it is known.
            AutoReconnect: the database is away.
        """
        if self._is_known(exposure.collection, start_seq):
            return
        if not self._reaching.acquire(timeout=timeout):  # one at a time: the next may find that it knows enough
            raise Refusal("unavailable", "the history is being read")
        try:
            if self._is_known(exposure.collection, start_seq):
                return
            with self._lock:
                floor, room = self._past.floor(exposure.collection), self._past.room(exposure.collection)
            try:
                touches = history(exposure.document_class, start_seq, floor, room)
            except HistoryLost:
                # Nobody has it searched again and again, a moment later each time: half of the way, then.
                self._lost[exposure.collection] = moment_between(start_seq, floor)
                return
            except AutoReconnect:
                raise
            except PyMongoError as error:
                _log.warning("the history of %s could not be read: %s", exposure.name, type(error).__name__)
                return
            with self._lock:
                if self._past.floor(exposure.collection) == floor:
                    earlier = ((touch.seq, row_key(touch.id), touch.op) for touch in touches)
                    self._past.extend(exposure.collection, start_seq, earlier)
        finally:
            self._reaching.release()

    def _is_known(self, collection: str, start_seq: str) -> bool:
        """Return whether it is known what changed since, or that this cannot be known."""
        with self._lock:
            floor = self._past.floor(collection)
            return not floor or floor <= start_seq or start_seq <= self._lost.get(collection, "")

    def before(self, subscriber: Subscriber, loaded_at: str, position: str) -> Before | None:
        """Return what a client has already; None: that cannot be told, or it has nothing.

        The feed looks documents up after their changes, and so a row that has changed since the load may be ahead of
        the position: who comes back gets it anew.

        Args:
            loaded_at: the position of the load that the rows began with.
            position: every change up to here is known.
        """
        view, start_seq = subscriber.view, subscriber.start_seq
        if subscriber.before is not None or not start_seq:
            return subscriber.before
        if not loaded_at or moment_of(start_seq) > position:
            return None
        touched = self._past.since(view.collection, start_seq)
        ahead = self._past.since(view.collection, min(start_seq, loaded_at))
        if touched is None or ahead is None:
            return None
        for collection in view.query.projection.collections:
            if self._past.since(collection, start_seq) != {}:
                return None  # what the rows show has changed: which rows, nobody remembers
        if subscriber.held is not None:
            return Held(subscriber.held, ahead)
        return Unknown(touched, ahead) if view.query.order is None else None
