"""The cursor of a change stream, read batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson import Int64, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from .positions import moment_before, moment_of, numbered, position_in, position_of
from .subscription import Namespace

__all__ = ["Event", "Tail"]

Event = Mapping[str, Any]

#: Events in a reply: enough to make the round trip cheap, few enough to let other greenlets have their turn.
_BATCH = 1000
#: Bytes of a reply from which on the server may have ended it in the midst of a moment: it ends at 16 MB, and the event
#: that did not fit any more is seldom larger than the rest.
_LARGE = 1024 * 1024
#: Events of one moment that are kept back until its last is there; no subscription holds more by default.
_MOST_HELD = 10_000
#: Bytes of an event, on average, from which on its documents are decoded late. Smaller ones cost more that way.
_LATE = 1500
#: Milliseconds to wait for the rest of a moment, which is there already unless it ended with the reply.
_REST_MS = 1


class Tail:
    """A change stream that begins with the cluster time `start`, or at the present. May switch wherever it reads.

    It is spoken in commands, not through the driver's `ChangeStream`: a whole reply is decoded at once, each read may
    wait as long as it likes, and the end of a reply tells how far everything was read.

    Args:
        database: None follows the whole server.
        options: of the stage `$changeStream`.
        max_time: milliseconds the server may search for the first events; None: as long as it takes.
    """

    def __init__(
        self,
        client: MongoClient[dict[str, Any]],
        database: str | None,
        pipeline: list[dict[str, Any]],
        *,
        start: Timestamp | None = None,
        options: Mapping[str, Any] | None = None,
        max_time: int | None = None,
    ) -> None:
        stage = dict(options or {})
        if start is not None:
            stage["startAtOperationTime"] = start
        if database is None:
            stage["allChangesForCluster"] = True
        self._database = client[database or "admin"]
        #: How documents are decoded.
        self.options = client.codec_options
        self._raw = client.codec_options.with_options(document_class=RawBSONDocument)
        self._session = client.start_session(causal_consistency=False)
        self._held: list[tuple[str, Event]] = []
        self._number = _Numbering()
        self._is_late = False
        self._last = ""
        command: dict[str, Any] = {
            "aggregate": 1,
            "pipeline": [{"$changeStream": stage}, *pipeline],
            "cursor": {"batchSize": _BATCH},
            "readConcern": {"level": "majority"},
        }
        if max_time is not None:
            command["maxTimeMS"] = max_time
        try:
            reply = self._command(command)
        except BaseException:
            self._session.end_session()
            raise
        self._first: _Reply | None = reply
        self._id, self._collection = reply.id, reply.collection
        #: Where it begins: something may happen at this very moment yet.
        self._start = position_of(start) if start is not None else reply.begin
        #: Everything up to this moment was read.
        self.position = moment_before(self._start)

    @property
    def is_over(self) -> bool:
        """Whether the server has ended the stream: nothing will come any more."""
        return not self._id and self._first is None

    def read(self, wait: int) -> list[tuple[str, Event]]:
        """Return what happened next, each with its position; nothing if nothing did for `wait` milliseconds.

        What happened at one moment comes in one piece, but for pieces that are too large to wait for.
        """
        reply, self._first = self._first or self._more(_REST_MS if self._held else wait), None
        self._id = reply.id
        events = self._held + [(self._number.of(event), event) for event in reply.events]
        self._held = []
        if reply.events:
            self._last = reply.events[-1]["_id"]["_data"]
        if reply.token != self._last:
            self.position = max(self.position, self._quiet(position_in(reply.token)))
        elif reply.may_be_cut and self._id:
            moment = moment_of(events[-1][0])
            self.position = max(self.position, moment_before(moment))
            if len(events) > _MOST_HELD:
                return events
            whole = next((n for n in range(len(events), 0, -1) if moment_of(events[n - 1][0]) != moment), 0)
            events, self._held = events[:whole], events[whole:]
        else:
            self.position = position_in(reply.token)
        return events

    def close(self) -> None:
        """End the stream. May be called twice."""
        try:
            if self._id:
                cursor, self._id = self._id, 0
                self._database.command("killCursors", self._collection, cursors=[Int64(cursor)], session=self._session)
        except PyMongoError:
            pass  # the server is away; it ends the cursor itself
        finally:
            self._session.end_session()

    def _quiet(self, moment: str) -> str:
        """Return up to where everything was read when the server has come to `moment` without an event there."""
        return moment if moment > self._start else moment_before(self._start)

    def _more(self, wait: int) -> _Reply:
        return self._command(
            {"getMore": Int64(self._id), "collection": self._collection, "batchSize": _BATCH, "maxTimeMS": wait}
        )

    def _command(self, command: dict[str, Any]) -> _Reply:
        try:
            raw: RawBSONDocument = self._database.command(command, session=self._session, codec_options=self._raw)
        except AutoReconnect:
            self._id = 0  # the connection is lost, and the cursor with it
            raise
        size = len(raw.raw)
        is_late = self._is_late or size >= _LARGE
        reply = _Reply(raw["cursor"] if is_late else bson.decode(raw.raw, self.options)["cursor"], size)
        if reply.events:
            self._is_late = size > _LATE * len(reply.events)
        return reply


class _Reply:
    """What the server answers to an aggregate or a getMore."""

    def __init__(self, cursor: Mapping[str, Any], size: int) -> None:
        self.id: int = cursor["id"]
        self.collection: str = cursor["ns"].partition(".")[2]
        self.events: list[Event] = cursor["firstBatch"] if "firstBatch" in cursor else cursor["nextBatch"]
        self.token: str = cursor["postBatchResumeToken"]["_data"]
        #: Whether it may have ended in the midst of a moment.
        self.may_be_cut = len(self.events) >= _BATCH or size >= _LARGE

    @property
    def begin(self) -> str:
        """The moment of the first event, or the server's present."""
        return position_in(self.events[0]["_id"]["_data"] if self.events else self.token)


class _Numbering:
    """Counts what happens to a collection at one moment."""

    def __init__(self) -> None:
        self._moment = ""
        self._counts: dict[Namespace, int] = {}

    def of(self, event: Event) -> str:
        """Return the position of the next event."""
        moment, place = position_in(event["_id"]["_data"]), event.get("ns", _NOWHERE)
        namespace = place["db"], place.get("coll", "")
        if moment != self._moment:
            self._moment = moment
            self._counts = {namespace: 1}
            return moment
        number = self._counts.get(namespace, 0)
        self._counts[namespace] = number + 1
        return numbered(moment, number)


_NOWHERE: dict[str, str] = {"db": ""}
