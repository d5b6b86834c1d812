"""What happened between two positions, as far as Redis still holds all of it."""

from __future__ import annotations

from ..errors import WSFlaskError
from .changes import Change, HistoryLost, Touch, cut_at
from .positions import is_position, moment_before, moment_of
from .redis_stream import RedisStream, place_behind
from .subscription import Namespace

__all__ = ["PastUnknown", "read_past"]

#: Frames that are read at a time.
_FRAMES = 32
#: Frames that are read at most: beyond that the database's own history is read faster.
_MOST = 2000


class PastUnknown(WSFlaskError):
    """Redis does not hold all that happened."""


def read_past(stream: RedisStream, namespace: Namespace, since: str, until: str, limit: int) -> list[Touch]:
    """Return what happened after `since` and not after the moment of `until`, oldest first. May switch.

    Raises:
        PastUnknown: Redis does not hold all of it.
        HistoryLost: it can not be told.
        HistoryCut: it is more than `limit`; its beginning was read.
        Forged: somebody else has written into Redis.
        RedisError: Redis failed.
    """
    if not (is_position(since) and is_position(until)):
        raise HistoryLost("there is no such position")
    end = moment_of(until)
    if moment_of(since) > end:
        return []
    touches: list[Touch] = []
    reached = moment_before(since)  # of a moment of which a part is known the rest is wanted
    read = 0
    while reached < end:
        entries = stream.after(place_behind(reached), most=_FRAMES, wait=None)
        read += len(entries)
        if not entries or read > _MOST:
            raise PastUnknown("it ends too early" if not entries else "it is too long")
        for entry in entries:
            frame = stream.frame(entry, frozenset({namespace}))
            if frame.since > reached or namespace not in frame.covered:
                raise PastUnknown("it is not whole")
            reached = frame.reached
            for _, item in frame.told:
                if item.seq <= since or moment_of(item.seq) > end:
                    continue
                if not isinstance(item, Change):
                    raise HistoryLost(item.reason)
                if len(touches) == limit:
                    raise cut_at(moment_before(item.seq), f"more than {limit} things happened", touches, since)
                touches.append(Touch(item.seq, item.op, item.id))
            if reached >= end:
                break
    return touches
