"""A view: the rows that a scope and a right let through, and what a change does to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..access.exposure import Exposure
from ..access.grants import Access
from ..access.order import Order
from ..access.scope import Scope
from ..encoding import dumps
from ..feed.base import Change
from ..feed.positions import moment_of
from ..protocol.messages import Message
from .dependents import Dependents, Shown
from .keys import row_key
from .projection import Projection
from .references import Missing, References

__all__ = ["Emission", "Loaded", "Query", "Row", "View", "digest", "row_of"]

_NO_REFERENCES = References()


def digest(row: bytes) -> bytes:
    """Return eight bytes that tell one row from another."""
    return hashlib.blake2b(row, digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for, by whom: all that decides which rows a view has and how they look."""

    exposure: Exposure
    #: What the client asks for.
    scope: Scope
    #: What he may read.
    access: Access
    projection: Projection
    #: In what order, and how many at most; None: all, in no order.
    order: Order | None = None
    limit: int = 0

    @property
    def full_scope(self) -> Scope:
        """The scope with the condition for the class in its collection."""
        return self.exposure.type_scope & self.scope

    @property
    def key(self) -> str:
        """A text that is equal for equal queries of equal rights, in every process."""
        parts = [self.exposure.name, self.full_scope.key, self.access.key, self.projection.key]
        if self.order is not None:
            parts.append(f"{self.order.key} {self.limit}")
        return "\0".join(parts)

    def name(self, secret: bytes) -> str:
        """Return a short name that tells nothing, and is the same in every worker."""
        hashed = hmac.digest(secret, self.key.encode(), "sha256")
        return base64.urlsafe_b64encode(hashed[:12]).decode()

    def to_query(self) -> dict[str, Any]:
        """Return the MongoDB query for the rows; where a predicate decides, for all that might be rows."""
        parts = [part for part in (self.full_scope.to_query(), self.access.to_query()) if part]
        return {"$and": parts} if parts else {}


@dataclass(frozen=True, slots=True)
class Row:
    """A row as JSON, and where it stands among others."""

    body: bytes
    #: Its id as JSON, in a view with an order.
    id: bytes = b""
    #: What rows are sorted by; None in a view without an order.
    place: Any = None
    #: The other documents that are shown in it.
    shown: tuple[Shown, ...] = ()


def row_of(query: Query, document: Mapping[str, Any], references: References) -> Row:
    """Return the row of a raw document; what it expands has to be in `references`."""
    row, projection = query.projection.row(document, references), query.projection
    shown: tuple[Shown, ...] = ()
    if projection.expands:
        found = references.shown_by(lambda watched, missing: projection.note_missing(document, watched, missing))
        shown = tuple((exposure.collection, key) for exposure, ids in found.items() for key in ids)
    if query.order is None:
        return Row(dumps(row), shown=shown)
    return Row(dumps(row), dumps(row["_id"]), query.order.sort_key(document), shown)


@dataclass(slots=True)
class Loaded:
    """What a query found."""

    rows: dict[Hashable, Row]
    #: Every change up to here is in the rows, and none after it; "": they are of no exact moment.
    position: str = ""
    #: Whether there are no rows behind the last one.
    is_complete: bool = True
    #: The rows as messages, with the position that the last one bears: encoded once for all who come meanwhile.
    messages: tuple[str, list[Message]] | None = None

    def take(self, key: Hashable, row: Row | None) -> None:
        """Take in a row that has changed since; None: it is none any more."""
        self.messages = None
        if row is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = row


@dataclass(frozen=True, slots=True)
class Emission:
    """What the subscribers of a view get because of a change."""

    op: str
    #: The row, or the id alone, as JSON.
    body: bytes
    #: In an ordered view the id, as JSON, of the row in front; b"null": there is none.
    after: bytes | None = None
    #: Of an update, the row's key, where the next one may take its place in the outbox of a slow client; also of what
    #: removes the row, and drops an update that waits.
    key: Hashable = None


