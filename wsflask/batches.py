"""Ask the database once for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import gevent
import pymongo
from pymongo.errors import NetworkTimeout, PyMongoError

from .tasks import is_patched

__all__ = ["Batches"]

#: Keys in one query: enough that a storm of reconnects costs few, and so few that one answer stays small.
_LIMIT = 500
#: Longest time, in seconds, that a query waits for those who are about to ask, while the process is busy with others.
_PATIENCE = 0.02

_Key = TypeVar("_Key", bound=Hashable)
_Answer = TypeVar("_Answer")


class _Batch(Generic[_Key, _Answer]):
    """Some keys, asked for together. Whoever made it runs its query; the others wait for `done`."""

    __slots__ = ("answer", "before", "done", "error", "is_answered", "is_split", "keys")

    def __init__(self, before: _Batch[_Key, _Answer] | None) -> None:
        self.keys: dict[_Key, None] = {}
        #: The batch whose query has to be over first.
        self.before = before
        self.done = threading.Event()
        self.is_answered = False
        #: Whether each has to ask for himself: something is wrong with one of the keys, not with the database.
        self.is_split = False
        self.answer: _Answer
        self.error: Exception | None = None


class Batches(Generic[_Key, _Answer]):
    """One query for the keys of many callers.

    Who comes alone is served at once. Who comes while a query runs waits for the next one, together with all who come
    meanwhile; and while the process has other greenlets to run, these may come too. So every answer is from a query
    that began after it was asked for: what was written before is in it. The query runs in the greenlet or thread of a
    caller; there is none of its own.

    Args:
        query: finds the answer for some keys, each once; runs with `pymongo.timeout`. May switch.
        timeout: seconds after which a caller has an answer or an error.
        limit: keys in one query; more are asked for by several, one after another.
    """

    def __init__(self, query: Callable[[list[_Key]], _Answer], *, timeout: float, limit: int = _LIMIT) -> None:
        self._query = query
        self._timeout = timeout
        self._limit = limit
        self._lock = threading.Lock()
        #: The batch that takes further keys, and the latest whose query is not over.
        self._open: _Batch[_Key, _Answer] | None = None
        self._last: _Batch[_Key, _Answer] | None = None

    def ask(self, key: _Key) -> _Answer:
        """Return the answer to a query for this key and perhaps others; all who share it get the same object.

        May switch.

        Raises:
            NetworkTimeout: there is no answer in time.
            PyMongoError: the database failed, for all who share the query.
            Exception: the query failed for this key alone.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            batch, is_first = self._join(key)
            if is_first:
                self._run(batch, deadline)
            else:
                _await(batch, deadline)
            if batch.is_split:
                return self._query_for([key], deadline)
            if batch.error is not None:
                raise batch.error if is_first else batch.error.with_traceback(None)
            if batch.is_answered:
                return batch.answer
            # The greenlet that ran the query was killed: that is no answer for the others.

    def _join(self, key: _Key) -> tuple[_Batch[_Key, _Answer], bool]:
        """Return the batch that the key is in now, and whether it was made for it."""
        with self._lock:
            batch = self._open
            is_new = batch is None or len(batch.keys) >= self._limit
            if batch is None or is_new:
                batch = self._open = self._last = _Batch(self._last)
            batch.keys[key] = None
            return batch, is_new

    def _run(self, batch: _Batch[_Key, _Answer], deadline: float) -> None:
        try:
            if batch.before is not None:
                _await(batch.before, deadline)
            _await_others()
            self._close(batch)
            batch.answer = self._query_for(list(batch.keys), deadline)
            batch.is_answered = True
        except Exception as error:
            batch.error = error
            batch.is_split = len(batch.keys) > 1 and not isinstance(error, PyMongoError)
        finally:
            self._close(batch)
            with self._lock:
                if self._last is batch:
                    self._last = None
            batch.before = None
            batch.done.set()

    def _query_for(self, keys: list[_Key], deadline: float) -> _Answer:
        with pymongo.timeout(max(deadline - time.monotonic(), 0.001)):
            return self._query(keys)

    def _close(self, batch: _Batch[_Key, _Answer]) -> None:
        """Let nobody join any more: from here on the query may run."""
        with self._lock:
            if self._open is batch:
                self._open = None


def _await(batch: _Batch[_Key, _Answer], deadline: float) -> None:
    if not batch.done.wait(max(deadline - time.monotonic(), 0)):
        raise NetworkTimeout("the database did not answer in time")


def _await_others() -> None:
    """Let those run first who can, until nobody can: in a storm they come from a handshake of their own."""
    if is_patched():
        gevent.with_timeout(_PATIENCE, gevent.idle, timeout_value=None)
