"""One process of all reads MongoDB's change stream for the others, and writes it into Redis."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from .changes import Change, Gap
from .pipeline import pipeline_for, stage_options, told_by
from .positions import moment_after, moment_of, timestamp_of
from .redis_frames import Forged, Frame, bounded, pack
from .redis_stream import Deposed, RedisStream, Refused, line
from .subscription import Namespace
from .tail import Tail

__all__ = ["RedisRelay"]

_log = logging.getLogger(__name__)

#: Seconds between two looks of those who do not write: at the lease, and at what was written last.
_LOOK = 0.25
#: Seconds between two looks of all at the wishes.
_WISHES = 60.0
#: Milliseconds the database may keep a request for more events open: so often an idle stream's position moves.
_AWAIT_MS = 100
#: Seconds between two reads while they come thick.
_PAUSE = 0.002
#: Seconds that a stream may have stood still to be gone on with; readers fill the rest from the database's history.
_FRESH = 30
#: Seconds after which the same complaint is logged again.
_QUIET = 30.0


class RedisRelay:
    """Writes while it holds the lease, looks after who does otherwise.

    Args:
        place: returns the position of this process's own feed; "" while it has none.
        wanted: returns the collections that are wanted in this process.
        heard: called with the last frame whenever another one is there.
    """

    def __init__(
        self,
        stream: RedisStream,
        client: MongoClient[dict[str, Any]],
        *,
        place: Callable[[], str],
        wanted: Callable[[], frozenset[Namespace]],
        heard: Callable[[Frame], None],
    ) -> None:
        #: Whether this process is the one that writes.
        self.is_writing = False
        self._stream = stream
        self._client = client
        self._place = place
        self._wanted = wanted
        self._heard = heard
        self._wishes: frozenset[Namespace] = frozenset()
        self._wished: tuple[float, frozenset[Namespace]] = (0.0, frozenset())
        self._seen = ""
        self._is_spoilt = False
        self._complaints: dict[str, float] = {}

    def run(self, stopped: threading.Event) -> None:
        """Write, or look, until stopped. May switch."""
        while not stopped.is_set():
            if self._stream.key:
                self._take_turn(stopped)
            stopped.wait(_LOOK * random.uniform(0.7, 1.3))

    def _take_turn(self, stopped: threading.Event) -> None:
        try:
            self._wish()
            if self._place() and self._stream.take_lease():
                self._write(stopped)
            else:
                self._look()
        except Forged as error:
            self._complain("Redis holds what none of our workers has written: %s", error)
            self._is_spoilt = True
        except Refused as error:
            self._complain("%s", error)
            self._is_spoilt = True
        except Deposed as error:
            _log.info("the relay of this process ends: %s", error)
        except (RedisError, OSError) as error:
            self._complain("Redis can not be used; this process follows the database itself: %s", error)
        except PyMongoError as error:
            self._complain("the relay can not follow the database: %s", error)
        except Exception:
            _log.exception("the relay failed, and tries again")

    def _look(self) -> None:
        """See how far the one who writes has come."""
        frame = self._stream.last()
        self._is_spoilt = False
        if frame is not None and frame.place != self._seen:
            self._seen = frame.place
            self._heard(frame)

    def _wish(self) -> None:
        """Have whoever writes follow what is wanted here."""
        at, known = self._wished
        wanted, now = self._wanted(), time.monotonic()
        if wanted - known or now - at > _WISHES:
            self._stream.want(wanted)
            self._wished = now, wanted

    def wish_again(self) -> None:
        """Repeat the wishes soon: they seem to be forgotten."""
        self._wished = 0.0, frozenset()

    def _write(self, stopped: threading.Event) -> None:
        self.is_writing = True
        try:
            since = self._take_over()
            while not stopped.is_set():
                count, self._wishes = self._stream.wanted()
                since = self._follow(since, count, stopped)
        finally:
            self.is_writing = False
            try:
                self._stream.release()
            except (RedisError, OSError):
                pass  # it ends by itself

    def _take_over(self) -> str:
        """Return where to go on."""
        own = self._place()
        frame = None
        if not self._is_spoilt:
            frame = self._stream.last()
        self._is_spoilt = False
        if frame is not None and abs(_seconds(own) - _seconds(frame.reached)) > _FRESH:
            frame = None
        self._stream.take_up(frame)
        _log.info("this process writes the changes of the database into Redis")
        return frame.reached if frame is not None else own

    def _follow(self, since: str, count: int, stopped: threading.Event) -> str:
        """Write what one stream tells, until other collections are wanted; return how far that is."""
        covered = self._wanted() | self._wishes
        database = _only(covered)
        client, options = self._client, stage_options(self._client.admin.command("hello"))
        start = timestamp_of(moment_after(since))
        tail = Tail(client, database, pipeline_for(covered), start=start, options=options)
        writer = _Writer(self._stream, since, covered, self._heard)
        told: list[tuple[Namespace, Change | Gap]] = []
        checked = busy = time.monotonic()
        wishes = count
        try:
            while not stopped.is_set() and not tail.is_over:
                events = tail.read(_AWAIT_MS)
                told = bounded(told)
                told += [entry for seq, event in events for entry in told_by(seq, event, covered, tail.options)]
                if not told or moment_of(told[-1][1].seq) <= tail.position:
                    wishes = writer.write(told, tail.position, tail.options)
                    told = []
                now = time.monotonic()
                if wishes != count or self._wanted() - covered or now - checked > _WISHES:
                    self._wish()
                    checked, (count, self._wishes) = now, self._stream.wanted()
                    wishes = count
                    if self._wanted() | self._wishes != covered:
                        break
                if events:
                    if now - busy < 2 * _PAUSE:
                        time.sleep(_PAUSE)
                    busy = now
        finally:
            tail.close()
        return writer.reached

    def _complain(self, sentence: str, error: Exception) -> None:
        """Log an outage once, and again when it lasts."""
        now = time.monotonic()
        if now - self._complaints.get(sentence, -_QUIET) >= _QUIET:
            self._complaints[sentence] = now
            _log.warning(sentence, line(error))


class _Writer:
    """Frames of one stream, each behind the last."""

    def __init__(
        self, stream: RedisStream, since: str, covered: frozenset[Namespace], heard: Callable[[Frame], None]
    ) -> None:
        self.reached = since
        self._stream = stream
        self._since = since
        self._covered = covered
        self._heard = heard
        self._is_quiet = False

    def write(self, told: list[tuple[Namespace, Change | Gap]], reached: str, options: Any) -> int:
        """Write all that happened up to the moment `reached`; return how many wishes there are."""
        body = pack(self._since, self._covered, told, options)
        place, wishes = self._stream.append(body, reached, is_quiet=not told, replaces=self._is_quiet)
        self._heard(Frame(place, self._since, reached, self._covered, [], []))
        self.reached, self._is_quiet = reached, not told
        if told:
            self._since = reached
        return wishes


def _only(namespaces: frozenset[Namespace]) -> str | None:
    """Return the one database of these collections; None: there are several, or none."""
    databases = {database for database, _ in namespaces}
    return databases.pop() if len(databases) == 1 else None


def _seconds(position: str) -> int:
    return timestamp_of(position).time
