"""A client that holds rows: it applies each message exactly as the protocol says."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
import msgspec

from wsflask.cli.client import Client, Failed

from .asking import Asking
from .features import Options
from .rights import Rights

__all__ = ["Arrival", "Held", "Subscription", "WalkingClient"]

#: Messages of a subscription that are kept to be shown.
_KEPT = 400
_FENCE = {"class_name": "Fence"}


@dataclass(slots=True, eq=False)
class Subscription:
    """One view, as the client sees it."""

    request: dict[str, Any]
    view: str = ""
    #: The position to come back with.
    seq: str = ""
    #: The reply's position, which counts once `pending` more messages have come.
    reply_seq: str = ""
    pending: int = 0
    rows: dict[Any, Any] = field(default_factory=dict)
    #: The ids of the rows, the first first; None: the view has no order.
    order: list[Any] | None = None
    #: Whether it was answered and goes on; else why not: "asking", "away" or the code of a refusal.
    state: str = "asking"
    #: When it was asked for, and when it was first, on the monotonic clock.
    asked: float = 0.0
    began: float = 0.0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))


@dataclass(frozen=True, slots=True)
class Held:
    """What a subscription had at some moment."""

    rows: dict[Any, Any]
    order: list[Any] | None
    moment: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of documents, for the judge."""

    user: str
    moment: float
    text: str
    payload: dict[str, Any]
    subscription: Subscription
    #: Whether the message names a row that the client did not have.
    is_stray: bool


