"""Broadcaster: clients subscribe to documents, and see them change."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pymongo
from mongoengine import Document

from ..access.grants import NOTHING
from ..config import Settings
from ..errors import Refusal
from ..feed.base import Change
from ..feed.positions import is_position, position_of, timestamp_of
from ..protocol.codes import CloseCode
from ..protocol.messages import Message
from ..service import Host, Service
from .asking import Asked, held_rows, parse_subscribe, query_for
from .catalog import Right, parse_catalog
from .following import Following
from .intake import Intake
from .loads import load_rows
from .markup import in_markup
from .patience import Patience
from .references import References
from .sealing import opened
from .subscriber import Stage, Subscriber
from .view import Loaded, Query
from .views import LiveViews

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Broadcaster"]

_log = logging.getLogger(__name__)

#: Seconds that a load waits at most for the feed to come to the present: what was written just before is in the rows.
_A_WHILE = 0.15
#: Seconds between two looks at whether a client has its rows.
_LOOK = 0.01
#: Seconds by which another worker may be ahead of this one.
_AHEAD = 60


class Broadcaster(Service):
    """Live documents on the channel `documents`.

    A client subscribes to a class, a scope and a catalog; it gets the rows, then every change of them. Only what is
    exposed on the server can be seen, by those who may (`WebSocketServer.expose`).
    """

    channel = "documents"
    keeps_publications = False

    def __init__(self, server: Host | None = None) -> None:
        super().__init__(server)
        if server is not None:
            self.bind(server)

    def bind(self, server: Host) -> None:
        """Note the server; called once before any hook."""
        super().bind(server)
        #: The views of this process.
        self.views = LiveViews(server.settings, server.secret, self._deliver, self._load)
        #: Takes in what changes.
        self.intake = Intake(self.views)
        self._followed = Following(server, self.views, self.intake, self.channel)
        #: How often a subscription began with each of the states of its reply.
        self._begun: Counter[str] = Counter()

    def _load(self, query: Query, settings: Settings, position: Callable[[], str]) -> Loaded:
        """Find the rows of a query at the feed's position, once the feed has come to what was written just now."""
        if not self.server.feed.sees_every_write:
            return load_rows(query, settings, str)
        with pymongo.timeout(settings.database_timeout):
            present = query.exposure.document_class._get_db().command("ping").get("operationTime")
        if present is not None:
            self._followed.reach(position_of(present), _A_WHILE)
        return load_rows(query, settings, position)

    # --- what clients ask

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Let the connection in; it hears of nothing before it subscribes."""
        self.accept(ws)

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        """Subscribe, unsubscribe, or tell when all up to a position was sent: `{"action": …, "data": …}`. May switch.

        Raises:
            Refusal: bad_action, bad_data, not_found, forbidden, too_big, too_deep, unavailable.
        """
        if not isinstance(message, dict) or not message.keys() <= {"action", "data"}:
            raise Refusal("bad_data", "a request has an action and data")
        if message.get("action") == "subscribe":
            self._subscribe(ws, user, self._parse(message.get("data")), {}, answers=True)
            return None
        if message.get("action") == "unsubscribe":
            return self._unsubscribe(ws, message.get("data"))
        if message.get("action") == "caught_up":
            return self._caught_up(ws, message.get("data"))
        raise Refusal("bad_action")

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        """Forget the client's subscriptions."""
        self.disconnect(ws)

    def _unsubscribe(self, ws: Connection, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict) or data.keys() != {"view"} or not isinstance(data["view"], str):
            raise Refusal("bad_data", "the data of an unsubscription")
        if not self.views.detach(ws, data["view"]):
            raise Refusal("not_found")
        return {"view": data["view"]}

    def _caught_up(self, ws: Connection, data: Any) -> dict[str, Any]:
        """Wait until everything up to a position has been sent to the client."""
        if not isinstance(data, dict) or data.keys() != {"seq"} or not is_position(data["seq"]):
            raise Refusal("bad_data", "a position")
        patience = Patience(self.server.settings.database_timeout)
        if not self._followed.reach(data["seq"], patience.left) or not self._settle(ws, patience):
            raise Refusal("unavailable", "the position was not reached")
        return {"seq": data["seq"]}

    def _settle(self, ws: Connection, patience: Patience) -> bool:
        """Wait until the client has been sent all rows of what it watches; return whether it came to that."""
        while not all(
            one.stage is Stage.LIVE and self.views.is_settled(one.view) for one in self.views.watchers.of_connection(ws)
        ):
            if not patience.left:
                return False
            time.sleep(_LOOK)
        return True

    def _parse(self, data: Any) -> Asked:
        return parse_subscribe(data, lambda text: opened(text, self.server))

    def _query(self, asked: Asked, user: Any, **options: Any) -> tuple[Query, bool]:
        query, is_hidden_shown = query_for(asked, user, self.server.exposures, self.server.settings, **options)
        if asked.template:
            query = in_markup(query, asked.template, self.server.render_row)
        return query, is_hidden_shown

    def _subscribe(
        self, ws: Connection, user: Any, asked: Asked, extra: dict[str, Any], *, answers: bool, **acl: Any
    ) -> Subscriber:
        patience = Patience(self.server.settings.database_timeout, lambda: self.server.feed.is_live)
        query, is_hidden_shown = self._query(asked, user, **acl)
        self._prepare(asked, query, patience)
        while ws.user is not user:  # his rights changed meanwhile, when there was nothing to be judged yet
            user = ws.user
            query, is_hidden_shown = self._query(asked, user, **acl)
        parameters = {**_parameters(asked, query, is_hidden_shown), **acl, **extra}
        subscriber = self.views.attach(
            ws, query, parameters, held=held_rows(asked, query.exposure), asked=None if acl else asked
        )
        parameters["view"] = subscriber.view.name
        self.views.wait(subscriber, patience)
        self._begun[subscriber.state] += 1
        try:
            if answers:
                ws.reply(_answer(asked.class_name, subscriber))
            self.views.send(subscriber)
        except BaseException:
            self.views.detach(ws, subscriber.view.name)
            raise
        return subscriber

    def _prepare(self, asked: Asked, query: Query, patience: Patience) -> None:
        """Wait until the class is followed, and it is known what changed since the client left. May switch."""
        self._followed.await_class(asked.class_name, patience.left)
        if is_position(asked.start_seq):
            if not _is_far(asked.start_seq, self.views.position):
                # The worker that told it may be ahead of this one.
                self._followed.reach(asked.start_seq, patience.left)
            self.views.resuming.reach_back(query.exposure, asked.start_seq, self.server.feed.touches, patience.left)

    # --- rights that change

    def on_rights_changed(self, ws: Connection, user: Any) -> None:
        """Judge again what the client watches: rows come and go, fields appear and vanish. May switch."""
        try:
            for subscriber in self.views.watchers.of_connection(ws):
                if subscriber.asked is not None:
                    self._judge(subscriber, subscriber.asked, user)
        except Exception:
            _log.exception("what connection %s watches could not be judged again; it has to come back", ws.id)
            ws.close(CloseCode.POSITION_LOST, "position lost")

    def _judge(self, subscriber: Subscriber, asked: Asked, user: Any) -> None:
        try:
            query, is_hidden_shown = self._query(asked, user, may_be_empty=True)
        except Refusal as refusal:  # a field of its scope or order is not for this user any more
            self.views.end(subscriber, refusal.code)
            return
        if query.key != subscriber.view.key:
            subscriber.ws.revoke()
            parameters = {**subscriber.parameters, **_parameters(asked, query, is_hidden_shown)}
            self.views.move(subscriber, query, parameters)
        elif query.access.needs_document:
            subscriber.ws.revoke()
            self.views.judge(subscriber.view)

    # --- following the feed

    def run(self) -> None:
        """Follow the changes of all exposed classes; each start begins with a fresh load of what is watched."""
        self._followed.run()

    def _deliver(self, message: Message, connections: Sequence[Connection]) -> None:
        """Send a message to some clients; an application may have its own way with each."""
        if _hooks_of(type(self)) == _hooks_of(Broadcaster):
            self.server.hub.send(message, connections)
        else:
            for ws in connections:
                self._deliver_one(ws, message)

    def _deliver_one(self, ws: Connection, message: Message) -> None:
        try:
            if self.subscriber_is_connected(ws):
                self.send_message(ws, message)
        except Exception:
            _log.exception("a message could not be sent to connection %s, which is closed", ws.id)
            ws.close(CloseCode.POSITION_LOST, "position lost")

    # --- for the server's own code

    def statistics(self) -> dict[str, Any]:
        """Return how many views, rows and subscriptions there are, and how subscriptions began."""
        began = {state: self._begun[state] for state in ("loaded", "resumed", "reset")}
        views = self.views
        return {"views": len(views), "rows": views.index.rows, "subscriptions": len(list(views.watchers)), **began}

    @property
    def active_connections(self) -> dict[str, dict[Connection, dict[str, Any]]]:
        """Who is subscribed in this process: class name to connection to the parameters of its latest subscription."""
        found: dict[str, dict[Connection, dict[str, Any]]] = {}
        for subscriber in self.views.watchers:
            name = subscriber.view.query.exposure.name
            found.setdefault(name, {})[subscriber.ws] = subscriber.parameters
        return found

    def accept(self, websocket: Connection) -> None:
        """Let a connection in; called when it opens. Does nothing by default."""

    def subscribe(
        self,
        websocket: Connection,
        class_name: str,
        data_scope: list[dict[str, Any]] | None = None,
        catalog: dict[str, Any] | None = None,
        show_hidden: bool = False,
        start_seq: str = "",
        acl: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Subscribe a connection from the server's side; return the parameters. May switch.

        The rows are sent (op L) before this returns, then what changes. A connection may have several subscriptions,
        also to one class.

        Args:
            acl: grants, or a function of the connection's user, in place of the exposure's own. Who gives it vouches
                for `show_hidden` too; without it both are judged as if the client had asked.
            kwargs: `order_by` and `limit`, as a client has them; `view`, and perhaps `rows`, with `start_seq`: what to
                resume. All others are kept with the parameters.

        Raises:
            Refusal: as for a client's request.
        """
        names = [name for name in ("view", "rows", "order_by", "limit") if name in kwargs]
        data = {name: kwargs.pop(name) for name in names}
        asked = parse_subscribe(
            {
                "class_name": class_name,
                "data_scope": data_scope,
                "catalog": catalog,
                "show_hidden": show_hidden,
                "start_seq": start_seq,
                **data,
            }
        )
        given = {} if acl is None else {"acl": acl}
        return self._subscribe(websocket, websocket.user, asked, kwargs, answers=False, **given).parameters

    def unsubscribe(self, websocket: Connection, view: str) -> bool:
        """End the subscription to a view, as named in its parameters; return whether there was one."""
        return self.views.detach(websocket, view)

    def disconnect(self, websocket: Connection) -> None:
        """End all subscriptions of a connection."""
        self.views.detach_all(websocket)

    def subscriber_is_connected(self, websocket: Connection) -> bool:
        """Return whether messages can be sent to the connection."""
        return websocket.is_open

    def send_message(self, websocket: Connection, message: Message) -> None:
        """Send an encoded message to one connection; never blocks."""
        websocket.send(message)

    def send_json(self, websocket: Connection, content: Any) -> None:
        """Send a payload on this channel to one connection; never blocks."""
        self.send_message(websocket, Message(self.channel, content))

    def document_sent(self, doc: Document, op: str, seq: str = "") -> None:
        """Tell the subscribers in this process of a document, as if the feed had. May switch.

        For documents that the database does not tell of. The same rights, scopes and catalogs count.

        Args:
            op: "I" or "L" for a document that is there, "U" for one that changed, "D" for one that is gone.
            seq: what clients are told as its position; without one, the feed's. Nobody can resume from a position of
                your own: the database's history does not hold the document.
        """
        raw = doc.to_mongo().to_dict()
        change = Change("", "U" if op == "L" else op, doc._get_collection_name(), raw.get("_id"), raw)
        self.intake.follow([change], seq if is_position(seq) else "")

    def get_message_body(
        self,
        doc: Document,
        data_scope: list[dict[str, Any]] | None,
        catalog: dict[str, Any] | None,
        show_hidden: bool,
    ) -> dict[str, Any] | None:
        """Return the row of a document, or None when it is out of scope or its class is not exposed.

        References stay ids: there is no user here whose right to what they point to could be asked.
        """
        exposure = self.server.exposures.for_class(type(doc))
        if exposure is None:
            return None
        visible = exposure.visible(show_hidden=show_hidden)
        raw = doc.to_mongo().to_dict()
        if not exposure.parse_scope(data_scope, visible).matches(raw):
            return None
        right = Right(exposure, NOTHING, visible)
        projection = parse_catalog(catalog, right, lambda _: None)
        return projection.row(raw, References())

    def check_subscriber_acl(self, doc: Document, acl: Any, user: Any = None) -> bool:
        """Return whether this acl lets the document be read; None and an empty one do not.

        Args:
            acl: a list of grants, or a function of the user.
            user: whom to ask the function about.
        """
        exposure = self.server.exposures.for_class(type(doc))
        if exposure is None:
            return False
        try:
            access = exposure.access_from(acl(user) if callable(acl) else acl)
        except Exception:
            _log.exception("an acl for %s failed and denies", exposure.name)
            return False
        return exposure.may_read(access, doc.to_mongo().to_dict())


def _parameters(asked: Asked, query: Query, is_hidden_shown: bool) -> dict[str, Any]:
    """Return what is subscribed with, as it was understood."""
    return {
        "data_scope": query.scope.to_wire(),
        "catalog": asked.catalog,
        "show_hidden": is_hidden_shown,
        "order_by": query.order.to_wire() if query.order is not None else None,
        "limit": query.limit or None,
        "start_seq": asked.start_seq,
        "view": asked.view,
    }


def _answer(class_name: str, subscriber: Subscriber) -> dict[str, Any]:
    parameters = subscriber.parameters
    return {
        "view": subscriber.view.name,
        "class_name": class_name,
        **{name: parameters[name] for name in ("data_scope", "catalog", "show_hidden", "order_by", "limit")},
        "seq": subscriber.position,
        "state": subscriber.state,
        "rows": subscriber.rows,
    }


def _hooks_of(service: type[Broadcaster]) -> tuple[Any, Any]:
    return service.send_message, service.subscriber_is_connected


def _is_far(seq: str, position: str) -> bool:
    """Return whether a position lies so far ahead that no worker can have told it."""
    return not is_position(position) or timestamp_of(seq).time > timestamp_of(position).time + _AHEAD
