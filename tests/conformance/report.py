"""What the Autobahn test suite found, counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "read_outcome", "table"]

_KINDS = ("failed", "unclean", "non_strict", "informational", "unimplemented")
_CONFORMANT = {
    "OK": None, "NON-STRICT": "non_strict", "INFORMATIONAL": "informational", "UNIMPLEMENTED": "unimplemented",
}  # fmt: skip
_UNCLEAN = ("UNCLEAN", "FAILED BY CLIENT")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cases of one run; each is in one of the lists at most, by its id."""

    name: str
    cases: int
    #: Against a MUST, in what was answered or in how the connection was closed; or an outcome that is not known here.
    failed: tuple[str, ...]
    #: The end of the connection was against a MUST, or left to the client.
    unclean: tuple[str, ...]
    #: Conformant, against a SHOULD.
    non_strict: tuple[str, ...]
    #: Not specified; the suite only tells what happens.
    informational: tuple[str, ...]
    #: An extension was declined.
    unimplemented: tuple[str, ...]

    @classmethod
    def of(cls, name: str, cases: Mapping[str, Mapping[str, str]]) -> Outcome:
        """Sort the cases: `behavior` and `behaviorClose` by case id, as the suite's index has them."""
        sorted_in: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        for number in sorted(cases, key=_order):
            kind = _kind(cases[number]["behavior"], cases[number]["behaviorClose"])
            if kind is not None:
                sorted_in[kind].append(number)
        return cls(name, len(cases), **{kind: tuple(found) for kind, found in sorted_in.items()})

    @property
    def is_conformant(self) -> bool:
        """Whether cases were run, and none failed or ended unclean."""
        return bool(self.cases and not self.failed and not self.unclean)


def _kind(behavior: str, close: str) -> str | None:
    if behavior not in _CONFORMANT:
        return "failed"
    if close not in ("OK", "INFORMATIONAL"):
        return "unclean" if close in _UNCLEAN else "failed"
    return _CONFORMANT[behavior]


def _order(number: str) -> list[int]:
    return [int(part) for part in number.split(".")]


def read_outcome(folder: Path, name: str) -> Outcome:
    """Return the outcome of the server `name` from the suite's folder of reports; of no cases when it has none."""
    index = folder / "index.json"
    found = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    return Outcome.of(name, found.get(name, {}))


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the counts, a line for each outcome, and below them the cases that were not plainly right."""
    outcomes = list(outcomes)
    lines = ["".join([f"{'':<20}{'cases':>7}", *(f"{kind.replace('_', '-'):>15}" for kind in _KINDS)])]
    for one in outcomes:
        counts = (f"{len(getattr(one, kind)):>15}" for kind in _KINDS)
        lines.append("".join([f"{one.name:<20}{one.cases:>7}", *counts]))
    for one in outcomes:
        named = {"failed": one.failed, "unclean": one.unclean, "non-strict": one.non_strict}
        lines += [f"{one.name}, {kind}: {' '.join(numbers)}" for kind, numbers in named.items() if numbers]
    return "\n".join(lines)
