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
from mongoengine import Document
from pymongo import MongoClient
from pymongo.change_stream import ChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from ..config import Settings
from ..errors import ConfigError
from ..tasks import Task, spawn
from .base import Change, Feed, Gap, Namespace
from .pipeline import Event, change_in, namespaces_in, pipeline_for
from .progress import Progress

__all__ = ["MongoFeed"]

_log = logging.getLogger(__name__)

#: Milliseconds the server may keep a request for more events open: also the longest delay of a new collection's first
#: change, and of stop().
_AWAIT_MS = 250
#: Seconds without an answer after which the feed no longer counts as live: a few times `_AWAIT_MS`.
_SILENCE = 3.0
#: Milliseconds after which a silent connection is given up. Long enough to search a large oplog for the position.
_SOCKET_MS = 10_000
#: Milliseconds to look for a primary in one attempt.
_SELECTION_MS = 2_000
#: Seconds before a second attempt to follow the database; doubles up to `_LONGEST`, with jitter.
_FIRST, _LONGEST = 0.1, 5.0
#: Seconds that stop() waits for the reader.
_STOP = 5.0
#: First wire version with pre-images, MongoDB 6.0.
_PRE_IMAGES = 17

#: Errors after which a position can not be taken up again, by MongoDB's error code.
_LOST = {
    136: "the stream was too slow, and its position was overwritten",
    260: "the position was invalidated",
    280: "the position can not be resumed",
    286: "the history before the position is gone",
    10334: "a change was too large for one event",
    50811: "the position is not one of this server",
}


