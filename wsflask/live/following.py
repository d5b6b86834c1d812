"""Follow the feed: what changes in the exposed classes gets into the views."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from ..errors import Refusal
from ..feed.base import Change, Gap, Subscription
from ..feed.positions import moment_of
from ..service import Host
from .intake import Intake
from .views import LiveViews

__all__ = ["Following"]

#: Changes that are taken in together: what their rows refer to is loaded by one query for each class.
_BATCH = 200
#: Seconds without a change after which views that nobody watches are looked through.
_QUIET = 1.0
#: The shortest wait in which the loop looks at its sockets.
_A_MOMENT = 1e-6


class Following:
    """The way from the feed to the views of a process.

    Args:
        server: its exposures are followed.
        views: whose position is that of the feed.
        intake: takes in what changes.
        name: of the subscription to the feed.
    """

    def __init__(self, server: Host, views: LiveViews, intake: Intake, name: str) -> None:
        self._server = server
        self._views = views
        self._intake = intake
        self._name = name
        self._feed: Subscription | None = None
        self._followed: frozenset[str] = frozenset()
        self._changed = threading.Condition(threading.Lock())

    def run(self) -> None:
        """Follow the changes of all exposed classes; each start begins with a fresh load of what is watched."""
        while True:
            exposed = list(self._server.exposures)
            with self._changed:
                if not exposed:
                    self._changed.wait(_QUIET)
                    continue
            feed = self._server.feed.watch(*(exposure.document_class for exposure in exposed), name=self._name)
            with feed:
                self._views.begin(feed.position)
                with self._changed:
                    self._feed = feed
                    self._followed = frozenset(exposure.name for exposure in exposed)
                    self._changed.notify_all()
                try:
                    is_over = self._follow(feed)
                finally:
                    with self._changed:
                        self._feed, self._followed = None, frozenset()
            if is_over:
                return

    def _follow(self, feed: Subscription) -> bool:
        """Take in what the feed tells; return whether it has ended by itself."""
        while True:
            items = feed.take_many(_BATCH, _QUIET)
            if not items and feed.is_closed:
                return self._followed != frozenset()
            for part in _parts(items):
                if isinstance(part, Gap):
                    self._views.begin(part.seq, part.collection)
                else:
                    self._intake.follow(part)
            self._views.reach(feed.position)
            with self._changed:
                self._changed.notify_all()
            self._views.sweep()
            time.sleep(_A_MOMENT)  # a long backlog does not keep the other greenlets from their turn

    def await_class(self, class_name: str, timeout: float) -> None:
        """Wait until changes of the class are followed: a load may only begin then. May switch.

        Raises:
            Refusal: unavailable.
        """
        with self._changed:
            if class_name in self._followed:
                return
            if self._feed is not None:
                self._followed = frozenset()  # exposed after the feed was asked: ask again, for all
                self._feed.close()
            if not self._changed.wait_for(lambda: class_name in self._followed, timeout):
                raise Refusal("unavailable", "the feed is not followed yet")

    def reach(self, position: str, timeout: float) -> bool:
        """Wait until every change up to a position is in the views; return whether it came to that. May switch."""
        moment = moment_of(position)

        def is_reached() -> bool:
            if self._feed is not None and self._views.position < moment:
                self._feed.wake_at(moment)
            return self._views.shown >= moment

        with self._changed:
            return self._changed.wait_for(is_reached, timeout)


def _parts(items: Sequence[Change | Gap]) -> Iterator[list[Change] | Gap]:
    """Yield the gaps one by one, and the changes between them together."""
    changes: list[Change] = []
    for item in items:
        if isinstance(item, Change):
            changes.append(item)
        else:
            yield changes
            changes = []
            yield item
    yield changes
