"""Commands of clients that have to take effect once, however often they come."""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mongoengine
import pymongo
from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from .config import Settings
from .deadline import SHARE, TimeIsUp, seconds_left
from .documents import AppliedCommand
from .documents.fields import utc_now
from .documents.transactions import has_transactions, run_in_transaction
from .encoding import dumps
from .errors import Refusal

__all__ = ["Ledger", "command_id"]

#: Bytes of a command's id.
_ID_BYTES = 64
#: Seconds between two looks at a command that another process has begun, where there are no transactions.
_LOOK = 0.1

_Raw = dict[str, Any]


def command_id(payload: Any) -> str | None:
    """Return the id that a client gave its command; None: it gave none.

    Raises:
        Refusal: bad_data, the payload is no object, or the id no string of 1 to 64 bytes.
    """
    if not isinstance(payload, dict):
        raise Refusal("bad_data")
    command = payload.get("cmd_id")
    if command is not None and not (isinstance(command, str) and 0 < len(command.encode()) <= _ID_BYTES):
        raise Refusal("bad_data")
    return command


class Ledger:
    """Notes which commands were applied, and what they were answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._under_way: set[str] = set()
        self._free = threading.Condition()
        #: None: not asked yet.
        self._has_transactions: bool | None = None

    def once(self, channel: str, user_id: str, command: str | None, apply: Callable[[], Any]) -> Any:
        """Return what `apply` returned when the command was applied: now, or earlier. May switch.

        What `apply` writes and the note of it are one transaction. It is called again where others wrote the same
        documents meanwhile, and what it raises undoes what it wrote. Without a command's id, nothing is noted.

        Raises:
            Refusal: unavailable, the command is under way elsewhere; or what `apply` refuses with.
            PyMongoError: the database failed; the command was perhaps applied.
        """
        # In the rest the database can be told that the transaction is given up.
        patience = (1 - SHARE) * seconds_left(self._settings.database_timeout)
        deadline = time.monotonic() + patience
        key = None if command is None else dumps([channel, user_id, command]).decode()
        with self._alone(key, (1 - SHARE) * patience), pymongo.timeout(max(deadline - time.monotonic(), 0.001)):
            if self._has_transactions is None:
                self._has_transactions = has_transactions(mongoengine.get_connection())
            attempt = self._together if self._has_transactions else self._at_most_once
            return json.loads(attempt(key, apply))

    @contextmanager
    def _alone(self, key: str | None, patience: float) -> Iterator[None]:
        """Let a command that comes again wait, while it is under way in this process."""
        if key is None:
            yield
            return
        with self._free:
            if not self._free.wait_for(lambda: key not in self._under_way, patience):
                raise Refusal("unavailable")
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._free:
                self._under_way.discard(key)
                self._free.notify_all()

    def _together(self, key: str | None, apply: Callable[[], Any]) -> str:
        """Apply and note the command in one transaction. Of two processes that do, one is undone, and looks again."""

        def work() -> str:
            if key is not None and (found := _records().find_one({"_id": key})) is not None:
                return str(found["answer"])
            answer = self._answer(apply())
            if key is not None:
                _records().insert_one({"_id": key, "answer": answer, "expires_dt": self._expiry()})
            return answer

        _records()  # its indexes are made outside of the transaction
        return run_in_transaction(work)

    def _at_most_once(self, key: str | None, apply: Callable[[], Any]) -> str:
        """Note the command, apply it, note the answer: who is killed in between leaves one that nobody repeats."""
        if key is None:
            return self._answer(apply())
        records = _records().with_options(write_concern=WriteConcern(w=1, j=True))
        try:
            records.insert_one({"_id": key, "expires_dt": self._expiry()})
        except DuplicateKeyError:
            return self._await_answer(key)
        try:
            answer = self._answer(apply())
        except Refusal as refusal:
            if not isinstance(refusal, TimeIsUp):  # that came in the midst of it
                records.delete_one({"_id": key})
            raise
        records.update_one({"_id": key}, {"$set": {"answer": answer}})
        return answer

    def _await_answer(self, key: str) -> str:
        deadline = time.monotonic() + seconds_left(self._settings.database_timeout) / 2
        while time.monotonic() < deadline:
            found = _records().find_one({"_id": key})
            if found is not None and found.get("answer") is not None:
                return str(found["answer"])
            time.sleep(_LOOK)
        raise Refusal("unavailable", "it was begun, and has not ended")

    def _answer(self, value: Any) -> str:
        text, most = dumps(value), self._settings.command_answer_bytes
        if len(text) > most:
            sentence = "a command's answer has %d bytes, WSFLASK_COMMAND_ANSWER_BYTES is %d; return an id to ask by"
            raise ValueError(sentence % (len(text), most))
        return text.decode()

    def _expiry(self) -> datetime.datetime:
        return utc_now() + datetime.timedelta(seconds=self._settings.command_seconds)


def _records() -> Collection[_Raw]:
    collection: Collection[_Raw] = AppliedCommand._get_collection()
    return collection.with_options(read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern())
