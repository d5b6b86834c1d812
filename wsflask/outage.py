"""Trouble with the database: what counts as such, and how the log tells of it without end."""

from __future__ import annotations

import logging
import threading
import time

from pymongo.errors import OperationFailure, PyMongoError

__all__ = ["forget", "is_outage", "log_failure", "log_outage"]

#: Seconds between two lines with one sentence.
_QUIET = 30.0

_lock = threading.Lock()
#: By logger and sentence: monotonic time of the latest line, and how many were left out since.
_told: dict[tuple[str, str], tuple[float, int]] = {}


def is_outage(error: BaseException) -> bool:
    """Return whether the database failed; also where MongoEngine has wrapped that it ran out of time, or steps down."""
    if isinstance(error, PyMongoError):
        return True
    cause = error.__context__
    return isinstance(cause, OperationFailure) and (cause.timeout or cause.has_error_label("RetryableWriteError"))


def log_failure(log: logging.Logger, error: BaseException, sentence: str, *args: object) -> bool:
    """Log what failed: with all that is known, or seldom and in short if it was the database; return whether it was."""
    if is_outage(error):
        log_outage(log, f"{sentence}: %s", *args, type(error).__name__)
        return True
    log.error(sentence, *args, exc_info=error)
    return False


def log_outage(log: logging.Logger, sentence: str, *args: object) -> None:
    """Warn of something that the database's absence makes happen again and again: once in 30 s for each sentence.

    Thousands of clients, views and rounds fail at once, and again until it is back; one line says it.
    """
    key, now = (log.name, sentence), time.monotonic()
    with _lock:
        latest, left_out = _told.get(key, (-_QUIET, 0))
        if now - latest < _QUIET:
            _told[key] = latest, left_out + 1
            return
        _told[key] = now, 0
    more = f" (and {left_out} times since it was said last)" if left_out else ""
    log.warning("%s%s", sentence % args, more)


def forget() -> None:
    """Begin anew: the next of each is logged."""
    with _lock:
        _told.clear()
