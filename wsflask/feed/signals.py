"""The feed of one process on a standalone server: MongoEngine's own signals."""

from __future__ import annotations

import logging
import time
from typing import Any

import bson
from mongoengine import Document, signals

from ..config import Settings
from .base import Change, Feed, HistoryLost, Namespace, Touch, namespace_of

__all__ = ["WARNING", "SignalFeed"]

_log = logging.getLogger(__name__)

#: Logged at every start, so that nobody takes this feed for the other.
WARNING = (
    "wsflask follows MongoEngine's signals, because the database is a standalone server (or WSFLASK_FEED says "
    "'signals'). Only changes made in THIS process by Document.save() and Document.delete() are seen: nothing from "
    "other workers, from update(), from bulk writes, from pymongo or from the shell, and nothing from before this "
    "process started. Run one worker only. For all the rest make the server a replica set; one member is enough "
    "(mongod --replSet rs0, then rs.initiate())."
)


class SignalFeed(Feed):
    """Changes as `post_save` and `post_delete` tell of them."""

    sees_every_write = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._last = 0
        self._is_live = False

    def start(self) -> None:
        """Connect to the signals, with a warning of what they do not tell."""
        if self._is_live:
            return
        _log.warning(WARNING)
        self._last = time.time_ns()
        self._is_live = True
        signals.post_save.connect(self._saved)
        signals.post_delete.connect(self._deleted)

    def stop(self) -> None:
        """Disconnect from the signals, and close every subscription."""
        self._is_live = False
        signals.post_save.disconnect(self._saved)
        signals.post_delete.disconnect(self._deleted)
        self._close_subscriptions()

    @property
    def position(self) -> str:
        """The position of the last change: a time that never stands still or goes back."""
        return _seq(self._last) if self._last else ""

    @property
    def is_live(self) -> bool:
        """Whether the signals are connected."""
        return self._is_live

    def _watch(self, namespaces: frozenset[Namespace], document_classes: tuple[type[Document], ...]) -> None:
        pass  # the signals of every class arrive anyway

    def touches(self, document_class: type[Document], since: str, until: str, limit: int) -> list[Touch]:
        """Raise HistoryLost: signals keep no history."""
        raise HistoryLost("signals keep no history")

    def _saved(self, sender: type[Document], document: Document, created: bool = False, **_: Any) -> None:
        self._tell(sender, document, "I" if created else "U")

    def _deleted(self, sender: type[Document], document: Document, **_: Any) -> None:
        self._tell(sender, document, "D")

    def _tell(self, sender: type[Document], document: Document, op: str) -> None:
        namespace = namespace_of(sender)
        if not any(namespace in subscription.namespaces for subscription in self._subscriptions):
            return
        raw = _as_stored(document)
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            seq = _seq(self._last)
            self._dispatch([(namespace, Change(seq, op, namespace[1], raw.get("_id"), raw))], seq)


def _seq(number: int) -> str:
    return f"{number:020d}"


def _as_stored(document: Document) -> dict[str, Any]:
    """Return the document as a query would: through BSON, which cuts times to milliseconds and forgets Python types."""
    options = document._get_collection().codec_options
    return dict(bson.decode(bson.encode(document.to_mongo(), codec_options=options), options))