class View(ABC):
    """The rows of one query, as its subscribers know them.

    Args:
        query: what the view shows.
        name: its name on the wire.
    """

    __slots__ = (
        "_access", "_head", "_projection", "_scope", "_touched", "_touched_shown", "collection", "dependents",
        "is_loaded", "key", "name", "query",
    )  # fmt: skip

    #: Whether the rows are held always; else for a moment after a load.
    holds_rows = False

    def __init__(self, query: Query, name: str) -> None:
        self.query = query
        self.name = name
        self.collection = query.exposure.collection
        self.key = query.key
        #: Whether the rows are known.
        self.is_loaded = False
        self._scope = query.full_scope
        self._access = query.access
        self._projection = query.projection
        self._head = dumps(query.exposure.name)
        self._touched: dict[Hashable, tuple[str, Row | None]] | None = None
        #: Which rows show which other documents, and which of those changed while a load was under way.
        self.dependents = Dependents() if query.projection.expands else None
        self._touched_shown: set[Shown] = set()

    @abstractmethod
    def __contains__(self, key: Hashable) -> bool:
        """Return whether the document is a row."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many rows there are."""

    @abstractmethod
    def members(self) -> Iterable[Hashable]:
        """Return the keys of the rows."""

    @abstractmethod
    def digests(self) -> dict[Hashable, bytes]:
        """Return what tells each row from another state of it; b"" where that is not known."""

    def take_dropped(self) -> Iterable[Hashable]:
        """Return the rows that it let go since it was last asked, without a change of theirs."""
        return ()

    @property
    @abstractmethod
    def held(self) -> Loaded | None:
        """The rows, as its subscribers have them, with the position of the load they began with; None: not held."""

    def let_go(self) -> None:  # noqa: B027 - a view may hold them always
        """Hold the rows no more, if they are held for a moment only."""

    # --- a change

    def missing(self, change: Change, references: References) -> Missing:
        """Return the documents that the changed row would show and that are not loaded yet."""
        if not self._projection.expands or change.op == "D" or not self.shows(change.document):
            return {}
        assert change.document is not None
        return self._projection.missing(change.document, references)

    def shows(self, document: Mapping[str, Any] | None) -> bool:
        """Return whether the raw document is a row of the view."""
        return document is not None and self._scope.matches(document) and self._access.matches(document)

    def apply(self, change: Change, references: References = _NO_REFERENCES) -> list[Emission]:
        """Take the change in; return what the subscribers have to be told.

        What the row expands has to be in `references`. While a load is under way, the change counts in its result.
        """
        key = row_key(change.id)
        row = None
        if change.op != "D" and self.shows(change.document):
            assert change.document is not None
            row = row_of(self.query, change.document, references)
        if self._touched is not None:
            self._touched[key] = (change.seq, row)
        if self.dependents is not None:
            self.dependents.note(key, row.shown if row is not None else ())
        found = self._take(key, row, change) if self.is_loaded else []
        if self.dependents is not None and self.is_loaded and key not in self:
            self.dependents.note(key, ())  # it is behind a window
        return found

    @abstractmethod
    def _take(self, key: Hashable, row: Row | None, change: Change) -> list[Emission]:
        """Take a changed row in; None: it is no row (any more)."""

    def _gone(self, change: Change, key: Hashable = None) -> Emission:
        """Return how subscribers are told that a row is gone."""
        if change.op != "D":
            return Emission("R", dumps({"_id": change.id}), key=key)
        if self.shows(change.document) and not self._projection.expands:
            assert change.document is not None
            return Emission("D", dumps(self._projection.row(change.document, _NO_REFERENCES)), key=key)
        return Emission("D", dumps({"_id": change.id}), key=key)

    def rows_with(self, documents: Collection[Shown]) -> set[Hashable]:
        """Return the rows that show one of these documents, which have changed."""
        if self.dependents is None:
            return set()
        if self._touched is not None:
            self._touched_shown.update(documents)
        return self.dependents.rows_with(documents)

    # --- a load

    @property
    def is_loading(self) -> bool:
        """Whether a load is under way; every change of the collection then has to be applied."""
        return self._touched is not None

    @property
    def touched(self) -> int:
        """How many documents changed since the load under way began."""
        return len(self._touched or ())

    def begin_load(self) -> None:
        """Note from here on what changes: the query that is about to run may not see it."""
        self._touched = {}
        self._touched_shown = set()

    def abandon_load(self) -> None:
        """Forget the load under way."""
        self._touched = None

    def finish_load(self, loaded: Loaded) -> list[Emission]:
        """Take over what the query found; return what those have to be told who had rows before.

        Where a document changed after the moment that the query saw, what the feed told of it counts; the rows in
        `loaded` are then as they are after all changes that were applied.
        """
        touched, self._touched = self._touched or {}, None
        for key, (seq, row) in touched.items():
            if seq and moment_of(seq) <= loaded.position:
                continue
            loaded.take(key, row)
        return self._adopt(loaded)

    def stale_rows(self) -> set[Hashable]:
        """Return the rows of the load just finished that show documents which changed meanwhile."""
        touched, self._touched_shown = self._touched_shown, set()
        return self.rows_with(touched)

    def _note_shown(self, rows: Mapping[Hashable, Row]) -> None:
        if self.dependents is not None:
            for key, row in rows.items():
                self.dependents.note(key, row.shown)

    @abstractmethod
    def _adopt(self, loaded: Loaded) -> list[Emission]:
        """Take the rows over."""

    def lose(self) -> None:
        """Forget the rows: continuity is lost, and a load has to follow."""
        self.is_loaded = False
        self._touched = None
        if self.dependents is not None:
            self.dependents.clear()

    # --- messages

    def message(self, seq: str, emission: Emission) -> Message:
        """Return the message for a row, encoded once for all subscribers."""
        after = b',"after":' + emission.after if emission.after is not None else b""
        payload = b'{"doc_class":%b,"op":"%b","seq":"%b","view":"%b","message":%b%b}' % (
            self._head, emission.op.encode(), seq.encode(), self.name.encode(), emission.body, after,
        )  # fmt: skip
        key = (self.name, emission.key) if emission.key is not None else None
        return Message("documents", payload_json=payload, seq=seq or None, key=key, is_last=emission.op != "U")

    def notice(self, op: str, seq: str, **more: Any) -> Message:
        """Return a message about the view as a whole: "reset" (drop your rows), "end" (it is over)."""
        payload = {"doc_class": self.query.exposure.name, "op": op, "seq": seq, "view": self.name, **more}
        return Message("documents", payload, seq=seq or None)

    def moved_notice(self, earlier: str, seq: str) -> Message:
        """Return the message that tells a client that messages of a view it has bear this view's name from now on."""
        payload = {"doc_class": self.query.exposure.name, "op": "moved", "seq": seq, "view": earlier, "to": self.name}
        return Message("documents", payload, seq=seq or None)
