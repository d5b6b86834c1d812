"""What a load has measured: a table for people, JSON for machines."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figures", "Times"]

_MS = 1000.0
#: Widths of a table's columns: the name, the count, the rate, and each of three times.
_ROW = "{:<20}{:>10}{:>10}{:>12}{:>12}{:>12}"


class Times:
    """Durations, in seconds."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._values)

    def add(self, seconds: float) -> None:
        """Note one more."""
        self._values.append(seconds)

    def at(self, share: float) -> float | None:
        """Return the time within which this share of them is (nearest rank); None when there are none."""
        if not self._values:
            return None
        return sorted(self._values)[max(math.ceil(share * len(self._values)), 1) - 1]

    def as_json(self) -> dict[str, float | None]:
        """Return the count, and p50, p99 and the maximum in milliseconds."""
        found = {"p50": self.at(0.5), "p99": self.at(0.99), "max": self.at(1)}
        return {"count": len(self)} | {name: value and round(value * _MS, 3) for name, value in found.items()}

    def cells(self) -> list[str]:
        """Return p50, p99 and the maximum as a table shows them."""
        found = (self.at(0.5), self.at(0.99), self.at(1))
        return ["" if value is None else f"{value * _MS:,.1f} ms" for value in found]


@dataclass(slots=True)
class Figures:
    """What was measured; all times count from the beginning of a connect, or from the sending of a ping."""

    #: Until the answer to the handshake, the welcome, the first number of unread notifications.
    handshake: Times = field(default_factory=Times)
    welcome: Times = field(default_factory=Times)
    notifications: Times = field(default_factory=Times)
    #: Round trips.
    pings: Times = field(default_factory=Times)
    #: Connections that never got a welcome, those that ended before they were told to, and refused pings; by reason.
    failed: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    #: Messages a second that the server takes from all connections, as its welcome says.
    pings_allowed: float | None = None
    pings_sent: int = 0
    #: Pings that were not sent, since the one before on that connection had no answer yet.
    pings_skipped: int = 0
    messages: int = 0
    bytes: int = 0
    #: From the second connect to the last welcome, the time with pings, and both together.
    connect_seconds: float = 0.0
    ping_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether every connection came about, and held."""
        return not self.failed and not self.lost

    def as_json(self) -> dict[str, Any]:
        """Return everything, by name."""
        return {
            "connects": {
                "count": len(self.welcome),
                "per_second": _rate(len(self.welcome) - 1, self.connect_seconds),
                "failed": dict(self.failed),
                "handshake_ms": self.handshake.as_json(),
                "welcome_ms": self.welcome.as_json(),
                "notifications_ms": self.notifications.as_json(),
            },
            "pings": {
                "allowed_per_second": self.pings_allowed,
                "sent": self.pings_sent,
                "skipped": self.pings_skipped,
                "refused": dict(self.refused),
                "per_second": _rate(self.pings_sent, self.ping_seconds),
                "round_trip_ms": self.pings.as_json(),
            },
            "lost": dict(self.lost),
            "received": {"messages": self.messages, "bytes": self.bytes, "seconds": round(self.seconds, 3)},
        }

    def table(self, explain: Callable[[str], str]) -> str:
        """Return the rows; `explain` says what a reason means."""
        return "\n".join(row.rstrip() for row in self._rows(explain))

    def _rows(self, explain: Callable[[str], str]) -> Iterator[str]:
        yield _ROW.format("", "count", "per s", "p50", "p99", "max")
        yield _row("connected", len(self.welcome), _rate(len(self.welcome) - 1, self.connect_seconds))
        yield _row("  handshake", len(self.handshake), None, self.handshake)
        yield _row("  welcome", len(self.welcome), None, self.welcome)
        yield _row("  notifications", len(self.notifications), None, self.notifications)
        yield _row("pings answered", len(self.pings), _rate(len(self.pings), self.ping_seconds), self.pings)
        yield _row("pings unanswered", self.pings_sent - len(self.pings))
        yield _row("messages received", self.messages, _rate(self.messages, self.seconds))
        yield _row("bytes received", self.bytes, _rate(self.bytes, self.seconds))
        for name, counted in (("failed", self.failed), ("lost", self.lost), ("pings refused", self.refused)):
            if name != "pings refused" or counted:
                yield _row(name, counted.total())
            for reason, count in counted.most_common():
                yield f"{_row(f'  {reason}', count)[:30]}  {explain(reason)}"


def _rate(count: int, seconds: float) -> float | None:
    return round(count / seconds, 1) if seconds > 0 and count > 0 else None


def _row(name: str, count: int, rate: float | None = None, times: Times | None = None) -> str:
    return _ROW.format(
        name, f"{count:,}", "" if rate is None else f"{rate:,.1f}", *(times.cells() if times is not None else [""] * 3)
    )