class WalkingClient:
    """Subscribes, unsubscribes, gets cut and comes back; what goes wrong is in `faults`.

    Args:
        connect: opens a connection as the user.
        rights: what the user may see at present.
        counts: what happens, counted for all clients together.
        arrivals: what arrives, for all clients together.
    """

    def __init__(
        self,
        number: int,
        user: str,
        connect: Callable[[], Client],
        asking: Asking,
        rights: Callable[[], Rights],
        options: Options,
        counts: Counter[str],
        arrivals: list[Arrival],
    ) -> None:
        self.number = number
        self.user = user
        self.subscriptions: list[Subscription] = []
        #: Sentences: what arrived and should not have.
        self.faults: list[str] = []
        self.fence = Subscription(dict(_FENCE))
        #: When the last message of documents arrived.
        self.heard = time.monotonic()
        #: The close code of the connection that ended last.
        self.closed_with = ""
        #: What was there when the server said that everything up to a position was sent.
        self.caught: dict[Subscription, Held] = {}
        #: Whether it walks: subscribes and so on by itself.
        self.walks = True
        self._connect = connect
        self._asking = asking
        self._rights = rights
        self._features = options.features
        self._rng = random.Random(f"client {number} {options.seed}")
        self._counts = counts
        self._arrivals = arrivals
        self._connection: Client | None = None
        self._started = time.monotonic()
        self._numbers = 0
        self._asked: dict[str, Subscription] = {}
        self._leaving: set[str] = set()
        self._caught_up: set[str] = set()
        self._tasks = [gevent.spawn(self._stay_connected), gevent.spawn(self._walk)]

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @property
    def everything(self) -> list[Subscription]:
        """All subscriptions, the one to the fence too."""
        return [self.fence, *self.subscriptions]

    def stop(self) -> None:
        """End for good."""
        gevent.killall(self._tasks)
        self._end()

    # --- the connection

    def _stay_connected(self) -> None:
        while True:
            try:
                self._connection = connection = self._connect()
                self.closed_with = ""
                self._leaving.clear()
                for subscription in self.everything:
                    self._subscribe(subscription, resumes=self._rng.random() < 0.93)
                while True:
                    self._take(connection.receive())
            except Failed as error:
                self.closed_with = error.reason
            self._end()
            gevent.sleep(self._rng.choice((0.0, 0.1, 0.5, 1.5)) if self.closed_with != "4501" else 0.7)

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._asked.clear()
        for subscription in self.everything:
            subscription.state = "away"
            subscription.pending = 0

    def _send(self, action: str, data: Any) -> str:
        self._numbers += 1
        number = str(self._numbers)
        message = {"channel": "documents", "payload": {"action": action, "data": data}, "id": number}
        if self._connection is not None:
            try:
                self._connection.send(msgspec.json.encode(message))
            except Failed:
                pass  # the reader finds out
        return number

    # --- the walk

    def _walk(self) -> None:
        gevent.sleep(self._rng.random())
        while True:
            gevent.sleep(self._rng.expovariate(0.5))
            if self.walks and self._connection is not None:
                self._step()

    def _step(self) -> None:
        kind = self._rng.random()
        over = [each for each in self.subscriptions if each.state not in ("live", "asking", "away")]
        if over:
            self.subscriptions.remove(over[0])
        elif kind < 0.12 and "cuts" in self._features and self._connection is not None:
            self._counts["cuts"] += 1
            self._connection.close()
        elif kind < 0.3 and self.subscriptions:
            # Equal subscriptions have one view: it has to be known which of them there are.
            if any(each.state != "live" for each in self.everything):
                return
            leaving = self._rng.choice(self.subscriptions)
            self.subscriptions.remove(leaving)
            if all(each.view != leaving.view for each in self.subscriptions):
                self._leaving.add(leaving.view)
                self._send("unsubscribe", {"view": leaving.view})
        elif len(self.subscriptions) < 5:
            subscription = Subscription(self._asking.subscription(self._rights()))
            self.subscriptions.append(subscription)
            self._subscribe(subscription, resumes=False)

    def _subscribe(self, subscription: Subscription, *, resumes: bool) -> None:
        data = dict(subscription.request)
        if resumes and subscription.view:
            data["view"], data["start_seq"] = subscription.view, subscription.seq
            if "rows" in self._features and self._rng.random() < 0.8:
                data["rows"] = list(subscription.rows)
        else:
            subscription.view = ""
        subscription.state = "asking"
        subscription.asked = time.monotonic()
        subscription.began = subscription.began or subscription.asked
        self._note(subscription, f"-> {msgspec.json.encode(data).decode()[:400]}")
        self._asked[self._send("subscribe", data)] = subscription

    def catch_up(self, position: str) -> None:
        """Ask to hear when everything up to the position was sent; what is there then will be in `caught`."""
        if all(each.state == "live" for each in self.everything):
            self._caught_up.add(self._send("caught_up", {"seq": position}))

    # --- what arrives

    def _take(self, raw: bytes) -> None:
        envelope = msgspec.json.decode(raw)
        channel, payload, number = envelope["channel"], envelope["payload"], envelope.get("id")
        if number in self._caught_up:
            self._caught_up.discard(number)
            self._catch("late" if channel == "error" else "caught_up")
        elif channel == "error":
            subscription = self._asked.pop(number, None)
            if subscription is not None:
                subscription.state = payload["code"]
                subscription.rows, subscription.order = {}, None
                self._note(subscription, f"<- {payload['code']}")
                if payload["code"] == "unavailable":
                    self._counts["unavailable"] += 1
                    self._subscribe(subscription, resumes=False)
        elif channel == "documents":
            self.heard = time.monotonic()
            if number is not None:
                self._replied(number, payload)
            elif isinstance(payload, dict) and "op" in payload:
                self._changed(raw.decode(), payload)

    def _catch(self, outcome: str) -> None:
        self._counts[outcome] += 1
        if outcome == "caught_up":
            now = time.monotonic()
            self.caught = {
                each: Held(dict(each.rows), None if each.order is None else [*each.order], now)
                for each in self.everything
            }

    def _replied(self, number: str, payload: Any) -> None:
        subscription = self._asked.pop(number, None)
        if subscription is None:
            self._leaving.discard(payload.get("view"))
            return
        self._note(subscription, f"<- {msgspec.json.encode(payload).decode()}")
        had = subscription.view
        subscription.state, subscription.view = "live", payload["view"]
        subscription.pending, subscription.reply_seq = payload["rows"], payload["seq"]
        self._counts[payload["state"]] += 1
        if payload["state"] == "resumed":
            if not had:
                self._fault(subscription, "resumed what was not asked to be")
            self._join(subscription)
        else:
            self._begin(subscription, payload["seq"])
        self._count_down(subscription, 0)

    def _join(self, subscription: Subscription) -> None:
        """Have others of the same view go on from this one: what follows is the difference from its rows."""
        for other in self.everything:
            if other is not subscription and other.view == subscription.view and other.state == "live":
                other.rows, other.seq = dict(subscription.rows), subscription.seq
                other.order = list(subscription.order) if subscription.order is not None else None

    def _begin(self, subscription: Subscription, seq: str) -> None:
        subscription.rows = {}
        is_ordered = "order_by" in subscription.request or "limit" in subscription.request
        subscription.order = [] if is_ordered else None
        subscription.seq = "" if subscription.pending else seq

    def _count_down(self, subscription: Subscription, count: int) -> None:
        if subscription.pending and count:
            subscription.pending -= 1
        if not subscription.pending and subscription.reply_seq:
            subscription.seq = max(subscription.seq, subscription.reply_seq)
            subscription.reply_seq = ""

    def _changed(self, text: str, payload: dict[str, Any]) -> None:
        view, op = payload["view"], payload["op"]
        found = [each for each in self.everything if each.state == "live" and each.view == view]
        if op == "moved" and view in self._leaving:
            # It moved before the server heard that we leave.
            self._leaving.add(payload["to"])
            self._send("unsubscribe", {"view": payload["to"]})
        elif op == "end" and any(each.state == "asking" for each in self.everything):
            pass  # one that was over before it was answered
        elif not found and view not in self._leaving:
            self.faults.append(f"client {self.number}: {op} for a view that it does not have: {text[:300]}")
        self._counts["messages"] += 1
        for subscription in found:
            self._note(subscription, f"<- {text[35:400]}")
            is_stray = self._apply(subscription, op, payload, is_alone=len(found) == 1)
            self._arrivals.append(Arrival(self.user, self.heard, text, payload, subscription, is_stray))

    def _apply(self, subscription: Subscription, op: str, payload: dict[str, Any], *, is_alone: bool) -> bool:
        """Take a message in; return whether it names a row that was not there and should have been.

        Args:
            is_alone: whether no other subscription has the view: one may be resumed from further back.
        """
        if op == "reset":
            self._counts["reset"] += 1
            subscription.pending, subscription.reply_seq = payload["rows"], ""
            self._begin(subscription, payload["seq"])
            return False
        if op == "moved":
            self._counts["moved"] += 1
            subscription.view = payload["to"]
        elif op == "end":
            self._counts["ended"] += 1
            subscription.state, subscription.rows, subscription.order = payload["code"], {}, None
            return False
        is_stray = False
        if op in "LIU":
            self._put(subscription, payload)
        elif op in "DR":
            identity = payload["message"]["_id"]
            is_stray = subscription.rows.pop(identity, None) is None
            if subscription.order is not None and identity in subscription.order:
                subscription.order.remove(identity)
        if payload.get("seq"):
            if payload["seq"] < subscription.seq and is_alone:
                self._fault(subscription, f"went back from {subscription.seq} to {payload['seq']}")
            subscription.seq = max(subscription.seq, payload["seq"])
        self._count_down(subscription, 1)
        return is_stray

    def _put(self, subscription: Subscription, payload: dict[str, Any]) -> None:
        row = payload["message"]
        identity = row["_id"]
        subscription.rows[identity] = row
        order = subscription.order
        if order is None:
            return
        if identity in order:
            order.remove(identity)
        after = payload.get("after")
        if after is None:
            order.insert(0, identity)
        elif after in order:
            order.insert(order.index(after) + 1, identity)
        else:
            self._fault(subscription, f"{payload['op']} behind {after}, which is no row")
            order.append(identity)

    def _note(self, subscription: Subscription, text: str) -> None:
        subscription.log.append(f"{time.monotonic() - self._started:8.3f} {text}")

    def _fault(self, subscription: Subscription, what: str) -> None:
        log = "\n    ".join(list(subscription.log)[-8:])
        self.faults.append(f"client {self.number}, {subscription.request}: {what}\n    {log}")
