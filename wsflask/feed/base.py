"""What a feed promises: an ordered stream of document changes, in which a gap is never silent."""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from mongoengine import Document

from ..config import Settings
from ..errors import ConfigError
from .changes import Change, Gap, HistoryCut, HistoryLost, Touch
from .subscription import Namespace, Subscription

__all__ = [
    "Change", "Feed", "Gap", "HistoryCut", "HistoryLost", "Namespace", "Subscription", "Touch", "namespace_of",
]  # fmt: skip


class Feed(ABC):
    """The process's one stream of changes; every worker sees the same changes in the same order.

    `start()` fixes the position: nothing that is written after it returns is missed. A `Subscription` gets what is
    written after `watch()` returned, and perhaps a few changes from shortly before.
    """

    #: Whether writes past MongoEngine's `save()` and `delete()` are seen too.
    sees_every_write = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._epoch = secrets.token_hex(8)

    @abstractmethod
    def start(self) -> None:
        """Begin to follow the database. May switch; a second call in the same process does nothing."""

    @abstractmethod
    def stop(self) -> None:
        """Stop following, and close every subscription. May switch; may be called twice."""

    @property
    @abstractmethod
    def position(self) -> str:
        """The moment up to which every change has been handed to the subscriptions; "" before there is one."""

    @property
    def epoch(self) -> str:
        """Names the history that positions belong to, the same in every worker; by default each process has its own."""
        return self._epoch

    @property
    @abstractmethod
    def is_live(self) -> bool:
        """Whether the feed follows the database at this moment."""

    @property
    def is_behind(self) -> bool:
        """Whether more has happened than was handed on: for seconds already, as far as is known without asking."""
        return not self.is_live

    @property
    def heard(self) -> float:
        """Monotonic time at which what is followed last gave a sign of life."""
        return time.monotonic() if self.is_live else 0.0

    def watch(self, *document_classes: type[Document], name: str = "subscription") -> Subscription:
        """Return a subscription to the changes of these classes' collections. May switch.

        A collection is shared by a document class and its subclasses; the subscription gets all of their changes.
        """
        if not document_classes:
            raise ConfigError("watch() needs at least one document class")
        namespaces = frozenset(namespace_of(document_class) for document_class in document_classes)
        with self._lock:
            subscription = Subscription(name, namespaces, self._settings.feed_backlog, self._forget, self.position)
            self._subscriptions += (subscription,)
        try:
            self._watch(namespaces, document_classes)
        except BaseException:
            subscription.close()
            raise
        return subscription

    @abstractmethod
    def _watch(self, namespaces: frozenset[Namespace], document_classes: tuple[type[Document], ...]) -> None:
        """Make sure that the changes of these collections are read."""

    @abstractmethod
    def touches(self, document_class: type[Document], since: str, until: str, limit: int) -> list[Touch]:
        """Return what happened to the class's documents after `since`, oldest first. May switch.

        It is read from the database's history, to the end of the moment of `until`, which the feed must have reached.

        Raises:
            HistoryLost: the history does not reach back to `since`, or the collection was dropped or renamed meanwhile.
            HistoryCut: more than `limit` things happened, or they take too long to read; the error has the first.
            PyMongoError: the database failed.
        """

    def _forget(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(kept for kept in self._subscriptions if kept is not subscription)

    def _dispatch(
        self,
        told: Sequence[tuple[Namespace, Change | Gap]],
        reached: str,
        covered: frozenset[Namespace] | None = None,
    ) -> None:
        """Hand on all that happened up to the moment `reached`, in order.

        Args:
            covered: the collections it was looked for in: who watches others too gets nothing, as it would not be all.
        """
        places = {namespace for namespace, _ in told}
        for subscription in self._subscriptions:
            watched = subscription.namespaces
            if covered is not None and not watched <= covered:
                continue
            if watched.isdisjoint(places):
                subscription.put((), reached)
            else:
                subscription.put([item for namespace, item in told if namespace in watched], reached)

    def _dispatch_gap(self, gap: Gap) -> None:
        """Tell everybody that the feed goes on elsewhere."""
        for subscription in self._subscriptions:
            subscription.lose(gap)

    def _close_subscriptions(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


def namespace_of(document_class: type[Document]) -> Namespace:
    """Return the database and the collection of a MongoEngine document class.

    Raises:
        ConfigError: it is no document class with a collection of its own.
    """
    try:
        collection = document_class._get_collection_name()
    except AttributeError:
        collection = None
    if not collection:
        raise ConfigError(f"{document_class!r} has no collection; watch a MongoEngine Document that is not abstract")
    return document_class._get_db().name, collection
