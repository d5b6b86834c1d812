"""The goals and tables of live views in docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable

from .contenders import WSFLASK
from .goals import Goal
from .report import Tables, goals_table, number, table
from .results import Results, Spread

__all__ = ["VIEW_GOALS", "VIEW_TABLES"]


def _figure(workload: str, figure: str, turn: str | None = None) -> Callable[[Results], Spread | None]:
    def measured(results: Results) -> Spread | None:
        return Spread.of(
            float(sample.figures[figure])
            for sample in results.samples
            if sample.workload == workload and turn in (None, sample.turn)
        )

    return measured


def _growth(results: Results) -> Spread | None:
    return results.ratio("view_change", "50000", "10", "us")


VIEW_GOALS = (
    Goal(
        name="cost_50000_vs_10",
        title="A change that touches 1 of 50,000 equality views, to 1 of 10",
        goal=1.5,
        is_ceiling=True,
        measured=_growth,
    ),
    Goal(
        name="p50_ms",
        title="Write to browser, one view with 1,000 subscribers, p50",
        goal=8,
        is_ceiling=True,
        unit="ms",
        measured=_figure("view_latency", "p50_ms"),
    ),
    Goal(
        name="p99_ms",
        title="Write to browser, one view with 1,000 subscribers, p99",
        goal=40,
        is_ceiling=True,
        unit="ms",
        measured=_figure("view_latency", "p99_ms"),
    ),
    Goal(
        name="untouched_per_s",
        title="Changes a second that touch no view",
        goal=5000,
        measured=_figure("view_untouched", "per_second"),
    ),
    Goal(
        name="touched_per_s",
        title="Changes a second that touch one of ten subscribers' views",
        goal=2000,
        measured=_figure("view_touched", "per_second"),
    ),
    Goal(
        name="queries_for_2000",
        title="Queries for 2,000 equal subscriptions at once",
        goal=1,
        is_ceiling=True,
        measured=_figure("view_queries", "queries", "1 views"),
    ),
    Goal(
        name="queries_for_2000_of_20",
        title="Queries for 2,000 subscriptions to 20 distinct views at once",
        goal=20,
        is_ceiling=True,
        measured=_figure("view_queries", "queries", "20 views"),
    ),
)


def _goals(results: Results) -> str:
    return goals_table(results, VIEW_GOALS)


def _costs(results: Results) -> str:
    rows = []
    for size in sorted(results.servers("view_change"), key=int):
        spread = results.spread("view_change", size, "us")
        weight = results.median("view", size, "bytes")
        assert spread is not None
        range_ = f"{number(spread.low)} to {number(spread.high)}"
        rows.append((f"{int(size):,}", number(spread.median), range_, number(weight)))
    return table(("distinct views", "a change that touches one, µs of CPU", "min to max", "memory a view, bytes"), rows)


def _latency(results: Results) -> str:
    def row(title: str, prefix: str) -> tuple[str, ...]:
        figures = [results.median("view_latency", WSFLASK, f"{prefix}{name}") for name in ("p50_ms", "p99_ms")]
        return (title, *map(number, figures))

    rows = [
        row("the write itself is acknowledged by a majority", "write_"),
        row("a bare change stream of PyMongo, with updateLookup", "stream_"),
        row("**each of 1,000 subscribers**", ""),
        row("the last of them", "last_"),
    ]
    return table(("from before the write", "p50 ms", "p99 ms"), rows)


def _queries(results: Results) -> str:
    rows = []
    for views in ("1 views", "20 views"):
        found = {name: _figure("view_queries", name, views)(results) for name in ("queries", "seconds", "cpu_seconds")}
        medians = [number(spread.median) if spread is not None else "-" for spread in found.values()]
        rows.append(("one" if views == "1 views" else "20", *medians))
    return table(
        ("2,000 subscriptions to so many views", "queries", "seconds until all have it", "seconds of CPU"), rows
    )


#: Marker in the page to what makes the table.
VIEW_TABLES: Tables = {"view_goals": _goals, "view_costs": _costs, "view_latency": _latency, "view_queries": _queries}
