"""One trial of one row: what was done, what was measured, what was wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wsflask.testing.deliveries import Verdict
from wsflask.testing.waiting import MS

#: How much longer a short trial may take.
_SHORT = 2.0

__all__ = ["Measure", "Table", "Trial", "percentile"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A time, or a share, that was held or not."""

    name: str
    value: float
    at_most: float | None
    unit: str
    #: Why it may be more than the rule says, if so.
    why: str = ""

    @property
    def is_late(self) -> bool:
        """Whether it is more than it may be."""
        return self.at_most is not None and not self.value <= self.at_most

    def __str__(self) -> str:
        limit = "" if self.at_most is None else f" (at most {self.at_most:g}{': ' * bool(self.why)}{self.why})"
        return f"{self.name} {self.value:.3g} {self.unit}{limit}".replace(" %", "%")


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that have a heading of their own in the report."""

    heading: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(slots=True)
class Trial:
    """What is found out about one row."""

    row: str
    is_short: bool
    seed: int
    say: Callable[[str], None]
    verdict: Verdict = field(default_factory=Verdict)
    measures: list[Measure] = field(default_factory=list)
    #: What shows that the fault happened, and whether it did.
    evidence: list[tuple[str, bool]] = field(default_factory=list)
    #: What went wrong otherwise.
    problems: list[str] = field(default_factory=list)
    #: Frames that were none.
    corrupt: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    seconds: float = 0.0
    #: How many processes wanted a core, on average of the last minute: with many more than cores, times say little.
    busy: float = 0.0
    #: When it began, in local time.
    at: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))

    def saw(self, what: str, happened: object) -> None:
        """Note whether something shows that the fault happened."""
        self.evidence.append((what, bool(happened)))
        self.say(f"  evidence: {what}" if happened else f"  NOT SEEN: {what}")

    def measure(self, name: str, value: float, *, at_most: float | None = None, unit: str = "s", why: str = "") -> None:
        """Note a measure, and the most that it may be; short trials run beside other work, and may take twice that.

        Args:
            why: why it may be more than the rule says, if so.
        """
        if at_most is not None and unit == "s":
            at_most *= (_SHORT if self.is_short else 1) * MS * 1000
        measure = Measure(name, value, at_most, unit, why)
        self.measures.append(measure)
        self.say(f"  {'LATE: ' if measure.is_late else ''}{measure}")

    def check(self, what: str, holds: object) -> None:
        """Note a problem unless this holds."""
        if not holds:
            self.problems.append(what)
            self.say(f"  WRONG: {what}")

    def note(self, text: str) -> None:
        """Note what is good to know."""
        self.notes.append(text)
        self.say(f"  {text}")

    @property
    def happened(self) -> bool:
        """Whether the fault really happened."""
        return bool(self.evidence) and all(seen for _, seen in self.evidence)

    @property
    def late(self) -> list[Measure]:
        """Times that were not held."""
        return [each for each in self.measures if each.is_late]

    @property
    def is_green(self) -> bool:
        """Whether the fault happened, and nothing was wrong."""
        return self.happened and self.verdict.is_clean and not (self.late or self.problems or self.corrupt)

    def counts(self) -> dict[str, int]:
        """Return how much was wrong, by kind."""
        verdict = self.verdict
        kinds = {"lost": verdict.lost, "twice": verdict.twice, "order": verdict.order, "leaked": verdict.leaked}
        return {**{name: len(found) for name, found in kinds.items()}, "late": len(self.late)}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
