"""The feed of many workers: one of them reads MongoDB, the others hear of it through Redis."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import replace
from typing import Any

from mongoengine import Document
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from redis.exceptions import RedisError

from ..config import Settings
from ..errors import ConfigError
from ..tasks import Task, spawn
from .base import Change, Gap, Namespace, Touch, namespace_of
from .mongo import MongoFeed, is_told
from .positions import moment_of, timestamp_of
from .redis_frames import Forged, Frame
from .redis_past import PastUnknown, read_past
from .redis_relay import RedisRelay
from .redis_stream import RedisStream, connect, line, place_of
from .tail import Tail

__all__ = ["RedisFeed"]

_log = logging.getLogger(__name__)

#: Seconds of silence after which a worker follows the database itself: the relay writes ten times a second. Twice as
#: long after each time, up to the last: where all are slow, detours make it worse. As at first after a calm time.
_SILENCE, _LONGEST, _CALM = 0.7, 2.8, 60.0
#: Seconds for which what was heard of the relay shows that it goes on.
_RECENT = 1.0
#: Seconds in which Redis has to tell what the primary had written: a relay that is stuck, or a Redis that repeats what
#: our workers once wrote, looks alive, and would keep from us that somebody has lost a right.
_LATE = 5.0
#: Seconds without an answer after which the feed no longer counts as live: some more than a detour takes.
_LIVE = 3.0
#: Milliseconds a read waits for more: also the longest delay of stop().
_AWAIT_MS = 100
#: Frames of one read; each may be some megabytes.
_FRAMES = 8
#: Documents that are looked up by one query; each may have 16 MB.
_LOOKED_UP = 16
#: Seconds that stop() waits for the relay.
_STOP = 3.0


class RedisFeed(MongoFeed):
    """Changes as MongoDB's change stream tells them, of which there is one for all workers while Redis carries it.

    Each frame in Redis says from where to where it tells everything. A worker takes those that join at its position.
    Where none does, nothing comes, or a collection is not in them, it follows the database itself, from where it was,
    until they join again. So whatever happens to Redis loses nothing, and repeats nothing.
    """

    def __init__(self, settings: Settings, secret: bytes) -> None:
        super().__init__(settings)
        if settings.redis_url is None or not secret:
            raise ConfigError("the feed 'redis' needs WSFLASK_REDIS_URL, and a SECRET_KEY to sign with")
        self._url, self._secret = settings.redis_url, secret
        self._stream: RedisStream | None = None
        self._relay: RedisRelay | None = None
        self._relaying: Task | None = None
        self._silence = _SILENCE
        self._silent = float("-inf")
        #: The last frame that was heard of, and when.
        self._hint: tuple[Frame, float] | None = None
        self._follows_redis = False
        #: How often this process had to follow the database itself again.
        self.detours = 0

    def start(self) -> None:
        """Fix the position, at the database itself, and begin to read. May switch."""
        if self._is_started:
            return
        self._stream, self._hint = None, None
        redis = connect(self._url)
        super().start()
        client = self._client
        if client is None:
            return
        options, most = client.codec_options, self._settings.redis_bytes
        self._stream = RedisStream(redis, self._secret, uuid.uuid4().hex, options, most)
        if self._is_known:
            self._stream.belong_to(self.epoch)
        self._relay = RedisRelay(
            self._stream,
            client,
            place=lambda: self._progress.position,
            wanted=lambda: self._progress.wanted,
            heard=self._heard_of,
        )
        self._relaying = spawn("wsflask-relay", self._relay.run, self._stopped)

    def stop(self) -> None:
        """Stop reading and writing, close the clients and every subscription. May switch; may be called twice."""
        self._stopped.set()
        relaying, self._relaying = self._relaying, None
        if relaying is not None and not relaying.join(_STOP):
            relaying.stop(1.0)
        super().stop()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    @property
    def heard(self) -> float:
        """Monotonic time at which Redis, or the database itself, was heard of last."""
        return self._heard

    @property
    def is_live(self) -> bool:
        """Whether changes, or that there are none, were heard of lately: from Redis or from the database itself."""
        return self._is_started and time.monotonic() - self._heard < _LIVE

    @property
    def follows_redis(self) -> bool:
        """Whether changes come from Redis at this moment, not from the database itself."""
        return self._follows_redis

    @property
    def is_relay(self) -> bool:
        """Whether this process is the one that reads MongoDB for all."""
        return self._relay is not None and self._relay.is_writing

    def _note_epoch(self, epoch: str) -> None:
        super()._note_epoch(epoch)
        if self._stream is not None:
            self._stream.belong_to(epoch)

    def _heard_of(self, frame: Frame) -> None:
        self._hint = frame, time.monotonic()

    def _goes_on(self, tail: Tail, stopped: threading.Event) -> bool:
        return super()._goes_on(tail, stopped) and not self._is_relieved()

    def _is_relieved(self) -> bool:
        """Whether Redis tells by now what this process reads itself."""
        if self._hint is None or self._lost:
            return False
        frame, heard = self._hint
        position = self._progress.position
        if not self._is_level() or not self._progress.wanted <= frame.covered or frame.since > position:
            return False
        behind = timestamp_of(position).time - timestamp_of(frame.reached).time
        return time.monotonic() - heard < _RECENT and behind <= _RECENT

    def _is_level(self) -> bool:
        """Whether everybody here has got everything up to the position of the feed."""
        position = self._progress.position
        return all(each.reached >= position for each in self._subscriptions)

    def _follow_another(self, stopped: threading.Event) -> None:
        """Follow Redis, as long as it tells everything. May switch."""
        stream = self._stream
        if stream is None or not self._is_relieved():
            return
        try:
            why = self._follow_redis(stream, stopped)
        except Forged as error:
            why = f"Redis holds what none of our workers has written: {error}"
        except (RedisError, OSError) as error:
            why = line(error)
        except PyMongoError as error:
            why = f"a document could not be looked up: {line(error)}"
        except Exception:
            _log.exception("changes could not be read from Redis")
            why = "a fault of our own"
        finally:
            self._follows_redis, self._hint = False, None
        if not stopped.is_set():
            self.detours += 1
            _log.info("this process follows the database itself for now: %s", why)
            if self._relay is not None:
                self._relay.wish_again()

    def _follow_redis(self, stream: RedisStream, stopped: threading.Event) -> str:
        """Hand on what Redis tells; return why that is not everything any more."""
        self._heard, self._follows_redis = time.monotonic(), True
        place = place_of(self._progress.position)
        if self._heard - self._silent > _CALM:
            self._silence = _SILENCE
        patience = self._silence * random.uniform(1.0, 1.3)  # not all at once
        owed, due = self._written(), self._heard + _LATE
        while not stopped.is_set():
            if time.monotonic() >= due:
                if timestamp_of(self._progress.position).time < owed:
                    return "Redis tells only what is long past"
                owed, due = self._written(), time.monotonic() + _LATE
            entries = stream.after(place, most=_FRAMES, wait=_AWAIT_MS)
            if not entries and time.monotonic() - self._heard > patience:
                self._silent = time.monotonic()
                self._silence = min(2 * self._silence, _LONGEST)
                return "nobody writes into Redis"
            for entry in entries:
                wanted = self._progress.wanted
                frame = stream.frame(entry, wanted)
                told = self._looked_up(frame) if frame.left_out else frame.told
                why = self._take(frame, told, wanted)
                if why:
                    return why
                place = frame.place
                self._heard = time.monotonic()
        return ""

    def _take(self, frame: Frame, told: list[tuple[Namespace, Change | Gap]], wanted: frozenset[Namespace]) -> str:
        """Hand on a frame; return why that can not be done."""
        with self._lock:  # who begins to watch meanwhile begins before all of it, or after
            position = self._progress.position
            if frame.reached <= position:
                return ""  # somebody goes on writing; it tells nothing new
            if frame.since > position:
                return "there is a hole in what Redis tells"
            covered = frame.covered & wanted
            if not self._progress.wanted <= covered or not self._is_level():
                return "a collection is not in Redis yet"
            fresh = [entry for entry in told if moment_of(entry[1].seq) > position and is_told(entry[1])]
            self._dispatch(fresh, frame.reached, covered)
            self._progress.advance(frame.reached)
        return ""

    def _looked_up(self, frame: Frame) -> list[tuple[Namespace, Change | Gap]]:
        """Return what a frame tells, with the large documents as they are now, or later than the change. May switch."""
        told = list(frame.told)
        places: dict[Namespace, list[int]] = defaultdict(list)
        for number in frame.left_out:
            places[told[number][0]].append(number)
        for (database, collection), numbers in places.items():
            for first in range(0, len(numbers), _LOOKED_UP):
                some = numbers[first : first + _LOOKED_UP]
                changes = {number: change for number in some if isinstance(change := told[number][1], Change)}
                found = self._find(database, collection, [change.id for change in changes.values()], frame.reached)
                for number, change in changes.items():
                    told[number] = told[number][0], replace(change, image=found.get(_key(change.id)))
        return told

    def _find(self, database: str, collection: str, ids: list[Any], moment: str) -> dict[Any, dict[str, Any]]:
        client = self._client
        if client is None:
            return {}
        with client.start_session(causal_consistency=True) as session:
            session.advance_operation_time(timestamp_of(moment))
            documents = client[database].get_collection(collection, read_concern=ReadConcern("majority"))
            return {_key(each["_id"]): each for each in documents.find({"_id": {"$in": ids}}, session=session)}

    def touches(self, document_class: type[Document], since: str, until: str, limit: int) -> list[Touch]:
        """Return what happened to the class's documents after `since`, from Redis if it reaches back. May switch.

        Raises:
            HistoryLost: neither Redis nor the database can tell.
            HistoryCut: it takes too long, or is more than `limit`.
            PyMongoError: the database failed.
        """
        stream = self._stream
        if stream is not None and self._follows_redis:
            try:
                return read_past(stream, namespace_of(document_class), since, until, limit)
            except (PastUnknown, Forged, RedisError, OSError):
                pass  # the database knows more
        return super().touches(document_class, since, until, limit)


def _key(value: Any) -> Any:
    """Return an id as a key: ids that are documents can not be one."""
    return repr(value) if isinstance(value, dict | list) else value
