"""The header that tells a page up to where its live views have to come, to show what the page has just written."""

from __future__ import annotations

import logging

import mongoengine
import pymongo
from bson import Timestamp
from flask import Response, request
from mongoengine.connection import ConnectionFailure
from pymongo.errors import PyMongoError

from .config import Settings
from .feed.positions import position_of
from .outage import log_outage

__all__ = ["POSITION_HEADER", "may_have_written", "stamp"]

_log = logging.getLogger(__name__)

#: A position of the feed: 20 digits.
POSITION_HEADER = "WSFlask-Position"

#: Methods that by their meaning write nothing (RFC 9110, 9.2.1).
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: Seconds that a response waits for its position at most; 0.3 ms are usual.
_PATIENCE = 1.0


def may_have_written(response: Response) -> bool:
    """Return whether the view of the current request may have written something, by its method and its status."""
    return request.method not in _SAFE and response.status_code < 500


def stamp(response: Response, settings: Settings) -> Response:
    """Name in the response a position behind every write that was acknowledged; none where there is no such thing.

    Asks the primary of the default alias, by one command. Never raises; may switch.
    """
    time = _operation_time() if settings.feed != "signals" else None
    if time is not None:
        response.headers[POSITION_HEADER] = position_of(time)
    return response


def _operation_time() -> Timestamp | None:
    """Return the cluster time of the latest write that the primary knows; None: standalone, or away."""
    try:
        with pymongo.timeout(_PATIENCE):
            time = mongoengine.get_connection().admin.command("ping").get("operationTime")
    except (PyMongoError, ConnectionFailure) as error:
        log_outage(_log, "a response tells no position: %s", type(error).__name__)
        return None
    except Exception:
        _log.exception("a response tells no position")
        return None
    return time if isinstance(time, Timestamp) else None
