"""The feed of a replica set: one change stream for the whole process, on a client of its own."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from typing import Any

import bson.errors
import mongoengine
from bson.codec_options import CodecOptions
from mongoengine import Document
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from ..config import Settings
from ..errors import ConfigError
from ..outage import log_outage
from ..tasks import Task, spawn
from .base import Change, Feed, Gap, HistoryLost, Namespace, Touch, namespace_of
from .epoch import read_epoch
from .pipeline import pipeline_for, stage_options, told_by
from .positions import moment_after, timestamp_of
from .progress import Progress
from .tail import Event, Tail
from .touches import LOST, read_touches

__all__ = ["MongoFeed"]

_log = logging.getLogger(__name__)

#: Milliseconds the server may keep a request for more events open: also the longest delay of a new collection's first
#: change, and of stop().
_AWAIT_MS = 100
#: The same for a stream that was just opened: more collections will be asked for, and loads wait for it.
_EARLY_MS, _EARLY = 20, 1.0
#: Seconds between two reads while they come thick: a round trip costs as much as 30 events.
_PAUSE = 0.002
#: Seconds without an answer after which the feed no longer counts as live: a few times `_AWAIT_MS`.
_SILENCE = 3.0
#: Milliseconds after which a silent connection is given up. Long enough to search a large oplog for the position.
_SOCKET_MS = 10_000
#: Connections of the reader: one follows, one ends what was followed before; others may follow beside it.
_CONNECTIONS = 4
#: Milliseconds to look for a primary in one attempt.
_SELECTION_MS = 2_000
#: Milliseconds to connect, and between two looks at a member: a primary that is frozen, and holds its connections, is
#: noticed by then, and the next one is looked for.
_CONNECT_MS, _LOOK_MS = 4_000, 2_000
#: Seconds before a second attempt to follow the database; doubles up to `_LONGEST`, with jitter. An attempt itself
#: waits for a primary: there is one in about three seconds, and all goes on within two of the return.
_FIRST, _LONGEST = 0.1, 1.0
#: Seconds that stop() waits for the reader.
_STOP = 5.0
#: Reads of the history that go on at the same time, each with a connection; more wait for their turn.
_HISTORIES = 4


class MongoFeed(Feed):
    """Changes as MongoDB's change stream tells them: whoever wrote, from wherever."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._progress = Progress()
        self._is_open = False
        #: Whether the epoch was the database's, and whether it may be another by now.
        self._is_known, self._is_doubtful = False, True
        self._heard = time.monotonic()
        self._pid = 0
        self._client: MongoClient[dict[str, Any]] | None = None
        self._historian: MongoClient[dict[str, Any]] | None = None
        self._histories = threading.BoundedSemaphore(_HISTORIES)
        self._reader: Task | None = None
        self._stopped = threading.Event()
        self._lost = ""

    def start(self) -> None:
        """Fix the position and begin to read. Without a database it goes on trying, and tells of a gap. May switch."""
        if self._is_started:
            return
        if self._pid:
            self._lost = "the process was forked"
        self._pid, self._heard = os.getpid(), time.monotonic()
        self._progress.lose()
        self._is_doubtful = True
        self._stopped = threading.Event()
        self._client = self._new_client(maxPoolSize=_CONNECTIONS, socketTimeoutMS=_SOCKET_MS)
        timeout = int(self._settings.database_timeout * 1000)
        self._historian = self._new_client(maxPoolSize=_HISTORIES, socketTimeoutMS=timeout, connect=False)
        tail: Tail | None = None
        try:
            tail = self._open(self._client)
        except PyMongoError as error:
            self._lost = "the database could not be followed from the start"
            log_outage(_log, "the feed can not follow the database yet: %s", _line(error))
        self._reader = spawn("wsflask-feed", self._read, self._client, tail, self._stopped)

    @property
    def _is_started(self) -> bool:
        """Whether it was started in this process."""
        return self._pid == os.getpid()

    def stop(self) -> None:
        """Stop reading, close the client and every subscription. May switch; may be called twice."""
        self._stopped.set()
        reader, self._reader = self._reader, None
        if reader is not None and not reader.join(_STOP):
            reader.stop(1.0)
        clients = self._client, self._historian
        self._client = self._historian = None
        for client in clients:
            if client is not None:
                client.close()
        self._pid = 0
        self._close_subscriptions()

    @property
    def position(self) -> str:
        """The moment up to which changes were handed on; it moves on quiet streams too."""
        return self._progress.position

    @property
    def heard(self) -> float:
        """Monotonic time of the last answer of the change stream, or of the start."""
        return self._heard

    @property
    def is_live(self) -> bool:
        """Whether the change stream is open, and the server answers."""
        return self._is_open and time.monotonic() - self._heard < _SILENCE

    @property
    def is_behind(self) -> bool:
        """Whether the primary has written for seconds what was not handed on, or is not heard of."""
        position = self._progress.position
        return not (self.is_live and position) or timestamp_of(position).time < self._written()

    def _written(self) -> int:
        """Return the second up to which the primary has written, by what the driver's monitor knows; never switches."""
        client = self._client
        servers = client.topology_description.server_descriptions().values() if client is not None else ()
        dates = [each.last_write_date or 0.0 for each in servers if each.server_type_name == "RSPrimary"]
        return int(max(dates, default=0.0)) - 1  # its clock is read a little later than the cluster time

    def _watch(self, namespaces: frozenset[Namespace], document_classes: tuple[type[Document], ...]) -> None:
        if self._settings.mongodb_uri is None:
            own = mongoengine.get_connection()
            for document_class in document_classes:
                if document_class._get_db().client != own:
                    raise ConfigError(f"{document_class.__name__} is kept on another server than the default alias")
        self._progress.want(namespaces)

    def touches(self, document_class: type[Document], since: str, until: str, limit: int) -> list[Touch]:
        """Return what happened to the class's documents after `since`, to the end of the moment of `until`. May switch.

        Raises:
            HistoryLost: it can not be told.
            HistoryCut: it takes longer than `WSFLASK_DATABASE_TIMEOUT`, or is more than `limit`.
            PyMongoError: the database failed.
        """
        client, timeout = self._historian, self._settings.database_timeout
        if client is None or not self._histories.acquire(timeout=timeout):
            raise HistoryLost("too many read the history" if client else "the feed is not started")
        try:
            return read_touches(client, namespace_of(document_class), since, until, limit, timeout)
        finally:
            self._histories.release()

    def _new_client(self, **limits: Any) -> MongoClient[dict[str, Any]]:
        times = {"connectTimeoutMS": _CONNECT_MS, "heartbeatFrequencyMS": _LOOK_MS}
        options = {"serverSelectionTimeoutMS": _SELECTION_MS, **times, "appname": "wsflask-feed", **limits}
        if self._settings.mongodb_uri is not None:
            return MongoClient(self._settings.mongodb_uri, **options)
        return mongoengine.get_connection()._duplicate(**options)  # type: ignore[no-any-return]

    def _open(self, client: MongoClient[dict[str, Any]]) -> Tail:
        """Open the stream where the first of the subscriptions has to go on, else at the present. May switch."""
        options = stage_options(client.admin.command("hello"))
        if self._is_doubtful:
            self._note_epoch(read_epoch(client, mongoengine.get_db().name))
        opened = self._progress.reopen()
        for subscription in self._subscriptions:
            subscription.skip_told()
        start = min(filter(None, (each.reached for each in self._subscriptions)), default=self._progress.position)
        databases = {database for database, _ in opened}
        database = databases.pop() if len(databases) == 1 else None
        after = timestamp_of(moment_after(start)) if start and not self._lost else None
        tail = Tail(client, database, pipeline_for(opened), start=after, options=options)
        if after is None:
            self._progress.advance(tail.position)
        return tail

    def _note_epoch(self, epoch: str) -> None:
        """Note whose history it is; another than before is a gap, at the same position."""
        is_other, position = self._is_known and epoch != self._epoch, self._progress.position
        self._epoch, self._is_known, self._is_doubtful = epoch, True, False
        if is_other and position:
            self._dispatch_gap(Gap(position, "the database is another one"))

    def _read(self, client: MongoClient[dict[str, Any]], tail: Tail | None, stopped: threading.Event) -> None:
        """Follow the database until stopped, through every outage."""
        delay = _FIRST
        while not stopped.is_set():
            began = self._progress.position
            try:
                if tail is None:
                    self._follow_another(stopped)
                    if stopped.is_set():
                        break
                tail = tail or self._open(client)
                self._tell_lost(tail)
                self._follow(tail, stopped)
            except Exception as error:
                if stopped.is_set():
                    break
                self._failed(error)
                delay = _FIRST if self._progress.position not in (began, "") else min(delay * 2, _LONGEST)
                stopped.wait(random.uniform(delay / 2, delay))
            finally:
                self._is_open = False
                if tail is not None:
                    tail.close()
                tail = None

    def _follow(self, tail: Tail, stopped: threading.Event) -> None:
        """Hand on what the stream tells, until stopped, or until it ends or other collections are wanted too."""
        opened = time.monotonic()
        self._heard, self._is_open, busy = opened, True, 0.0
        while self._goes_on(tail, stopped):
            events = tail.read(_EARLY_MS if self._heard - opened < _EARLY else _AWAIT_MS)
            self._heard = time.monotonic()
            self._hand_on(events, tail.position, tail.options)
            if events:
                if self._heard - busy < 2 * _PAUSE:
                    time.sleep(_PAUSE)
                busy = self._heard
        self._is_doubtful = self._is_doubtful or tail.is_over

    def _goes_on(self, tail: Tail, stopped: threading.Event) -> bool:
        """Return whether the stream is still the one to follow."""
        return not stopped.is_set() and self._progress.is_current and not tail.is_over

    def _follow_another(self, stopped: threading.Event) -> None:
        """Follow what tells the same for less, as long as it does; here there is nothing. May switch."""

    def _hand_on(self, events: list[tuple[str, Event]], reached: str, options: CodecOptions[dict[str, Any]]) -> None:
        watched = self._progress.opened
        told = [entry for seq, event in events for entry in told_by(seq, event, watched, options) if is_told(entry[1])]
        with self._lock:  # who begins to watch meanwhile begins before all of it, or after
            self._dispatch(told, reached, watched)
            self._progress.advance(reached)

    def _failed(self, error: Exception) -> None:
        """Note the outage; forget a position that can not be taken up again."""
        reason, self._is_doubtful = _reason(error), True
        if reason:
            self._lost = reason
            self._progress.lose()
        if not isinstance(error, PyMongoError):
            _log.error("the feed failed, and tries again", exc_info=error)
        elif reason or self._is_open:
            log_outage(_log, "the feed stopped following the database, and tries again: %s", _line(error))

    def _tell_lost(self, tail: Tail) -> None:
        """Tell everybody of a loss, now that what follows it is whole again."""
        if self._lost:
            reason, self._lost = self._lost, ""
            _log.warning("the feed has a gap: %s", reason)
            self._dispatch_gap(Gap(tail.position, reason))


def is_told(item: Change | Gap) -> bool:
    """Return whether subscriptions get this."""
    return not (isinstance(item, Change) and item.is_overtaken)


def _reason(error: Exception) -> str:
    """Return why the position is lost with this error; "" if the stream can go on from it."""
    if isinstance(error, OperationFailure):
        return LOST.get(error.code or 0, "")
    if isinstance(error, bson.errors.BSONError):
        return "a change could not be decoded"
    return "" if isinstance(error, PyMongoError) else str(error) or "the feed failed"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]!r}"
