"""What the store is told of the seats of this process: in batches, and again where that was away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from ...gather import Gather
from ...outage import log_outage
from .seats import Seats
from .store import Entry, Key, Left, PresenceStore, StoreUnavailable

__all__ = ["Writes"]

_log = logging.getLogger(__name__)

#: Entries that are written in one go.
_BATCH = 1000


class Writes:
    """Keys of seats to be written as they are when their turn comes.

    Args:
        lock: that of the seats.
        written: called, under the lock, with what was written.
    """

    def __init__(
        self,
        store: PresenceStore,
        seats: Seats,
        lock: threading.RLock,
        written: Callable[[Iterable[Entry | Left]], None],
    ) -> None:
        self._store = store
        self._seats = seats
        self._lock = lock
        self._written = written
        #: Each key, and whether a client has just taken the seat: then it is his, whoever had it.
        self._gather: Gather[tuple[Key, bool]] = Gather("wsflask presence", self._write, self._put_off, limit=_BATCH)
        #: Those that could not be written.
        self._unwritten: dict[Key, bool] = {}
        self._is_failing = False

    def add(self, keys: Iterable[Key], *, is_taken: bool = False) -> None:
        """Have these written soon; never switches."""
        for key in keys:
            self._gather.add((key, is_taken))

    def retry(self) -> None:
        """Try again what could not be written; never switches."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, {}
        for item in unwritten.items():
            self._gather.add(item)

    def failed(self, what: str, error: Exception) -> None:
        """Note that the store is away: once in the log for each time, and not too often."""
        if not self._is_failing:
            sentence = "presence could not be %s; that is tried again: %s"
            if isinstance(error, StoreUnavailable):
                log_outage(_log, sentence, what, error)
            else:
                _log.error(sentence, what, type(error).__name__, exc_info=error)
        self._is_failing = True

    def recovered(self) -> bool:
        """Note that the store answers; return whether it had failed."""
        had_failed, self._is_failing = self._is_failing, False
        return had_failed

    def _write(self, wanted: list[tuple[Key, bool]]) -> None:
        """Write what has become of these seats. May switch."""
        if not self._store.lease:
            self._put_off(wanted)
            return
        taken, kept, gone = self._sorted(wanted)
        try:
            self._store.write(taken, kept, gone)
        except Exception as error:
            self.failed("written", error)
            self._put_off(wanted)
            return
        with self._lock:
            self._seats.written(gone)
            self._written([*taken, *kept, *(Left(key) for key in gone)])

    def _sorted(self, wanted: list[tuple[Key, bool]]) -> tuple[list[Entry], list[Entry], list[Key]]:
        """Return what is put, what is put unless another worker has it, and what is removed."""
        lease = self._store.lease
        taken: list[Entry] = []
        kept: list[Entry] = []
        gone: list[Key] = []
        with self._lock:
            for key, is_taken in _merged(wanted).items():
                seat = self._seats.get(key)
                if seat is None:
                    gone.append(key)
                else:
                    entries = taken if is_taken and seat.ws is not None else kept
                    entries.append(Entry(key, lease, seat.about, seat.meta))
        return taken, kept, gone

    def _put_off(self, wanted: list[tuple[Key, bool]]) -> None:
        """Have it written later: who was awaited in vain is awaited once more, for he may be back elsewhere."""
        with self._lock:
            given_up = self._seats.not_written([key for key, _ in wanted], time.monotonic())
            others = [(key, False) for key in given_up]
            self._unwritten = _merged([*self._unwritten.items(), *wanted, *others])


def _merged(wanted: Iterable[tuple[Key, bool]]) -> dict[Key, bool]:
    merged: dict[Key, bool] = {}
    for key, is_taken in wanted:
        merged[key] = is_taken or merged.get(key, False)
    return merged
