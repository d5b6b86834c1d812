"""A simulated truth for live views: a database with a history, workers that follow it late, pages that come and go."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import mongoengine as me
from gevent.event import Event

from wsflask.access import ALL, Access, Condition, Exposure, Scope
from wsflask.access.order import Order, Term
from wsflask.config import Settings
from wsflask.errors import Refusal
from wsflask.feed.base import Change, Touch
from wsflask.feed.positions import moment_of, numbered
from wsflask.live.catalog import Right, parse_catalog
from wsflask.live.intake import Intake
from wsflask.live.keys import row_key
from wsflask.live.references import References
from wsflask.live.subscriber import Subscriber
from wsflask.live.view import Loaded, Query, Row, row_of
from wsflask.live.views import LiveViews
from wsflask.live.window import slack_of
from wsflask.protocol.messages import Message
from wsflask.tasks import Task, spawn

__all__ = ["EXPOSED", "ORDERED", "UNORDERED", "Database", "Page", "Ticket", "Worker", "query"]

COLLECTION = "world_ticket"
NONE = References()


class Ticket(me.Document):
    status = me.StringField()
    total = me.IntField()
    owner = me.StringField()
    note = me.StringField()
    meta = {"collection": COLLECTION}


EXPOSED = Exposure(Ticket, fields=("status", "total", "owner"), hidden=("note",))
OPEN = Condition("status", "==", "open")
ANNS = Access([Scope([Condition("owner", "==", "ann")])])


def query(*conditions: Condition, access: Access = ALL, catalog: Any = None, order: str = "", limit: int = 0) -> Query:
    right = Right(EXPOSED, access, EXPOSED.visible(show_hidden=False))
    terms = [Term(name.removeprefix("-"), name.removeprefix("-"), name.startswith("-")) for name in order.split()]
    projection = parse_catalog(catalog, right, lambda _: None)
    return Query(EXPOSED, Scope(conditions), access, projection, Order(terms) if limit else None, limit)


#: What one page may watch as the rights of its user change.
UNORDERED = (
    query(OPEN),
    query(OPEN, access=ANNS),
    query(OPEN, catalog={"total": None}),
    query(OPEN, access=Access()),
    query(OPEN, access=ANNS, catalog={"total": None}),
)
ORDERED = (
    query(order="total", limit=2),
    query(order="total", limit=2, access=ANNS),
    query(order="total", limit=2, catalog={"status": None, "total": None}),
)


class Database:
    """Documents, and everything that ever happened to them."""

    def __init__(self) -> None:
        #: Position, op, id, and all documents afterwards.
        self.log: list[tuple[str, str, Any, dict[Any, dict[str, Any]]]] = []
        self._clock = 0

    @property
    def position(self) -> str:
        return f"{self._clock << 32:020d}"

    @property
    def documents(self) -> dict[Any, dict[str, Any]]:
        return self.log[-1][3] if self.log else {}

    def tick(self) -> None:
        """Let a second go by."""
        self._clock += 1

    def write(self, *writes: tuple[str, Any, dict[str, Any] | None]) -> None:
        """Do some writes in one transaction: op, id, the document; what cannot be done is left out."""
        documents, done = dict(self.documents), []
        for op, identity, document in writes:
            if (op == "I") == (identity in documents):
                continue
            documents.pop(identity, None)
            if op != "D":
                documents[identity] = {"_id": identity, **(document or {})}
            done.append((op, identity, dict(documents)))
        if done:
            self.tick()
        for number, (op, identity, afterwards) in enumerate(done):
            self.log.append((numbered(self.position, number), op, identity, afterwards))

    def seen(self, index: int) -> dict[Any, dict[str, Any]]:
        """Return all documents as they can be read after a write: no transaction is seen half."""
        return self.at(moment_of(self.log[index][0]))

    def at(self, position: str) -> dict[Any, dict[str, Any]]:
        """Return all documents as they were at a moment."""
        found: dict[Any, dict[str, Any]] = {}
        for seq, _, _, documents in self.log:
            if moment_of(seq) > position:
                break
            found = documents
        return found

    def touches(self, _: Any, since: str, until: str, limit: int) -> list[Touch]:
        return [Touch(seq, op, id_) for seq, op, id_, _ in self.log if since < seq and moment_of(seq) <= until]


def rows_of(asked: Query, documents: dict[Any, dict[str, Any]]) -> dict[Hashable, Row]:
    """Return all rows of a query, in its order."""
    found = {
        row_key(document["_id"]): row_of(asked, document, NONE)
        for document in documents.values()
        if asked.full_scope.matches(document) and asked.access.matches(document)
    }
    if asked.order is None:
        return found
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def truth(asked: Query, database: Database) -> list[dict[str, Any]]:
    """Return what a client that is up to date shows."""
    rows = [json.loads(row.body) for row in rows_of(asked, database.documents).values()]
    return rows[: asked.limit] if asked.limit else sorted(rows, key=lambda row: str(row["_id"]))


@dataclass
class Request:
    """A load under way."""

    query: Query
    asked_at: str
    position: Callable[[], str]
    done: Event = field(default_factory=Event)
    loaded: Loaded | None = None


class Connection:
    """One connection of a page, as the server sees it; what was sent is with the client once it has received it."""

    id = "1"

    def __init__(self) -> None:
        self.is_open = True
        self.inbox: list[dict[str, Any]] = []

    def drain(self, timeout: float) -> bool:
        return True

    def close(self, code: int, reason: str = "") -> None:
        self.is_open = False


class Worker:
    """The views of one process, behind a feed with a lag of its own.

    Args:
        exact: whether loads find a snapshot of the feed's position; else they see what is there.
        late: how many changes further an update may look its document up.
    """

    def __init__(self, database: Database, settings: Settings, *, exact: bool, late: int) -> None:
        self.database = database
        self.exact = exact
        self.late = late
        self.requests: list[Request] = []
        self.taken = len(database.log)
        #: By view name, where its last load was.
        self.loaded_at: dict[str, str] = {}
        self.views = LiveViews(settings, b"secret", self._deliver, self._load)
        self.intake = Intake(self.views)
        self.views.begin(database.position)

    def _deliver(self, message: Message, connections: Any) -> None:
        payload = json.loads(message.payload_json)
        if payload["op"] == "L":
            payload["loaded_at"] = self.loaded_at.get(payload["view"], "")
        for ws in connections:
            ws.inbox.append(payload)

    # --- the feed

    @property
    def lag(self) -> int:
        return len(self.database.log) - self.taken

    def feed(self, count: int, chance: random.Random) -> None:
        """Take some transactions in; an update shows its document as it is at some later moment."""
        changes, moment = [], ""
        for index in range(self.taken, len(self.database.log)):
            seq, op, identity, documents = self.database.log[index]
            if moment_of(seq) != moment:
                moment, count = moment_of(seq), count - 1
                if count < 0:
                    break
            if op == "U" and chance.random() < 0.7:
                last = min(index + self.late, len(self.database.log) - 1)
                documents = self.database.seen(chance.randint(index, last))
            changes.append(Change(seq, op, COLLECTION, identity, documents.get(identity)))
        self.taken += len(changes)
        self.intake.follow(changes)
        if not self.lag:
            self.views.reach(self.database.position)

    def reach(self, position: str, chance: random.Random) -> None:
        """Take in what there is, until a position is reached."""
        while self.views.position < moment_of(position):
            self.feed(1, chance)

    def gap(self, collection: str | None) -> None:
        """Have the feed lose its place, for all collections or for one."""
        self.taken = len(self.database.log)
        self.views.begin(self.database.position, collection)

    # --- loads

    def _load(self, asked: Query, settings: Settings, position: Callable[[], str]) -> Loaded:
        request = Request(asked, self.database.position, position)
        self.requests.append(request)
        if not request.done.wait(20):
            raise AssertionError("nobody answered the load")
        assert request.loaded is not None
        return request.loaded

    def read(self, request: Request, chance: random.Random) -> None:
        """Have the query of a load see the database now; the feed comes to what was written when it began first."""
        self.reach(request.asked_at, chance)
        at = moment_of(request.position()) if self.exact else ""
        rows = rows_of(request.query, self.database.at(at) if self.exact else self.database.documents)
        most = request.query.limit + slack_of(request.query.limit) if request.query.limit else len(rows) + 1
        request.loaded = Loaded(dict(list(rows.items())[:most]), at, len(rows) < most)

    def answer(self, request: Request) -> None:
        assert request.loaded is not None
        self.loaded_at[request.query.name(b"secret")] = request.loaded.position
        self.requests.remove(request)
        request.done.set()


class Page:
    """A client, as the contract describes it: it lives longer than its connections.

    Args:
        choices: what it may watch, as the rights of its user are.
        tells_rows: whether it says what it holds when it comes back.
    """

    def __init__(self, choices: tuple[Query, ...], *, tells_rows: bool) -> None:
        self.choices = choices
        self.right = 0
        self.tells_rows = tells_rows
        self.rows: list[dict[str, Any]] = []
        self.seq = self.view = ""
        self.worker: Worker | None = None
        self.ws = Connection()
        self.states: list[str] = []
        self._task: Task | None = None
        self._highest = ""
        self._loaded: dict[Any, str] = {}

    @property
    def query(self) -> Query:
        return self.choices[self.right]

    # --- coming and going

    def connect(self, worker: Worker, chance: random.Random) -> None:
        assert self.worker is None
        self.worker, self.ws, self._highest = worker, Connection(), ""
        self._loaded = {}
        worker.reach(self.seq, chance)
        if self.seq:
            worker.views.resuming.reach_back(EXPOSED, self.seq, worker.database.touches)
        self._task = spawn("subscribe", self._subscribe, worker, self.ws, self.query)

    def _subscribe(self, worker: Worker, ws: Any, asked: Query) -> None:
        held = {row_key(row["_id"]): row["_id"] for row in self.rows} if self.tells_rows else None
        try:
            subscriber = worker.views.attach(ws, asked, {"start_seq": self.seq, "view": self.view}, held=held)
            worker.views.wait(subscriber)
        except Refusal:
            ws.is_open = False
            return
        ws.inbox.append({"reply": subscriber.state, "view": subscriber.view.name, "seq": subscriber.position})
        worker.views.send(subscriber)

    def cut(self) -> None:
        """Lose the connection, and what is on the way."""
        if self.worker is not None:
            self.ws.is_open = False
            self.worker.views.detach_all(self.ws)  # type: ignore[arg-type]
            self.worker = None

    def judge(self, right: int) -> None:
        """Have the rights of the user change."""
        self.right = right % len(self.choices)
        for subscriber in self._subscribers():
            assert self.worker is not None
            self.worker.views.move(subscriber, self.query, {})

    def judge_again(self) -> None:
        """Have the user change in a way that a predicate may see, and the key of his right does not tell."""
        for subscriber in self._subscribers():
            assert self.worker is not None
            self.worker.views.judge(subscriber.view)

    def _subscribers(self) -> Iterator[Subscriber]:
        if self.worker is not None:
            yield from self.worker.views.watchers.of_connection(self.ws)  # type: ignore[arg-type]

    # --- what is received

    def receive(self, count: int) -> None:
        for _ in range(min(count, len(self.ws.inbox))):
            self._take(self.ws.inbox.pop(0))

    def _take(self, message: dict[str, Any]) -> None:
        if "reply" in message:
            self.states.append(message["reply"])
            self.view = message["view"]
            if message["reply"] != "resumed":
                self._start(message["seq"])
            return
        if message["view"] != self.view:
            raise AssertionError(f"a message of {message['view']} to one that watches {self.view}")
        if message["op"] == "moved":
            self.view, self.seq, self._loaded = message["to"], message["seq"], {}
        elif message["op"] == "reset":
            self._start(message["seq"])
        elif message["op"] in "LIURD":
            self._change(message)
        else:
            assert message["op"] == "end"
            self.cut()
        if message["seq"]:
            assert moment_of(message["seq"]) >= moment_of(self._highest)
            self._highest = message["seq"]

    def _start(self, seq: str) -> None:
        self.rows, self.seq, self._loaded = [], seq, {}

    def _change(self, message: dict[str, Any]) -> None:
        row, op = message["message"], message["op"]
        self.seq = message["seq"]
        if op == "L":
            self._loaded[row["_id"]] = message["loaded_at"]
        elif self.seq:
            assert self.seq > self._loaded.get(row["_id"], ""), "older than what was loaded"
        self.rows = [one for one in self.rows if one["_id"] != row["_id"]]
        if op in "RD":
            return
        index = 0
        if message.get("after") is not None:
            index = [one["_id"] for one in self.rows].index(message["after"]) + 1
        assert ("after" in message) == (self.query.order is not None)
        self.rows.insert(index, row)

    def shown(self) -> list[dict[str, Any]]:
        return self.rows if self.query.order is not None else sorted(self.rows, key=lambda row: str(row["_id"]))


def settle() -> None:
    """Let every task go on until it waits for something."""
    for _ in range(3):
        gevent.idle()
