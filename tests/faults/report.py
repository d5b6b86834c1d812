"""What a run found, as Markdown."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence

from .rows import Row
from .stand import Load
from .trial import Trial

__all__ = ["report", "summary"]


#: What is said of short trials.
_SHORT = (
    "",
    (
        "This was the short form (`--short`): a smaller load, and faults that last seconds instead of minutes, beside "
        "other work on the same cores, so that twice the time is allowed."
    ),
)


def summary(trials: Sequence[Trial]) -> str:
    """Return name=value pairs."""
    totals = dict.fromkeys(("lost", "twice", "order", "leaked", "late"), 0)
    for trial in trials:
        for name, count in trial.counts().items():
            totals[name] += count
    failed = sum(not trial.is_green for trial in trials)
    corrupt = sum(len(trial.corrupt) for trial in trials)
    pairs = {"rows": len(trials), "failed": failed, **totals, "corrupt": corrupt}
    return " ".join(f"{name}={value}" for name, value in pairs.items())


def report(trials: Sequence[Trial], skipped: Sequence[tuple[Row, str]], rows: dict[str, Row], load: Load) -> str:
    """Return the report."""
    lines = [
        "# Faults survived",
        "",
        (
            f"Run on {time.strftime('%Y-%m-%d')} with {os.cpu_count()} cores, Python {platform.python_version()}, by "
            "`make faults`. Under each fault lies this load, unless the row says another: 2 workers, "
            f"{load.users * load.tabs} clients ({load.users} users, {load.tabs} tabs each: the JavaScript client under "
            f"Node), {load.notifications:g} notifications, {load.publications:g} kept publications, "
            f"{load.commands:g} clipboard commands and {load.items:g} changes of documents a second. Writers are "
            "processes of their own that note what they were told of each write; a checker compares that with what "
            "each tab surfaced."
        ),
        *(_SHORT if any(trial.is_short for trial in trials) else ()),
        "",
        "| fault | to hold | happened | surfaced | lost | twice | out of order | leaked | held |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for trial in trials:
        row, counts = rows[trial.row], trial.counts()
        happened = "; ".join(what for what, _ in trial.evidence) if trial.happened else "**no**"
        held = "; ".join(f"**{each}**" if each.is_late else str(each) for each in trial.measures)
        wrong = "; ".join(f"**{text}**" for text in [*trial.problems[:3], *trial.corrupt[:1]])
        cells = [f"`{row.name}`: {row.fault}", row.holds, happened, str(trial.verdict.surfaced)]
        cells += [str(counts[name]) for name in ("lost", "twice", "order", "leaked")]
        cells.append("; ".join(filter(None, [held, *trial.notes, wrong])))
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    if skipped:
        lines += ["", "Not run:", ""]
        lines += [f"- `{row.name}` ({row.fault}): {reason}" for row, reason in skipped]
    lines += ["", f"`{summary(trials)}`", ""]
    lines += ["Seeds: " + ", ".join(f"{trial.row} {trial.seed}" for trial in trials) + ".", ""]
    return "\n".join(lines)
