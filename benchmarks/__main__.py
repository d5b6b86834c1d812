"""Run the benchmarks: python -m benchmarks."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from statistics import median

import click

from . import goals, report, versions
from .bench import Bench
from .contenders import ROOT
from .costs import measure as measure_costs
from .generator import PROGRAM
from .results import Results
from .suite import FULL, QUICK, SMOKE, Suite, say

_RESULTS = ROOT / "benchmarks" / "results"
_PAGE = ROOT / "docs" / "performance.md"
_IMAGES = ROOT / "docs" / "images"
#: Share of the time that a server may be ready to run and not run.
_NOISE = 0.05


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Only what the goals are about; ends with one line of name=value pairs.")
@click.option("--smoke", is_flag=True, hidden=True, help="Everything for an instant, against the limit alone.")
@click.option("--results", type=click.Path(path_type=Path), help="Where the samples go, as JSON.")
@click.option("--docs/--no-docs", default=True, help="Write the tables and plots of the documentation (full run).")
@click.option(
    "--from", "earlier", type=click.Path(path_type=Path, exists=True), help="Measure nothing: write those of this file."
)
def main(*, quick: bool, smoke: bool, results: Path | None, docs: bool, earlier: Path | None) -> None:
    """Measure wsflask, other servers and the machine's limit, one after the other, on one core.

    The samples go to benchmarks/results/, the tables of a full run to docs/performance.md.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped then, too
    if earlier is not None:
        _write_docs(Results.load(earlier))
        return
    if not PROGRAM.exists():
        raise click.ClickException("the load generator is not built; run: make -C benchmarks")
    found = Results(machine=versions.describe())
    sizes = SMOKE if smoke else QUICK if quick else FULL
    name = "smoke" if smoke else "quick" if quick else "full"
    path = results or _RESULTS / f"{name}.json"
    try:
        with Bench(users=sizes.users) as bench:
            suite = Suite(bench, sizes, found)
            {"smoke": suite.smoke, "quick": suite.quick, "full": suite.full}[name]()
            if not quick:
                measure_costs(bench, found, is_small=smoke)
    finally:
        found.save(path)
        for failure in found.failures:
            say(f"not measured: {failure['workload']} of {failure['server']}: {failure['reason']}")
        say(f"wrote {path}")
    _look_at_noise(found)
    if quick or smoke:
        click.echo(goals.summary(found))
    elif docs:
        _write_docs(found)


def _look_at_noise(results: Results) -> None:
    """Say so when servers had to wait for their core: somebody else was busy, and times mean little."""
    waited = [sample.figures["server_waited"] for sample in results.samples if "server_waited" in sample.figures]
    if waited and median(waited) > _NOISE:
        say(f"the machine was not quiet: servers waited for their core {100 * median(waited):.0f} % of the time")


def _write_docs(results: Results) -> None:
    from . import plots  # matplotlib takes a second, and only a full run needs it

    report.write(results, _PAGE)
    plots.write(results, _IMAGES)
    click.echo(f"wrote {_PAGE.relative_to(ROOT)} and the plots beside it")


if __name__ == "__main__":
    main()