class MongoFeed(Feed):
    """Changes as MongoDB's change stream tells them: whoever wrote, from wherever."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._progress = Progress()
        self._is_open = False
        self._heard = 0.0
        self._pid = 0
        self._client: MongoClient[dict[str, Any]] | None = None
        self._reader: Task | None = None
        self._stopped = threading.Event()
        self._lost = ""

    def start(self) -> None:
        """Fix the position and begin to read. Without a database it goes on trying, and tells of a gap. May switch."""
        if self._pid == os.getpid():
            return
        if self._pid:
            self._lost = "the process was forked"
        self._pid = os.getpid()
        self._progress.lose()
        self._stopped = threading.Event()
        self._client = self._new_client()
        stream: ChangeStream[dict[str, Any]] | None = None
        try:
            stream = self._open(self._client)
        except PyMongoError as error:
            self._lost = "the database could not be followed from the start"
            _log.warning("the feed can not follow the database yet: %s", _line(error))
        self._reader = spawn("wsflask-feed", self._read, self._client, stream, self._stopped)

    def stop(self) -> None:
        """Stop reading, close the client and every subscription. May switch; may be called twice."""
        self._stopped.set()
        reader, self._reader = self._reader, None
        if reader is not None and not reader.join(_STOP):
            reader.stop(1.0)
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._pid = 0
        self._close_subscriptions()

    @property
    def position(self) -> str:
        """The token up to which changes were handed on; it moves on quiet streams too."""
        return self._progress.position

    @property
    def is_live(self) -> bool:
        """Whether the change stream is open, and the server answers."""
        return self._is_open and time.monotonic() - self._heard < _SILENCE

    def _watch(self, namespaces: frozenset[Namespace], document_classes: tuple[type[Document], ...]) -> None:
        if self._settings.mongodb_uri is None:
            own = mongoengine.get_connection()
            for document_class in document_classes:
                if document_class._get_db().client != own:
                    raise ConfigError(f"{document_class.__name__} is kept on another server than the default alias")
        self._progress.want(namespaces)

    def _new_client(self) -> MongoClient[dict[str, Any]]:
        options: dict[str, Any] = {
            "maxPoolSize": 2,
            "socketTimeoutMS": _SOCKET_MS,
            "serverSelectionTimeoutMS": _SELECTION_MS,
            "appname": "wsflask-feed",
        }
        if self._settings.mongodb_uri is not None:
            return MongoClient(self._settings.mongodb_uri, **options)
        return mongoengine.get_connection()._duplicate(**options)  # type: ignore[no-any-return]

    def _open(self, client: MongoClient[dict[str, Any]]) -> ChangeStream[dict[str, Any]]:
        """Open the stream at the position, at the present if there is none. May switch."""
        hello = client.admin.command("hello")
        wanted = self._progress.reopen()
        options: dict[str, Any] = {"full_document": "updateLookup", "max_await_time_ms": _AWAIT_MS}
        if hello.get("maxWireVersion", 0) >= _PRE_IMAGES:
            options["full_document_before_change"] = "whenAvailable"
        if self._progress.token is not None:
            options["start_after"] = self._progress.token
        databases = {database for database, _ in wanted}
        target = client[databases.pop()] if len(databases) == 1 else client
        stream: ChangeStream[dict[str, Any]] = target.watch(pipeline_for(wanted), **options)
        self._progress.advance(stream.resume_token)
        return stream

    def _read(
        self,
        client: MongoClient[dict[str, Any]],
        stream: ChangeStream[dict[str, Any]] | None,
        stopped: threading.Event,
    ) -> None:
        """Follow the database until stopped, through every outage."""
        delay = _FIRST
        while not stopped.is_set():
            began = self._progress.token
            try:
                stream = stream or self._open(client)
                self._tell_lost()
                self._follow(stream, stopped)
            except Exception as error:
                if stopped.is_set():
                    break
                self._failed(error)
                delay = _FIRST if self._progress.token not in (began, None) else min(delay * 2, _LONGEST)
                stopped.wait(random.uniform(delay / 2, delay))
            finally:
                self._is_open = False
                _close(stream)
                stream = None

    def _follow(self, stream: ChangeStream[dict[str, Any]], stopped: threading.Event) -> None:
        """Hand on what the stream tells, until stopped or until other collections are wanted too."""
        self._heard, self._is_open = time.monotonic(), True
        while not stopped.is_set() and self._progress.is_current:
            event = stream.try_next()
            self._heard = time.monotonic()
            if event is not None:
                self._hand_on(event)
            self._progress.advance(stream.resume_token)

    def _hand_on(self, event: Event) -> None:
        seq, kind, namespaces = event["_id"]["_data"], event["operationType"], namespaces_in(event)
        if kind == "invalidate":
            raise _Invalidated("the stream was invalidated")
        if self._progress.is_told(seq, namespaces):
            return
        change: Change | None = change_in(event)
        if change is not None:
            self._dispatch(namespaces[0], change)
        elif kind in ("drop", "rename"):
            self._dispatch_gap(Gap(seq, f"a collection was changed by {kind}"), namespaces=namespaces)
        elif kind == "dropDatabase":
            self._dispatch_gap(Gap(seq, "the database was dropped"), database=event["ns"]["db"])

    def _failed(self, error: Exception) -> None:
        """Note the outage; forget a position that can not be taken up again."""
        reason = _reason(error)
        if reason:
            self._lost = reason
            self._progress.lose()
        if not isinstance(error, PyMongoError | _Invalidated):
            _log.error("the feed failed, and tries again", exc_info=error)
        elif reason or self._is_open:
            _log.warning("the feed stopped following the database, and tries again: %s", _line(error))

    def _tell_lost(self) -> None:
        """Tell everybody of a loss, now that what follows it is whole again."""
        if self._lost:
            reason, self._lost = self._lost, ""
            _log.warning("the feed has a gap: %s", reason)
            self._dispatch_gap(Gap(self._progress.position, reason))


class _Invalidated(Exception):
    """The server has ended the stream, and will not continue it."""


def _reason(error: Exception) -> str:
    """Return why the position is lost with this error; "" if the stream can go on from it."""
    if isinstance(error, OperationFailure):
        return _LOST.get(error.code or 0, "")
    if isinstance(error, bson.errors.BSONError):
        return "a change could not be decoded"
    return "" if isinstance(error, PyMongoError) else str(error) or "the feed failed"


def _close(stream: ChangeStream[dict[str, Any]] | None) -> None:
    if stream is not None:
        try:
            stream.close()
        except PyMongoError:
            pass  # the server is away; it ends the cursor itself


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]!r}"
