"""What was measured: samples, their medians with minimum and maximum, and ratios of samples taken in turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

__all__ = ["Results", "Sample", "Spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and between what the runs lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Return the spread of some values; None when there are none."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1]) if found else None


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one server in one run of one workload."""

    workload: str
    server: str
    clients: int
    #: Which turn it was: samples of one turn were taken right after each other, so that they compare.
    turn: str
    figures: Mapping[str, Any]


@dataclass(slots=True)
class Results:
    """All samples of a run of the benchmarks, and what they were taken on."""

    machine: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    #: What could not be measured, and why.
    failures: list[dict[str, str]] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)

    def fail(self, workload: str, server: str, reason: str) -> None:
        """Note that a server has no figure for a workload."""
        self.failures.append({"workload": workload, "server": server, "reason": reason})

    def servers(self, workload: str) -> list[str]:
        """Return who was measured, in the order of the first samples."""
        return list(dict.fromkeys(sample.server for sample in self.samples if sample.workload == workload))

    def sizes(self, workload: str) -> list[int]:
        """Return the numbers of clients, ascending."""
        return sorted({sample.clients for sample in self.samples if sample.workload == workload})

    def spread(self, workload: str, server: str, figure: str, clients: int | None = None) -> Spread | None:
        """Return a figure's median, minimum and maximum; None when it was not measured."""
        return Spread.of(self._by_turn(workload, server, figure, clients).values())

    def median(self, workload: str, server: str, figure: str, clients: int | None = None) -> float | None:
        """Return a figure's median; None when it was not measured."""
        spread = self.spread(workload, server, figure, clients)
        return spread.median if spread is not None else None

    def ratio(self, workload: str, server: str, other: str, figure: str, clients: int | None = None) -> Spread | None:
        """Return what a figure of `server` is of that of `other`: the ratio within each turn, then their spread."""
        own = self._by_turn(workload, server, figure, clients)
        others = self._by_turn(workload, other, figure, clients)
        return Spread.of(own[turn] / others[turn] for turn in own if others.get(turn))

    def _by_turn(self, workload: str, server: str, figure: str, clients: int | None) -> dict[str, float]:
        return {
            f"{sample.clients}/{sample.turn}": float(sample.figures[figure])
            for sample in self.samples
            if (sample.workload, sample.server) == (workload, server)
            and clients in (None, sample.clients)
            and sample.figures.get(figure) is not None
        }

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = [json.dumps(asdict(sample)) for sample in self.samples]
        head = json.dumps({"machine": self.machine, "failures": self.failures}, indent=1)[:-2]
        path.write_text(head + ',\n "samples": [\n  ' + ",\n  ".join(samples) + "\n ]\n}\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        read = json.loads(path.read_text(encoding="utf-8"))
        samples = [Sample(**sample) for sample in read["samples"]]
        return cls(machine=read["machine"], samples=samples, failures=read["failures"])
