"""Who watches which view, and which views nobody watches any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subscriber import Subscriber
from .view import View

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Watchers"]


class Watchers:
    """Subscribers by view and by connection. Guarded by the lock of `LiveViews`."""

    def __init__(self) -> None:
        self._by_view: dict[View, dict[Connection, Subscriber]] = {}
        self._by_connection: dict[Connection, dict[View, Subscriber]] = {}
        #: Since when nobody watches; the longest first.
        self._unwatched: dict[View, float] = {}

    def __iter__(self) -> Iterator[Subscriber]:
        """Yield all, the oldest connection first."""
        for mine in tuple(self._by_connection.values()):
            yield from tuple(mine.values())

    def of_view(self, view: View) -> list[Subscriber]:
        """Return who watches the view."""
        return list(self._by_view.get(view, {}).values())

    def of_connection(self, ws: Connection) -> list[Subscriber]:
        """Return what the connection watches."""
        return list(self._by_connection.get(ws, {}).values())

    def find(self, ws: Connection, view: View) -> Subscriber | None:
        """Return the connection's subscription to the view."""
        return self._by_view.get(view, {}).get(ws)

    def add(self, subscriber: Subscriber) -> None:
        """Take a subscriber in; it takes the place of the connection's earlier one to that view."""
        self._by_view.setdefault(subscriber.view, {})[subscriber.ws] = subscriber
        self._by_connection.setdefault(subscriber.ws, {})[subscriber.view] = subscriber
        self._unwatched.pop(subscriber.view, None)

    def remove(self, subscriber: Subscriber) -> None:
        """Let a subscriber go; one whose place was taken is gone already."""
        view, ws = subscriber.view, subscriber.ws
        if self.find(ws, view) is not subscriber:
            return
        mine, others = self._by_connection[ws], self._by_view[view]
        del mine[view], others[ws]
        if not mine:
            del self._by_connection[ws]
        if not others:
            del self._by_view[view]
            self._unwatched[view] = time.monotonic()

    def is_watched(self, view: View) -> bool:
        """Return whether anybody watches the view."""
        return view in self._by_view

    def forget(self, view: View) -> None:
        """Note that a view that nobody watches is gone."""
        self._unwatched.pop(view, None)

    def long_unwatched(self, linger: float, most: int) -> list[View]:
        """Return the views that nobody has watched for `linger` seconds, and the oldest beyond the `most` newest."""
        long_ago = time.monotonic() - linger
        beyond = len(self._unwatched) - most
        found: list[View] = []
        for view, since in self._unwatched.items():
            if since > long_ago and len(found) >= beyond:
                break
            found.append(view)
        return found
