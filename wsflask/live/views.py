"""The views of this process, who watches them, and how a change gets from the feed to the watchers."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ..config import Settings
from ..errors import Refusal
from ..feed.base import Change
from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..tasks import spawn
from .index import ViewIndex
from .loads import load_rows
from .references import References
from .subscriber import Stage, Subscriber
from .view import Emission, Query, View
from .watchers import Watchers

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["LiveViews"]

_log = logging.getLogger(__name__)

#: Seconds before a lost view is loaded again when the database failed; doubles up to `_LONGEST`.
_FIRST, _LONGEST = 0.2, 5.0
#: Bytes sent of a load before the client's outbox is looked at.
_BYTES_A_TURN = 64 * 1024
#: A subscriber waits this many times the time-out of one query for its rows: a load may need several.
_QUERIES = 3


class _Load:
    """A query under way, and those who wait for its rows."""

    __slots__ = ("is_stale", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Subscriber] = []
        #: Whether it has to be run once more, for its view was lost meanwhile.
        self.is_stale = False


class LiveViews:
    """Views shared by equal subscriptions.

    Loads run in tasks of their own and never hold the lock while they wait. Sending happens under the lock: it never
    blocks, and so every subscriber gets the messages of a view in the same order.

    Args:
        settings: limits and times.
        secret: key of the views' names.
        deliver: sends one message to one connection; must not raise.
        load: finds the rows of a query.
    """

    def __init__(
        self,
        settings: Settings,
        secret: bytes,
        deliver: Callable[[Connection, Message], None],
        load: Callable[[Query, Settings], dict[Hashable, bytes]] = load_rows,
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._deliver = deliver
        self._find = load
        self._lock = threading.RLock()
        self._index = ViewIndex()
        self._watchers = Watchers()
        self._loads: dict[View, _Load] = {}

    def __len__(self) -> int:
        return len(self._index)

    def subscriptions(self) -> list[Subscriber]:
        """Return who watches what, the oldest connection first."""
        with self._lock:
            return list(self._watchers)

    # --- coming and going

    def attach(self, ws: Connection, query: Query, parameters: dict[str, Any]) -> Subscriber:
        """Have the connection watch the view of the query; `wait` for its rows, then `send`.

        With `start_seq` and `view` among the parameters it goes on from there, if that is still known.

        Raises:
            Refusal: too_big, when the connection has as many subscriptions as it may.
        """
        start_seq, name = parameters.get("start_seq") or "", parameters.get("view") or ""
        with self._lock:
            mine = self._watchers.of_connection(ws)
            known = self._index.get(query.key)
            earlier = self._watchers.find(ws, known) if known is not None else None
            if earlier is None and len(mine) >= self._settings.subscriptions_per_connection:
                raise Refusal("too_big", "subscriptions of a connection")
            self._silence(earlier)
            view = self._new_view(query) if known is None else known
            subscriber = Subscriber(ws, view, parameters)
            self._watchers.add(subscriber)
            missed = view.history.since(start_seq, view.position) if view.is_loaded and view.name == name else None
            if missed is not None:
                subscriber.state = "resumed"
                subscriber.begin(missed, start_seq)
            else:
                subscriber.state = "reset" if start_seq or name else "loaded"
                self._load_for(view, [subscriber])
            if not ws.is_open:
                self.detach_all(ws)
            self.sweep()
        return subscriber

    def wait(self, subscriber: Subscriber) -> None:
        """Wait until the rows are there. May switch.

        Raises:
            Refusal: too_big (rows), unavailable (the database is too slow).
            PyMongoError: the database failed.
        """
        is_ready = subscriber.wait(self._settings.database_timeout * _QUERIES)
        if is_ready and subscriber.error is None:
            return
        with self._lock:
            self._remove(subscriber)
        raise subscriber.error or Refusal("unavailable", "the rows took too long")

    def detach(self, ws: Connection, name: str) -> bool:
        """End a subscription; return whether there was one."""
        with self._lock:
            found = [subscriber for subscriber in self._watchers.of_connection(ws) if subscriber.view.name == name]
            for subscriber in found:
                self._remove(subscriber)
            self.sweep()
        return bool(found)

    def detach_all(self, ws: Connection) -> None:
        """End all subscriptions of a connection."""
        with self._lock:
            for subscriber in self._watchers.of_connection(ws):
                self._remove(subscriber)
            self.sweep()

    def sweep(self) -> None:
        """Let go of views that nobody has watched for long."""
        with self._lock:
            for view in self._watchers.long_unwatched(self._settings.view_linger, self._settings.views_lingering):
                self._drop(view)

    def _new_view(self, query: Query) -> View:
        # The end of the name is this view's alone: another worker, or this one later, saw other moments of a
        # document that changed quickly, and what it kept does not continue what this one has sent.
        name = f"{query.name(self._secret)}.{secrets.token_hex(3)}"
        view = View(query, name, (self._settings.view_history, self._settings.view_history_bytes))
        self._index.add(view)
        return view

    def _remove(self, subscriber: Subscriber) -> None:
        self._silence(subscriber)
        self._watchers.remove(subscriber)
        self._drop_if_useless(subscriber.view)

    def _silence(self, subscriber: Subscriber | None) -> None:
        """Have nothing sent to it any more."""
        if subscriber is not None:
            subscriber.outgoing = []
            subscriber.fail(Refusal("unavailable", "the subscription ended"))
            load = self._loads.get(subscriber.view)
            if load is not None and subscriber in load.waiting:
                load.waiting.remove(subscriber)

    def _is_current(self, subscriber: Subscriber) -> bool:
        return self._watchers.find(subscriber.ws, subscriber.view) is subscriber and subscriber.ws.is_open

    def _drop_if_useless(self, view: View) -> None:
        """Let go of a view that nobody watches, and that has no rows and will not get any."""
        if not self._watchers.is_watched(view) and not view.is_loaded and view not in self._loads:
            self._drop(view)

    def _drop(self, view: View) -> None:
        self._watchers.forget(view)
        self._loads.pop(view, None)
        self._index.remove(view)

    # --- loads

    def _load_for(self, view: View, subscribers: Iterable[Subscriber]) -> None:
        load = self._loads.get(view)
        if load is None:
            load = self._loads[view] = _Load()
            self._index.begin_load(view)
            spawn("wsflask load", self._load, view, load)
        load.waiting.extend(subscribers)

    def _load(self, view: View, load: _Load) -> None:
        """Run the query until there are rows, or nobody waits for them."""
        delay = _FIRST
        while True:
            try:
                rows = self._find(view.query, self._settings)
            except Exception as error:
                if not self._load_failed(view, load, error):
                    return
                time.sleep(delay)
                delay = min(delay * 2, _LONGEST)
                continue
            if self._load_succeeded(view, load, rows):
                return

    def _load_succeeded(self, view: View, load: _Load, rows: dict[Hashable, bytes]) -> bool:
        with self._lock:
            if self._loads.get(view) is not load:
                return True
            if load.is_stale or view.touched > self._settings.feed_backlog:
                load.is_stale = False
                self._index.begin_load(view)
                return False
            del self._loads[view]
            found = self._index.finish_load(view, rows)
            messages = view.load_messages(found)
            for subscriber in load.waiting:
                if subscriber.is_reset:
                    self._begin_reset(subscriber, messages)
                else:
                    subscriber.begin(list(messages), view.load_position(len(messages)))
            return True

    def _load_failed(self, view: View, load: _Load, error: Exception) -> bool:
        """Tell those who have just come; return whether it is to be tried again, for those who lost their rows."""
        if not isinstance(error, PyMongoError | Refusal):
            _log.error("the rows of a view of %s could not be made", view.query.exposure.name, exc_info=error)
        with self._lock:
            if self._loads.get(view) is not load:
                return False
            for subscriber in load.waiting[:]:
                if not subscriber.is_reset:
                    subscriber.fail(error)
                    self._remove(subscriber)
                elif isinstance(error, Refusal):
                    self._remove(subscriber)
                    subscriber.ws.close(CloseCode.POSITION_LOST, "position lost")
            if load.waiting:
                _log.warning("a view of %s is loaded again later", view.query.exposure.name)
                return True
            del self._loads[view]
            self._index.abandon_load(view)
            self._drop_if_useless(view)
            return False

    def _begin_reset(self, subscriber: Subscriber, messages: list[Message]) -> None:
        subscriber.is_reset = False
        view = subscriber.view
        reset = view.reset_message(len(messages))
        subscriber.begin([reset, *messages], view.load_position(len(messages)))
        if not subscriber.has_sender:
            subscriber.has_sender = True
            spawn("wsflask reset", self.send, subscriber)

    def send(self, subscriber: Subscriber) -> None:
        """Send the rows, then what changed meanwhile, until the subscriber is up to date. May switch."""
        while True:
            with self._lock:
                batch, subscriber.outgoing = subscriber.outgoing, []
                if not batch:
                    subscriber.has_sender = False
                    if subscriber.stage is Stage.SENDING:
                        subscriber.stage = Stage.LIVE
                    return
            size = 0
            for message in batch:
                if not self._is_current(subscriber):
                    break
                self._deliver(subscriber.ws, message)
                size += len(message.payload_json)
                if size > _BYTES_A_TURN:
                    size = 0
                    while self._is_current(subscriber) and not subscriber.ws.drain(1.0):
                        pass  # one who does not read is closed by the connection itself

    # --- changes

    def begin(self) -> None:
        """Follow from here on; what was held before may have missed changes."""
        with self._lock:
            for view in self._index:
                self._lose(view)

    def follow(self, changes: Sequence[Change], seq: str = "") -> None:
        """Take changes in, in their order, and send what they mean. May switch, to load what rows refer to.

        Args:
            seq: the position that views move to, where it sorts behind theirs.
        """
        references = self._references_for(changes)
        for change in changes:
            with self._lock:
                self._apply(change, references, seq)

    def _references_for(self, changes: Sequence[Change]) -> References:
        references = References()
        with self._lock:
            wanted = [
                (view, change)
                for change in changes
                for view in self._index.candidates(change)
                if view.query.projection.expands
            ]
        if wanted:
            try:
                references.load(
                    lambda found: (view.missing(change, found) for view, change in wanted),
                    self._settings.database_timeout,
                )
            except PyMongoError as error:
                _log.warning("what changed rows refer to could not be loaded: %s", type(error).__name__)
        return references

    def _apply(self, change: Change, references: References, seq: str) -> None:
        for view in self._index.candidates(change):
            try:
                if view.missing(change, references):
                    self._lose(view)
                    continue
                emission = self._index.apply(view, change, references)
            except Exception:
                _log.exception("a change could not be shown in a view of %s", view.query.exposure.name)
                self._lose(view)
                continue
            if emission is not None:
                self._emit(view, view.advance(seq), emission)

    def _emit(self, view: View, position: str, emission: Emission) -> None:
        message = view.message(emission.op, position, emission.body)
        view.history.add(position, message)
        most = self._settings.feed_backlog + self._settings.view_max_rows
        for subscriber in self._watchers.of_view(view):
            if subscriber.stage is Stage.LIVE:
                self._deliver(subscriber.ws, message)
            elif subscriber.stage is Stage.SENDING:
                subscriber.outgoing.append(message)
                if len(subscriber.outgoing) > most:
                    self._remove(subscriber)
                    subscriber.ws.close(CloseCode.POSITION_LOST, "position lost")

    def _lose(self, view: View) -> None:
        """Have the view loaded anew, and its subscribers told to drop their rows."""
        self._index.lose(view)
        load = self._loads.get(view)
        if load is not None:
            load.is_stale = True
            self._index.begin_load(view)
        lost = [one for one in self._watchers.of_view(view) if one.stage is not Stage.WAITING]
        for subscriber in lost:
            subscriber.stage = Stage.WAITING
            subscriber.is_reset = True
        if lost:
            self._load_for(view, lost)
        else:
            self._drop_if_useless(view)
