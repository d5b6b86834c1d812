"""How often something may happen: a token bucket on the monotonic clock."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """Allows `burst` at once, and `rate` a second in the long run.

    Args:
        rate: how many a second.
        burst: how many at once.
        now: monotonic time in seconds; the bucket starts full.
    """

    __slots__ = ("_allowance", "_burst", "_rate", "_since")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._allowance = burst
        self._since = now

    def take(self, count: int, now: float) -> bool:
        """Return whether `count` more may happen now; if not, nothing is taken."""
        allowance = self._allowance + (now - self._since) * self._rate
        if allowance > self._burst:
            allowance = self._burst
        self._since = now
        if count > allowance:
            self._allowance = allowance
            return False
        self._allowance = allowance - count
        return True
