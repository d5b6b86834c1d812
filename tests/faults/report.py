"""What a run found, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from .rows import Row
from .stand import FULL, QUICK, Load
from .trial import Trial

__all__ = ["report", "summary"]


def summary(trials: Sequence[Trial]) -> str:
    """Return name=value pairs."""
    totals = dict.fromkeys(("lost", "twice", "order", "leaked", "late"), 0)
    for trial in trials:
        for name, count in trial.counts().items():
            totals[name] += count
    failed = sum(not trial.is_green for trial in trials)
    corrupt = sum(len(trial.corrupt) for trial in trials)
    problems = sum(len(trial.problems) for trial in trials)
    pairs = {"rows": len(trials), "failed": failed, **totals, "corrupt": corrupt, "problems": problems}
    return " ".join(f"{name}={value}" for name, value in pairs.items())


def report(trials: Sequence[Trial], rows: dict[str, Row]) -> str:
    """Return the report."""
    lines = [
        "# Faults survived",
        "",
        (
            f"Run on {_days(trials)} with {os.cpu_count()} cores, Python {platform.python_version()}, by "
            "`make faults`. Under each fault lies this load, unless the row says another: 2 workers, "
            f"{_load(QUICK if all(trial.is_short for trial in trials) else FULL)}. Writers are processes of their own "
            "that note what they were told of each write; a checker compares that with what each tab surfaced. At rest "
            "every tab shows the rows, the unread count, the clipboard and the members of its room that there are."
        ),
        *_of_short(trials),
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
        lines.append(_line(cells))
    for trial in trials:
        for table in trial.tables:
            lines += ["", f"## {table.heading}", "", _line(table.columns), _line(["---"] * len(table.columns))]
            lines += map(_line, table.rows)
    run = {trial.row for trial in trials}
    skipped = [(row, row.obstacle() or "was not asked for") for row in rows.values() if row.name not in run]
    if skipped:
        lines += ["", "Not run:", ""]
        lines += [f"- `{row.name}` ({row.fault}): {reason}" for row, reason in skipped]
    lines += ["", f"`{summary(trials)}`", "", "Seeds, when each row began, the load of the machine then:", ""]
    lines += [
        f"- {trial.row} {trial.seed}, {trial.at}, {trial.busy:.1f}{', short' * trial.is_short}" for trial in trials
    ]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _days(trials: Sequence[Trial]) -> str:
    return " and ".join(sorted({trial.at[:10] for trial in trials}))


def _load(load: Load) -> str:
    return (
        f"{load.users * load.tabs} clients ({load.users} users, {load.tabs} tabs each: the JavaScript client under "
        f"Node, in rooms of twenty tabs), {load.notifications:g} notifications, {load.publications:g} kept "
        f"publications, {load.commands:g} clipboard commands and {load.items:g} changes of documents a second"
    )


def _of_short(trials: Sequence[Trial]) -> list[str]:
    """Return what is said of short trials."""
    short = [f"`{trial.row}`" for trial in trials if trial.is_short]
    if not short:
        return []
    which = "all rows" if len(short) == len(trials) else ", ".join(short)
    text = f"Short form (`--short`): {which}. That is a smaller load"
    if len(short) < len(trials):
        text += f" ({_load(QUICK)})"
    text += ", and faults that last seconds instead of minutes, beside other work on the same cores: so twice the time "
    return ["", text + "is allowed."]
