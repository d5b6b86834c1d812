"""Which workers have stopped to renew their leases, as one of the others observes it: no clock is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Beat", "Leases"]


@dataclass(frozen=True, slots=True)
class Beat:
    """A lease as it was read."""

    #: Another one with each renewal.
    number: int
    #: Seconds without a renewal after which it is over.
    patience: float


class Leases:
    """Counts for how long each lease was seen unchanged.

    Args:
        step: seconds that count at most between two looks: who was frozen himself has observed nothing meanwhile.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._looked = 0.0
        #: The number of each lease, and for how long it has been that.
        self._quiet: dict[str, tuple[int, float]] = {}

    def look(self, beats: Mapping[str, Beat], now: float) -> list[str]:
        """Take in all leases there are, and return those that are over.

        Args:
            now: monotonic time.
        """
        passed = min(now - self._looked, self._step)
        self._looked = now
        before, self._quiet = self._quiet, {}
        for name, beat in beats.items():
            number, quiet = before.get(name, (-1, 0.0))
            self._quiet[name] = (beat.number, quiet + passed if number == beat.number else 0.0)
        return [name for name, (_, quiet) in self._quiet.items() if quiet >= beats[name].patience]

    def interrupt(self) -> None:
        """Forget what was observed: while this worker could not renew, others may not have been able to either."""
        self._quiet.clear()
