"""The views of this process, who watches them, and how a change gets from the feed to the watchers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ..config import Settings
from ..errors import Refusal
from ..outage import log_outage
from ..protocol.messages import Message
from .asking import Asked
from .before import Shown
from .delivery import Delivery, position_lost
from .greeting import Greeting
from .holding import Holding
from .index import ViewIndex
from .loading import Load, Loading
from .loads import load_rows
from .parts import Parts
from .past import Past
from .patience import Patience
from .resuming import Resuming
from .rows import RowsView
from .subscriber import Stage, Subscriber
from .view import Emission, Loaded, Query, View
from .watchers import Watchers
from .window import WindowView

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["LiveViews"]

_log = logging.getLogger(__name__)


class LiveViews:
    """Views shared by equal subscriptions.

    Loads run in tasks of their own and never hold the lock while they wait. Sending happens under the lock: it never
    blocks, and so every subscriber gets the messages of a view in the same order.

    Args:
        settings: limits and times.
        secret: key of the views' names.
        deliver: sends one message to some connections; must not raise.
        load: finds the rows of a query; the function it gets tells the position, at which it finds them.
    """

    def __init__(
        self,
        settings: Settings,
        secret: bytes,
        deliver: Callable[[Message, Sequence[Connection]], None],
        load: Callable[[Query, Settings, Callable[[], str]], Loaded] = load_rows,
    ) -> None:
        self.settings = settings
        self._secret = secret
        self.lock = threading.RLock()
        self.index = ViewIndex()
        #: Who watches what.
        self.watchers = Watchers()
        self.past = Past(settings.view_history)
        #: For clients that come back.
        self.resuming = Resuming(self.lock, self.past)
        most = settings.feed_backlog + settings.view_max_rows
        self._delivery = Delivery(self.lock, self.watchers, deliver, most)
        self._loading = Loading(
            self.lock,
            settings.loads_at_once,
            lambda view: load(view.query, settings, lambda: self.position),
            self._load_succeeded,
            self._load_failed,
        )
        self._holding = Holding(settings.view_held_bytes)
        self._parts = Parts()
        #: Rows, by view, that show what changed while they were loaded: read again with the next changes.
        self.stale: dict[View, set[Hashable]] = {}
        #: Views of which such rows are being read.
        self.refreshing: frozenset[View] = frozenset()
        #: Every change up to here counts in the views.
        self.position = ""
        #: And up to here also in rows that show other documents.
        self.shown = ""

    def __len__(self) -> int:
        return len(self.index)

    # --- coming and going

    def attach(
        self,
        ws: Connection,
        query: Query,
        parameters: dict[str, Any],
        *,
        held: Mapping[Hashable, Any] | None = None,
        asked: Asked | None = None,
    ) -> Subscriber:
        """Have the connection watch the view of the query; `wait` for its rows, then `send`.

        With `start_seq` and `view` among the parameters it goes on from there, if what changed since is known.

        Args:
            held: the ids that the client has, as JSON values by key; None: it does not say.
            asked: what the client asked for.

        Raises:
            Refusal: too_big, when the connection has as many subscriptions as it may; unavailable, when the views of
                this process have as many rows as they may.
        """
        start_seq, name = parameters.get("start_seq") or "", parameters.get("view") or ""
        with self.lock:
            mine = self.watchers.of_connection(ws)
            known = self.index.get(query.key)
            earlier = self.watchers.find(ws, known) if known is not None else None
            if earlier is None and len(mine) >= self.settings.subscriptions_per_connection:
                raise Refusal("too_big", "subscriptions of a connection")
            if known is None and self.index.rows >= self.settings.view_rows_in_all:
                raise Refusal("unavailable", "the rows of all views of this process")
            self._give_way(earlier)
            view = self._view_for(query)
            subscriber = Subscriber(ws, view, parameters, asked)
            self.watchers.add(subscriber)
            if start_seq or name:
                subscriber.state = "reset"
            if start_seq and name == view.name:
                subscriber.start_seq, subscriber.held = start_seq, held
            self._greet(subscriber)
            if not ws.is_open:
                self.detach_all(ws)
            self.sweep()
        return subscriber

    def _greet(self, subscriber: Subscriber) -> None:
        """Have the subscriber sent what it lacks: at once where the rows are held, else when the view is loaded."""
        view, held = subscriber.view, subscriber.view.held
        if held is not None:
            self._holding.use(view)
            before = self.resuming.before(subscriber, held.position, self.position)
            Greeting(view, held, self._told_position(view) if held.position else "").greet(subscriber, before)
        elif view.is_loaded and subscriber.before is not None and subscriber.before.has_all(view):
            Greeting(view, None, self._told_position(view)).greet(subscriber, subscriber.before)
        else:
            self._load_for(view, [subscriber])

    def wait(self, subscriber: Subscriber, patience: Patience | None = None) -> None:
        """Wait until the rows are there. May switch.

        Raises:
            Refusal: too_big (rows), unavailable (the database is too slow).
            PyMongoError: the database failed.
        """
        patience = patience or Patience(self.settings.database_timeout)
        if patience.wait(subscriber.wait) and subscriber.error is None:
            return
        with self.lock:
            self._remove(subscriber)
        raise subscriber.error or Refusal("unavailable", "the rows took too long")

    def send(self, subscriber: Subscriber) -> None:
        """Send what `wait` waited for, then what changed meanwhile. May switch."""
        self._delivery.send(subscriber)

    def move(self, subscriber: Subscriber, query: Query, parameters: dict[str, Any]) -> None:
        """Have a subscriber watch another view, for the rights of its user have changed.

        It is told the other view's name, which rows are gone, and those that are new or have other fields.
        """
        with self.lock:
            old, ws = subscriber.view, subscriber.ws
            if self.watchers.find(ws, old) is not subscriber or old.key == query.key:
                return
            view = self._view_for(query)
            before = Shown(old.digests()) if subscriber.stage is Stage.LIVE and old.is_loaded else None
            moved_from = subscriber.moved_from or old.name
            self._silence(subscriber)
            self.watchers.remove(subscriber)
            subscriber.view, subscriber.stage = view, Stage.WAITING
            subscriber.parameters = {**parameters, "view": view.name}
            subscriber.before, subscriber.is_reset, subscriber.moved_from = before, before is None, moved_from
            subscriber.start_seq, subscriber.held, subscriber.earlier = "", None, old.name
            # The connection may watch that view already: what were two are one now.
            self._give_way(self.watchers.find(ws, view))
            self.watchers.add(subscriber)
            self._drop_if_useless(old)
            self._greet(subscriber)
            if subscriber.stage is Stage.SENDING:
                self._delivery.start(subscriber)

    def judge(self, view: View) -> None:
        """Load a view again, and tell its subscribers which rows are gone, new, or have other fields."""
        with self.lock:
            if not view.is_loaded or view in self._loading or not self.watchers.is_watched(view):
                self.lose(view)
                return
            before, live = Shown(view.digests()), []
            for one in self.watchers.of_view(view):
                if one.stage is Stage.LIVE:
                    one.stage, one.before = Stage.WAITING, before
                    live.append(one)
            self.lose(view)
            self._load_for(view, live)

    def end(self, subscriber: Subscriber, code: str) -> None:
        """End a subscription that its user may not have any more."""
        with self.lock:
            if self.watchers.find(subscriber.ws, subscriber.view) is subscriber:
                self._tell_end(subscriber, code)

    def detach(self, ws: Connection, name: str) -> bool:
        """End a subscription; return whether there was one."""
        with self.lock:
            mine = self.watchers.of_connection(ws)
            found = [one for one in mine if one.view.name == name] or [one for one in mine if one.earlier == name]
            for subscriber in found:
                self._remove(subscriber)
            self.sweep()
        return bool(found)

    def detach_all(self, ws: Connection) -> None:
        """End all subscriptions of a connection."""
        with self.lock:
            for subscriber in self.watchers.of_connection(ws):
                self._remove(subscriber)
            self.sweep()

    def sweep(self) -> None:
        """Let go of views that nobody has watched for long."""
        with self.lock:
            self._holding.end()
            for view in self.watchers.long_unwatched(self.settings.view_linger, self.settings.views_lingering):
                self._drop(view)

    def _view_for(self, query: Query) -> View:
        known = self.index.get(query.key)
        if known is not None:
            return known
        make = RowsView if query.order is None else WindowView
        view = make(self._parts.shared(query), query.name(self._secret))
        self.index.add(view)
        return view

    def _remove(self, subscriber: Subscriber) -> None:
        self._silence(subscriber)
        self.watchers.remove(subscriber)
        self._drop_if_useless(subscriber.view)

    def _give_way(self, subscriber: Subscriber | None) -> None:
        """Have another of the connection take its place; the client is told the view's name, if it is not yet."""
        if subscriber is not None and subscriber.moved_from:
            view, earlier = subscriber.view, subscriber.moved_from
            self._delivery.tell_one(subscriber.ws, view.moved_notice(earlier, ""))
        self._silence(subscriber)

    def _silence(self, subscriber: Subscriber | None) -> None:
        """Have nothing sent to it any more."""
        if subscriber is not None:
            subscriber.outgoing = []
            subscriber.fail(Refusal("unavailable", "the subscription ended"))
            load = self._loading.get(subscriber.view)
            if load is not None and subscriber in load.waiting:
                load.waiting.remove(subscriber)

    def _drop_if_useless(self, view: View) -> None:
        """Let go of a view that nobody watches, and that has no rows and will not get any."""
        if not self.watchers.is_watched(view) and not view.is_loaded and view not in self._loading:
            self._drop(view)

    def _drop(self, view: View) -> None:
        self.watchers.forget(view)
        self._loading.forget(view)
        self.index.remove(view)

    # --- loads

    def _load_for(self, view: View, subscribers: Iterable[Subscriber]) -> None:
        load = self._loading.get(view)
        if load is None:
            self.index.begin_load(view)
            load = self._loading.start(view)
        load.waiting.extend(subscribers)

    def _load_succeeded(self, load: Load, loaded: Loaded) -> bool:
        view = load.view
        if load.is_stale or view.touched > self.settings.feed_backlog:
            load.is_stale = False
            self.index.begin_load(view)
            return False
        self._loading.forget(view)
        befores = [self.resuming.before(one, loaded.position, self.position) for one in load.waiting]
        for emission in self.index.finish_load(view, loaded):
            self.tell(view, self.position, emission)
        if stale := view.stale_rows():
            self.stale[view] = stale
        # Rows of no exact moment may be ahead of the position: nobody goes on from them.
        greeting = Greeting(view, view.held or loaded, self._told_position(view) if loaded.position else "")
        self._holding.begin(view, loaded)
        for subscriber, before in zip(load.waiting, befores, strict=True):
            greeting.greet(subscriber, before)
            self._delivery.start(subscriber)
        self.refill(view)
        return True

    def _load_failed(self, load: Load, error: Exception) -> bool:
        """Tell those who have just come; return whether it is to be tried again, for those who had rows."""
        view = load.view
        if not isinstance(error, PyMongoError | Refusal):
            _log.error("the rows of a view of %s could not be made", view.query.exposure.name, exc_info=error)
        for subscriber in load.waiting[:]:
            if subscriber.is_awaited:
                subscriber.fail(error)
                self._remove(subscriber)
        if isinstance(error, Refusal):
            self.end_all(view, error.code)
        elif self.watchers.is_watched(view):
            log_outage(_log, "a view of %s is loaded again later", view.query.exposure.name)
            return True
        self._loading.forget(view)
        self.index.abandon_load(view)
        self._drop_if_useless(view)
        return False

    def refill(self, view: View) -> None:
        """Have a window loaded of which too many rows have left."""
        if isinstance(view, WindowView) and view.needs_rows:
            self._load_for(view, ())

    def end_all(self, view: View, code: str) -> None:
        """End all subscriptions to the view: it cannot be shown."""
        for subscriber in self.watchers.of_view(view):
            self._tell_end(subscriber, code)
        self._drop(view)

    def _tell_end(self, subscriber: Subscriber, code: str) -> None:
        name = subscriber.moved_from or subscriber.view.name
        if subscriber.is_awaited:
            subscriber.fail(Refusal(code, "a view that ended"))
            self._remove(subscriber)
            return
        self._remove(subscriber)
        self._delivery.tell_one(subscriber.ws, subscriber.view.notice("end", "", view=name, code=code))

    # --- changes

    def begin(self, position: str = "", collection: str | None = None) -> None:
        """Follow from the position on; what was held before, of all collections or of one, may have missed changes."""
        with self.lock:
            self.position = self.shown = max(self.position, position) if collection is not None else position
            self.past.begin(position, collection)
            for view in self.index:
                if collection in (None, view.collection) or collection in view.query.projection.collections:
                    self.lose(view)

    def reach(self, position: str) -> None:
        """Note that everything up to the position has been taken in."""
        with self.lock:
            if not self.past.is_begun:
                self.past.begin(position)
            self.position, self.shown = max(self.position, position), max(self.shown, position)

    def is_settled(self, view: View) -> bool:
        """Return whether its rows are those of the position `shown`: none is to move up, none to be read again."""
        return view not in self.stale and view not in self.refreshing and view not in self._loading

    def _told_position(self, view: View) -> str:
        """Return from where one can go on who has the rows as they are now; "": from nowhere."""
        if view.dependents is None:
            return self.position
        return self.shown if view not in self.stale and view not in self.refreshing else ""

    def tell(self, view: View, seq: str, emission: Emission) -> None:
        """Tell the subscribers of a view; who has not taken its rows for too long comes again."""
        if view.dependents is not None:
            seq = min(seq, self._told_position(view))
        for one in self._delivery.tell(self.watchers.of_view(view), view.message(seq, emission)):
            self._remove(one)
            position_lost(one.ws)

    def lose(self, view: View) -> None:
        """Have the view loaded anew, and its subscribers told to drop their rows."""
        self.index.lose(view)
        load = self._loading.get(view)
        if load is not None:
            load.is_stale = True
            self.index.begin_load(view)
        lost = [one for one in self.watchers.of_view(view) if one.stage is not Stage.WAITING]
        for subscriber in lost:
            subscriber.stage = Stage.WAITING
            subscriber.is_reset = True
        if lost:
            self._load_for(view, lost)
        else:
            self._drop_if_useless(view)
