"""Which positions the history is known not to tell of: nobody has it searched for them again and again."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..feed.positions import moment_before, moment_between, timestamp_of

__all__ = ["Lost", "seconds_of"]

_log = logging.getLogger(__name__)

#: Seconds in which the history is not asked again for what lies shortly behind a position that it did not tell of.
_DOUBT = 10.0


class Lost:
    """What is lost for ever, what is doubtful for a while, and what is longer ago than anybody may ask for.

    Who comes with old positions, a moment later each time, does not make us search the history each time.

    Args:
        reach: seconds, by the clock of the database, that a position may lie back.
    """

    def __init__(self, name: str, reach: float) -> None:
        self._name = name
        self._reach = reach
        self._lost = self._doubtful = ""
        self._doubtful_until = 0.0

    def begin(self, reached: str) -> None:
        """Begin anew at a position."""
        self._lost, self._doubtful = min(self._lost, reached), ""

    def has(self, position: str, reached: str, now: float) -> bool:
        """Return whether it is known that the history does not tell of a position, or nobody is to ask it.

        Args:
            reached: what the stream has come to.
        """
        if position <= self._lost or seconds_of(reached) - seconds_of(position) > self._reach:
            return True
        return position <= self._doubtful and now < self._doubtful_until

    def note(self, earliest: str, until: str, known: Iterable[str], now: float, *, is_late: bool) -> None:
        """Note that the history does not tell of a position; of what lies behind it half of the way is doubtful.

        Args:
            until: up to where it was asked.
            known: positions of those who wait: what follows the next of them is not doubtful.
            is_late: they have waited for so long that all of it is.
        """
        self._lost = max(self._lost, earliest)
        self._doubtful_until = now + _DOUBT
        later = [moment_before(each) for each in known if each > earliest]
        self._doubtful = until if is_late else min([moment_between(earliest, until), *later])
        _log.info("the stream %s does not reach back to %s", self._name, earliest)


def seconds_of(position: str) -> int:
    """Return when a position was, by the clock of the database."""
    return timestamp_of(position).time
