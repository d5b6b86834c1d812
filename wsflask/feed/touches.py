"""What happened to a collection's documents between two positions, read from the database's own history."""

from __future__ import annotations

import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ExecutionTimeout, NetworkTimeout, OperationFailure

from .changes import HistoryCut, HistoryLost, Touch, cut_at
from .pipeline import OPS, pipeline_for
from .positions import is_position, moment_before, moment_of, timestamp_of
from .subscription import Namespace
from .tail import Tail

__all__ = ["LOST", "read_touches"]

#: Errors that say that a stream can not go on from its place, by MongoDB's error code.
LOST = {
    136: "the stream was too slow, and its position was overwritten",
    280: "the position can not be resumed",
    286: "the history before the position is gone",
    10334: "a change was too large for one event",
}
#: Of the time, how much the server may take: it answers that it was too little before the connection is given up.
_SHARE = 0.8
#: Milliseconds to wait for the server to come to the last position; it is there already, but after an election.
_WAIT_MS = 50


def read_touches(
    client: MongoClient[dict[str, Any]], namespace: Namespace, since: str, until: str, limit: int, timeout: float
) -> list[Touch]:
    """Return what happened after `since` and not after the moment of `until`, oldest first. May switch.

    Args:
        timeout: seconds after which it is given up.

    Raises:
        HistoryLost: that can not be told.
        HistoryCut: it is more than `limit`, or takes too long; its beginning was read.
        PyMongoError: the database failed.
    """
    if not (is_position(since) and is_position(until)):
        raise HistoryLost("there is no such position")
    if moment_of(since) > moment_of(until):
        return []
    try:
        return _read(client, namespace, since, moment_of(until), limit, time.monotonic() + _SHARE * timeout)
    except ExecutionTimeout as error:
        raise HistoryLost("the history takes too long to read") from error
    except OperationFailure as error:
        if error.code in LOST:
            raise HistoryLost(LOST[error.code]) from error
        raise


def _read(
    client: MongoClient[dict[str, Any]], namespace: Namespace, since: str, until: str, limit: int, deadline: float
) -> list[Touch]:
    left = max(int((deadline - time.monotonic()) * 1000), 1)
    pipeline = pipeline_for([namespace], with_image=False)
    start = timestamp_of(moment_before(since))  # it then tells when all of this moment was read, also if it is the last
    tail = Tail(client, namespace[0], pipeline, start=start, max_time=left)
    touches: list[Touch] = []
    try:
        while tail.position < until:
            if tail.is_over or time.monotonic() > deadline:
                raise cut_at(tail.position, "the history ends before the position", touches, since)
            for seq, event in tail.read(_WAIT_MS):
                if seq <= since:
                    continue
                if moment_of(seq) > until:
                    return touches
                if event["operationType"] not in OPS:
                    raise HistoryLost(f"the collection was changed by {event['operationType']}")
                if len(touches) == limit:
                    raise cut_at(moment_before(seq), f"more than {limit} things happened", touches, since)
                touches.append(Touch(seq, OPS[event["operationType"]], event["documentKey"]["_id"]))
        return touches
    except (ExecutionTimeout, NetworkTimeout) as error:
        # There is a long way to what comes next, or the server is away: who asks for the rest will see.
        cut = cut_at(tail.position, "the history takes too long to read", touches, since)
        if isinstance(cut, HistoryCut):
            raise cut from error
        raise
    finally:
        tail.close()
