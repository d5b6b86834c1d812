"""How often which times occurred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .trial import Table

__all__ = ["bins", "histogram", "shares"]

_BINS = 10


def bins(times: Sequence[float], window: float) -> list[int]:
    """Return how many times lie in each tenth of a window, and how many beyond it."""
    found = [0] * (_BINS + 1)
    for each in times:
        found[min(max(int(each / window * _BINS), 0), _BINS)] += 1
    return found


def histogram(heading: str, times: Sequence[float], window: float) -> Table:
    """Return a table of times in seconds by tenths of a window."""
    counts = bins(times, window)
    edges = [f"{window * number / _BINS:.2g} to {window * (number + 1) / _BINS:.2g} s" for number in range(_BINS)]
    rows = [[edge, str(count)] for edge, count in zip([*edges, "later"], counts, strict=True)]
    return Table(heading, ["", f"tabs of {len(times)}"], rows)


def shares(counts: Mapping[int, int]) -> str:
    """Return the share of each code, the most frequent first."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{code}: {count} of {total} ({100 * count / total:.3g}%)" for code, count in ordered) or "none"
