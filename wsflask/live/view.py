"""A view: the rows that a scope and a right let through, and what a change does to them."""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ..access.exposure import Exposure
from ..access.grants import Access
from ..access.scope import Scope
from ..encoding import dumps
from ..feed.base import Change
from ..protocol.messages import Message
from .history import History
from .keys import row_key
from .projection import Projection
from .references import Missing, References

__all__ = ["Emission", "Query", "View", "digest"]

#: Positions are 20 digits, as in the older system.
_DIGITS = 20
_START = "0" * _DIGITS
_NO_REFERENCES = References()


class _Unsure(enum.Enum):
    """What stands for a row's digest while it is not the one of the row that subscribers have.

    A load may read a document before the feed tells of it: who loaded has a newer row than the others.
    """

    CHANGED = "the others have an older row"
    NEW = "the others do not have the row"


_Digest = bytes | _Unsure


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

    @property
    def full_scope(self) -> Scope:
        """The scope with the condition for the class in its collection."""
        return self.exposure.type_scope & self.scope

    @property
    def key(self) -> str:
        """A text that is equal for equal queries of equal rights, in every process."""
        parts = (self.exposure.name, self.full_scope.key, self.access.key, self.projection.key)
        return "\0".join(parts)

    def name(self, secret: bytes) -> str:
        """Return a short name that tells nothing, and is the same in every worker."""
        hashed = hmac.digest(secret, self.key.encode(), "sha256")
        return base64.urlsafe_b64encode(hashed[:12]).decode()

    def to_query(self) -> dict[str, Any]:
        """Return the MongoDB query for the rows."""
        parts = [part for part in (self.full_scope.to_query(), self.access.to_query()) if part]
        return {"$and": parts} if parts else {}


@dataclass(frozen=True, slots=True)
class Emission:
    """What the subscribers of a view get because of a change."""

    op: str
    #: The row, or the id alone, as JSON.
    body: bytes


class View:
    """The rows of one query, as its subscribers know them.

    Only ids and digests are held: a digest tells whether a change can be seen at all. A change to fields that the
    view does not show sends nothing.

    Args:
        query: what the view shows.
        name: its name on the wire.
        history: how much is kept for those who come back: messages and bytes.
    """

    def __init__(self, query: Query, name: str, history: tuple[int, int] = (1000, 1024 * 1024)) -> None:
        self.query = query
        self.name = name
        self.collection = query.exposure.collection
        self.key = query.key
        self.history = History(*history)
        #: Where the view is: counts what it has sent, and nothing else. A position of the feed would tell of
        #: documents that are not shown, and even their ids.
        self.position = _START
        #: Whether the rows are known.
        self.is_loaded = False
        self._scope = query.full_scope
        self._access = query.access
        self._projection = query.projection
        self._members: dict[Hashable, _Digest] = {}
        self._touched: dict[Hashable, bytes | None] | None = None

    def __contains__(self, key: Hashable) -> bool:
        return key in self._members

    def members(self) -> tuple[Hashable, ...]:
        """Return the keys of the rows."""
        return tuple(self._members)

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

    def apply(self, change: Change, references: References = _NO_REFERENCES) -> Emission | None:
        """Take the change in; return what the subscribers have to be told, or None for nothing.

        What the row expands has to be in `references`. While a load is under way, the change counts in its result.
        """
        key = row_key(change.id)
        row = None
        if change.op != "D" and self.shows(change.document):
            assert change.document is not None
            row = dumps(self._projection.row(change.document, references))
        if self._touched is not None:
            self._touched[key] = row
        if not self.is_loaded:
            return None
        if row is None:
            return self._gone(key, change)
        found, known = digest(row), self._members.get(key)
        self._members[key] = found
        if known == found:
            return None
        return Emission("I" if known is None or known is _Unsure.NEW else "U", row)

    def _gone(self, key: Hashable, change: Change) -> Emission | None:
        if self._members.pop(key, None) is None:
            return None
        if change.op != "D":
            return Emission("R", dumps({"_id": change.id}))
        if self.shows(change.document) and not self._projection.expands:
            assert change.document is not None
            return Emission("D", dumps(self._projection.row(change.document, _NO_REFERENCES)))
        return Emission("D", dumps({"_id": change.id}))

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

    def abandon_load(self) -> None:
        """Forget the load under way."""
        self._touched = None

    def advance(self, seq: str = "") -> str:
        """Move to the next position, or to `seq` if that sorts behind the present one, and return it."""
        if seq > self.position:
            self.position = seq
        elif len(self.position) == _DIGITS and self.position.isdecimal():
            self.position = f"{int(self.position) + 1:0{_DIGITS}d}"
        else:
            base, _, number = self.position.partition("+")
            self.position = f"{base}+{int(number or 0) + 1:08d}"
        return self.position

    def finish_load(self, rows: dict[Hashable, bytes]) -> list[bytes]:
        """Take over what the query found; return the rows as they are at the view's position.

        Where a document changed while the query ran, what the feed told of it counts.
        """
        touched, self._touched = self._touched or {}, None
        for key, row in touched.items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        if not self.is_loaded:
            self._members = {key: digest(row) for key, row in rows.items()}
            self.is_loaded = True
            self.history.begin(self.advance())
            return list(rows.values())
        self._compare(rows)
        return list(rows.values())

    def _compare(self, rows: dict[Hashable, bytes]) -> None:
        """Note where the query saw another state than the others have: the next change of that document is sent.

        The feed may show a document later than at the moment of the change, and so never what the query saw.
        """
        for key, known in self._members.items():
            row = rows.get(key)
            if known is not _Unsure.NEW and (row is None or known != digest(row)):
                self._members[key] = _Unsure.CHANGED
        for key in rows:
            if key not in self._members:
                self._members[key] = _Unsure.NEW

    def lose(self) -> None:
        """Forget the rows: continuity is lost, and a load has to follow."""
        self.is_loaded = False
        self._members = {}
        self._touched = None
        self.history.begin("")

    # --- messages

    def message(self, op: str, seq: str, body: bytes) -> Message:
        """Return the message for a row, encoded once for all subscribers."""
        payload = b'{"doc_class":%b,"op":"%b","seq":%b,"view":%b,"message":%b}' % (
            dumps(self.query.exposure.name), op.encode(), dumps(seq), dumps(self.name), body,
        )  # fmt: skip
        return Message("documents", payload_json=payload, seq=seq or None)

    def load_messages(self, rows: list[bytes]) -> list[Message]:
        """Return the messages of a load; all but the last have an empty position, for nobody can go on from there."""
        last = len(rows) - 1
        return [self.message("L", self.position if number == last else "", row) for number, row in enumerate(rows)]

    def load_position(self, rows: int) -> str:
        """Return the position told before the rows of a load: none while there are rows to come."""
        return "" if rows else self.position

    def reset_message(self, rows: int) -> Message:
        """Return the message that tells a client to drop its rows, for `rows` new ones follow."""
        payload: dict[str, Any] = {
            "doc_class": self.query.exposure.name,
            "op": "reset",
            "seq": self.load_position(rows),
            "view": self.name,
            "rows": rows,
        }
        return Message("documents", payload, seq=payload["seq"] or None)
