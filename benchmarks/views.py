"""Measure live views: python -m benchmarks.views."""

from __future__ import annotations

import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from wsflask.embedded import EmbeddedMongo

from . import goals, report, versions
from .bench import Bench
from .contenders import ROOT
from .results import Results
from .suite import say
from .views_costs import measure_costs
from .views_live import measure_latency, measure_queries, measure_rate
from .views_report import VIEW_GOALS, VIEW_TABLES

_RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    #: Distinct views of the engines that take turns, how often they do, with so many changes each.
    views: tuple[int, ...] = (10, 1000, 50_000)
    cost_turns: int = 15
    changes: int = 3000
    #: Rows of a view with many rows; 0: memory is not looked at.
    rows: int = 5000
    #: Subscribers of one view, writes a second, and how many of them; fresh servers.
    clients: int = 1000
    rate: float = 50.0
    writes: int = 1500
    turns: int = 3
    #: Who subscribes at once, and to how many views.
    at_once: int = 2000
    distinct: int = 20
    #: Seconds of a step of changes, and what the next has more.
    step: float = 5.0
    growth: float = 1.25
    #: How often a step is tried before it counts as too much.
    tries: int = 2


_FULL = _Sizes()
_QUICK = _Sizes(cost_turns=7, changes=2000, rows=0, writes=300, turns=1, step=3.0, growth=1.6, tries=1)
_SMOKE = _Sizes(
    views=(10, 100), cost_turns=1, changes=100, rows=100, clients=20, writes=20, turns=1, at_once=40, step=0.5, growth=9
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Under three minutes.")
@click.option("--smoke", is_flag=True, hidden=True, help="Everything for an instant.")
@click.option("--results", type=click.Path(path_type=Path), help="Where the samples go, as JSON.")
@click.option("--docs/--no-docs", default=True, help="Write the tables and plots of the documentation (full run).")
@click.option(
    "--from", "earlier", type=click.Path(path_type=Path, exists=True), help="Measure nothing: write those of this file."
)
def main(*, quick: bool, smoke: bool, results: Path | None, docs: bool, earlier: Path | None) -> None:
    """Measure what live views cost; the last line is name=value pairs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped then, too
    if earlier is not None:
        _write_docs(Results.load(earlier))
        return
    found = Results(machine=versions.describe())
    sizes = _SMOKE if smoke else _QUICK if quick else _FULL
    path = results or _RESULTS / f"views{'-smoke' if smoke else '-quick' if quick else ''}.json"
    try:
        _measure(found, sizes)
    finally:
        found.save(path)
        say(f"wrote {path}")
    if docs and not (quick or smoke):
        _write_docs(found)
    click.echo(goals.summary(found, VIEW_GOALS))


def _measure(found: Results, sizes: _Sizes) -> None:
    with Bench(users=max(sizes.clients, sizes.at_once)) as bench:
        with tempfile.TemporaryDirectory(prefix="wsflask-views-") as folder, EmbeddedMongo(folder) as mongo:
            measure_costs(
                mongo, found, sizes=sizes.views, turns=sizes.cost_turns, changes=sizes.changes, rows=sizes.rows
            )
        measure_latency(bench, found, clients=sizes.clients, rate=sizes.rate, writes=sizes.writes, turns=sizes.turns)
        measure_queries(bench, found, clients=sizes.at_once, distinct=sizes.distinct)
        for is_touched, first in ((False, 5000.0), (True, 3000.0)):
            measure_rate(
                bench, found, is_touched=is_touched, first=first, growth=sizes.growth, seconds=sizes.step,
                tries=sizes.tries, turns=sizes.turns,
            )  # fmt: skip


def _write_docs(results: Results) -> None:
    from . import plots  # matplotlib takes a second, and only a full run needs it

    report.write(results, ROOT / "docs" / "performance.md", VIEW_TABLES)
    plots.write_views(results, ROOT / "docs" / "images")
    click.echo("wrote the section on live views of docs/performance.md, and its plot")


if __name__ == "__main__":
    main()
