"""What a feed promises: an ordered stream of document changes, in which a gap is never silent."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from mongoengine import Document

from ..config import Settings
from ..errors import ConfigError

__all__ = ["Change", "Feed", "Gap", "Namespace", "Subscription", "namespace_of"]

#: Database and collection.
Namespace = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A document was inserted, updated or deleted.

    The document is shared by all who get the change: read it, do not alter it.
    """

    #: Position in the feed; sorts as a string.
    seq: str
    #: "I" insert, "U" update or replace, "D" delete.
    op: str
    collection: str
    id: Any
    #: As stored, database field names and BSON types; of a delete the last state, if pre-images are kept, else None.
    document: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may be missing from here on backwards: load again what you hold. What follows is whole again."""

    seq: str
    reason: str


class Subscription:
    """The changes of some collections, from the moment it was made; iterate over it from one greenlet or thread.

    It holds at most `backlog` changes: when they are not taken in time, all of them give way to one `Gap`.
    """

    def __init__(
        self, name: str, namespaces: frozenset[Namespace], backlog: int, on_close: Callable[[Subscription], None]
    ) -> None:
        self.name = name
        self.namespaces = namespaces
        self._backlog = backlog
        self._on_close = on_close
        self._items: deque[Change | Gap] = deque()
        self._filled = threading.Condition(threading.Lock())
        self._is_closed = False
        self._taken = self._dropped = self._gaps = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change | Gap]:
        """Yield what arrives until `close()`. May switch."""
        while (item := self.take()) is not None:
            yield item

    def take(self, timeout: float | None = None) -> Change | Gap | None:
        """Return the next item; None when closed, or when none came within `timeout` seconds. May switch."""
        with self._filled:
            self._filled.wait_for(lambda: self._items or self._is_closed, timeout)
            if self._is_closed or not self._items:
                return None
            self._taken += 1
            return self._items.popleft()

    def put(self, item: Change | Gap) -> None:
        """Add an item; called by the feed, never waits for the consumer."""
        with self._filled:
            if self._is_closed:
                return
            if isinstance(item, Gap) or len(self._items) >= self._backlog:
                self._dropped += len(self._items) + isinstance(item, Change)
                self._gaps += 1
                self._items.clear()
                item = item if isinstance(item, Gap) else Gap(item.seq, "the subscription fell behind")
            self._items.append(item)
            self._filled.notify()

    def close(self) -> None:
        """End the iteration at once, also one that waits. May be called twice."""
        with self._filled:
            self._is_closed = True
            self._items.clear()
            self._filled.notify_all()
        self._on_close(self)

    @property
    def is_closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._is_closed

    def statistics(self) -> dict[str, int]:
        """Return how many items wait, were taken, were dropped, and how many gaps there were."""
        with self._filled:
            return {"waiting": len(self._items), "taken": self._taken, "dropped": self._dropped, "gaps": self._gaps}


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

    @abstractmethod
    def start(self) -> None:
        """Begin to follow the database. May switch; a second call in the same process does nothing."""

    @abstractmethod
    def stop(self) -> None:
        """Stop following, and close every subscription. May switch; may be called twice."""

    @property
    @abstractmethod
    def position(self) -> str:
        """The position up to which every change has been handed to the subscriptions; "" before there is one."""

    @property
    @abstractmethod
    def is_live(self) -> bool:
        """Whether the feed follows the database at this moment."""

    def watch(self, *document_classes: type[Document], name: str = "subscription") -> Subscription:
        """Return a subscription to the changes of these classes' collections. May switch.

        A collection is shared by a document class and its subclasses; the subscription gets all of their changes.
        """
        if not document_classes:
            raise ConfigError("watch() needs at least one document class")
        namespaces = frozenset(namespace_of(document_class) for document_class in document_classes)
        subscription = Subscription(name, namespaces, self._settings.feed_backlog, self._forget)
        with self._lock:
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

    def _forget(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(kept for kept in self._subscriptions if kept is not subscription)

    def _dispatch(self, namespace: Namespace, change: Change) -> None:
        for subscription in self._subscriptions:
            if namespace in subscription.namespaces:
                subscription.put(change)

    def _dispatch_gap(self, gap: Gap, *, database: str | None = None, namespaces: tuple[Namespace, ...] = ()) -> None:
        """Hand the gap to those who watch one of the namespaces or the database; to all when neither is given."""
        for subscription in self._subscriptions:
            watched = subscription.namespaces
            if not (database or namespaces) or watched.intersection(namespaces) or database in {d for d, _ in watched}:
                subscription.put(gap)

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
