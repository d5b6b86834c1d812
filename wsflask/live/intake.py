"""What a change does to the views: which it touches, what their subscribers are told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from pymongo.errors import PyMongoError

from ..feed.base import Change
from ..outage import log_failure
from .expanding import loaded_references, read_again
from .keys import row_key
from .references import References
from .view import View
from .views import LiveViews

__all__ = ["Intake"]

_log = logging.getLogger(__name__)

#: Views that are asked about changes without giving other greenlets a turn, and the shortest time that does.
_ASKED_A_TURN, _A_MOMENT = 200, 1e-6


class Intake:
    """Takes changes into the views of a process, one batch after another."""

    def __init__(self, views: LiveViews) -> None:
        self._views = views
        self._order = threading.Lock()

    def follow(self, changes: Sequence[Change], seq: str = "") -> None:
        """Take changes in, in their order, and send what they mean. May switch, to load what rows refer to.

        Args:
            seq: what clients are told as the position, in place of the changes' own.
        """
        views = self._views
        with self._order:
            with views.lock:
                wanted = views.index.expanding(changes)
            references = loaded_references(wanted, views.settings.database_timeout)
            asked = 0
            for change in changes:
                if asked > _ASKED_A_TURN:
                    asked = 0
                    time.sleep(_A_MOMENT)
                with views.lock:
                    found = views.index.candidates(change)
                    asked += len(found)
                    self._apply(change, found, references, seq or change.seq or views.position)
                    if change.seq:
                        views.past.note(change.collection, change.seq, row_key(change.id), change.op)
                        views.position = max(views.position, change.seq)
            self._refresh(changes)
            with views.lock:
                views.shown, views.refreshing = views.position, frozenset()

    def _apply(self, change: Change, touched: Sequence[View], references: References, seq: str) -> None:
        views = self._views
        for view in touched:
            try:
                if view.missing(change, references):
                    views.lose(view)
                    continue
                emissions = views.index.apply(view, change, references)
            except Exception:
                _log.exception("a change could not be shown in a view of %s", view.query.exposure.name)
                views.lose(view)
                continue
            for emission in emissions:
                views.tell(view, seq, emission)
            if not view.holds_rows and len(view) > views.settings.view_max_rows:
                views.end_all(view, "too_big")
            elif emissions:
                views.refill(view)

    def _refresh(self, changes: Sequence[Change]) -> None:
        """Show again the rows that show what has changed in other collections."""
        views = self._views
        with views.lock:
            stale, views.stale = views.stale, {}
            for view, rows in views.index.showing(changes).items():
                stale.setdefault(view, set()).update(rows)
            views.refreshing = frozenset(stale)
        try:
            for part in read_again(stale, views.settings.database_timeout) if stale else ():
                references = loaded_references(part, views.settings.database_timeout)
                for number, (view, change) in enumerate(part, 1):
                    if number % _ASKED_A_TURN == 0:
                        time.sleep(_A_MOMENT)
                    with views.lock:
                        if view in views.index and row_key(change.id) in view:
                            self._apply(change, [view], references, views.position)
        except PyMongoError as error:
            log_failure(_log, error, "rows that show what changed could not be read")
            with views.lock:
                for view in stale:
                    if view in views.index:
                        views.lose(view)
