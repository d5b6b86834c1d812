"""Messages for every worker that nobody keeps: published into Redis, and heard by those who listen then."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import bson
import pymongo
from redis.exceptions import RedisError

from ..config import Settings
from ..tasks import Task, spawn
from .epoch import read_own_epoch
from .redis_frames import Forged, Seal
from .redis_stream import connect, line

__all__ = ["Bus"]

_log = logging.getLogger(__name__)

#: Bytes of a message from which on it is left to the database.
_LARGE = 16 * 1024
#: Messages that Redis holds for listeners that are late: with the largest, 80 MB.
_HELD = 5000
#: Messages that are remembered, so that none is heard twice, and seconds after which one is too old to be heard.
_REMEMBERED, _OLD = 20_000, 7200.0
#: Messages of one read, and milliseconds that it waits for them.
_BATCH, _AWAIT_MS = 100, 500
#: Seconds after a failure in which publishing does not try again: the database carries messages meanwhile.
_AWAY = 2.0
#: Seconds that start() waits for a database that does not answer: the first clients wait with it.
_START = 1.0
#: Seconds before a second attempt to listen; doubles up to the last, with jitter.
_FIRST, _LONGEST = 0.1, 2.0
#: Seconds after which the same complaint is logged again.
_QUIET = 30.0
#: The label under which messages are signed.
_LABEL = "message"


class Bus:
    """One stream in Redis, signed, trimmed, of messages with an `_id` of their own.

    Args:
        heard: called with each message, one at a time.
    """

    def __init__(self, url: str, secret: bytes, heard: Callable[[dict[str, Any]], None]) -> None:
        self._client = connect(url)
        self._secret = secret
        self._heard = heard
        self._place: tuple[str, Seal] | None = None
        self._last: bytes | None = None
        #: In the order in which they came.
        self._known: dict[Any, None] = {}
        self._failed = self._complained = float("-inf")
        self._stopped = threading.Event()
        self._listener: Task | None = None

    # --- publishing

    def publish(self, message: Mapping[str, Any]) -> bool:
        """Send a message to all who listen; return whether Redis has taken it. May switch, a second at most.

        Raises:
            PyMongoError: the first time the database is asked which one it is, and did not answer.
        """
        now = time.monotonic()
        body = bson.encode({"m": message, "t": time.time()})
        if len(body) > _LARGE or now - self._failed < _AWAY:
            return False
        key, seal = self._placed()
        try:
            self._client.xadd(key, {"b": seal.sign(_LABEL, body)}, maxlen=_HELD)
        except (RedisError, OSError) as error:
            self._failed = now
            self._complain("a message could not be published through Redis: %s", error)
            return False
        return True

    def _placed(self) -> tuple[str, Seal]:
        """Return where messages for this database lie, and how they are signed."""
        if self._place is None:
            name = f"wsflask:{read_own_epoch(Settings().database_timeout)}"
            self._place = f"{{{name}}}:messages", Seal(self._secret, f"{name} messages")
        return self._place

    # --- listening

    def start(self) -> None:
        """Hear what is published from now on. May switch; without Redis or the database it goes on trying."""
        self._stopped = threading.Event()
        self._last = None
        try:
            with pymongo.timeout(_START):
                self._look()
        except Exception as error:
            self._complain("Redis can not be listened to yet: %s", error)
        self._listener = spawn("wsflask-bus", self._listen, self._stopped)

    def stop(self) -> None:
        """Hear nothing any more. May switch; may be called twice."""
        self._stopped.set()
        listener, self._listener = self._listener, None
        if listener is not None and not listener.join(3.0):
            listener.stop(1.0)
        self._client.close()

    def _look(self) -> None:
        """Find the place to go on at: where we were, unless Redis has begun anew."""
        found: Any = self._client.xrevrange(self._placed()[0], count=1)
        last = found[0][0] if found else b"0-0"
        if self._last is None:
            self._last = last
        elif _number(last) < _number(self._last):
            self._last = b"0-0"

    def _listen(self, stopped: threading.Event) -> None:
        delay = _FIRST
        is_lost = self._last is None
        while not stopped.is_set():
            try:
                if is_lost:
                    self._look()
                    is_lost = False
                reply: Any = self._client.xread(
                    {self._placed()[0]: self._last or b"0-0"}, count=_BATCH, block=_AWAIT_MS
                )
                delay = _FIRST
                for _, entries in reply or ():
                    for place, fields in entries:
                        self._last = place
                        self._take((fields or {}).get(b"b", b""))
            except Exception as error:
                if stopped.is_set():
                    break
                is_lost = True
                self._complain("Redis can not be listened to, and is tried again: %s", error)
                stopped.wait(random.uniform(delay / 2, delay))
                delay = min(delay * 2, _LONGEST)

    def _take(self, signed: bytes) -> None:
        try:
            body = bson.decode(self._placed()[1].check(_LABEL, signed))
        except Forged as error:
            self._complain("Redis holds a message that none of our workers has written: %s", error)
            return
        message = body["m"]
        if abs(time.time() - body["t"]) > _OLD or not self.is_new(message["_id"]):
            return
        try:
            self._heard(message)
        except Exception:
            _log.exception("a message could not be sent on")

    def is_new(self, identity: Any) -> bool:
        """Note a message; return whether it was not noted before: it may come from the database too."""
        if identity in self._known:
            return False
        self._known[identity] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return True

    def _complain(self, sentence: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= _QUIET:
            self._complained = now
            _log.warning(sentence, line(error))


def _number(place: bytes) -> tuple[int, ...]:
    return tuple(map(int, place.split(b"-")))
