"""Many subscribers in this process that note when each value arrives."""

from __future__ import annotations

import re
import time
from array import array
from collections import defaultdict
from typing import Any

from .crowd import Crowd

__all__ = ["Receivers"]

_RESET = b'"op":"reset"'
_VALUE = re.compile(rb'"value":(\d+)')
#: Longest part of a value that may lie at the end of what was read.
_TAIL = 24


class Receivers(Crowd):
    """A crowd whose messages are looked at."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Value to the moments at which it arrived, on the monotonic clock.
        self.arrived: dict[int, array[float]] = defaultdict(lambda: array("d"))
        #: Rows and changes that arrived.
        self.values = 0
        #: Views that were loaded anew: the server fell behind.
        self.resets = 0
        self._tails: dict[int, bytes] = {}

    def take(self, number: int, readable: Any) -> bytes:
        """Note the values in what has come."""
        now = time.monotonic()
        data = super().take(number, readable)
        self.resets += data.count(_RESET)
        together = self._tails.get(number, b"") + data
        end = 0
        for found in _VALUE.finditer(together):
            if found.end() == len(together):
                break  # its digits may go on
            self.arrived[int(found[1])].append(now)
            self.values += 1
            end = found.end()
        self._tails[number] = together[max(end, len(together) - _TAIL) :]
        return data
