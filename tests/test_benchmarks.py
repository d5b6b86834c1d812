"""The benchmarks run from end to end, and reckon right."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.goals import GOALS, summary
from benchmarks.report import TABLES, number, replace_tables
from benchmarks.results import Results, Sample, Spread
from benchmarks.views_report import VIEW_GOALS, VIEW_TABLES
from tests.harness import ROOT


def results(*samples: tuple[str, str, float]) -> Results:
    """Return fan-outs: the server, the turn, and its frames per CPU-second."""
    return Results(
        samples=[
            Sample("fanout", server, 1000, turn, {"frames_per_cpu_second": rate}) for server, turn, rate in samples
        ]
    )


def test_a_ratio_is_taken_within_each_turn_and_then_the_median() -> None:
    found = results(
        *(("limit", "a/0", 100.0), ("wsflask", "a/0", 90.0)),
        *(("limit", "a/1", 10.0), ("wsflask", "a/1", 8.0)),
        *(("limit", "a/2", 50.0), ("wsflask", "a/2", 50.0)),
        ("limit", "b/0", 1.0),
    )

    assert found.ratio("fanout", "wsflask", "limit", "frames_per_cpu_second") == Spread(0.9, 0.8, 1.0)


def test_what_was_not_measured_has_no_figure() -> None:
    found = results(("wsflask", "a/0", 90.0))

    assert found.ratio("fanout", "wsflask", "limit", "frames_per_cpu_second") is None
    assert found.median("fanout", "wsflask", "p99_ms") is None
    assert "fanout_vs_limit=nan" in summary(found).split()


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = results(("limit", "a/0", 100.0), ("wsflask", "a/0", 90.0))
    found.machine["cores"] = 2
    found.fail("echo", "wsflask", "it ended")

    found.save(tmp_path / "results.json")

    assert Results.load(tmp_path / "results.json") == found


@pytest.mark.parametrize(
    ("value", "shown"),
    [(214_345.0, "214,000"), (1234.0, "1,230"), (620.4, "620"), (12.34, "12.3"), (0.871, "0.87"), (None, "-")],
)
def test_three_digits_of_a_number_count(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_tables_are_replaced_between_their_markers() -> None:
    text = "before\n<!-- begin table goals -->\nold\n<!-- end -->\nafter\n"

    once = replace_tables(text, results(("limit", "a/0", 100.0), ("wsflask", "a/0", 95.0)))

    assert "| Fan-out, to the C loop | 0.95 | 0.95 to 0.95 | ≥ 0.9 | yes |" in once
    assert "old" not in once
    assert once.startswith("before\n<!-- begin")
    assert once.endswith("<!-- end -->\nafter\n")


def test_the_page_shows_every_table() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()

    assert [name for name in (*TABLES, *VIEW_TABLES) if f"<!-- begin table {name} -->" not in page] == []


def test_a_report_leaves_the_tables_of_another_alone() -> None:
    text = "<!-- begin table view_goals -->\nold\n<!-- end -->\n"

    assert replace_tables(text, results()) == text
    assert "| wsflask | median |" in replace_tables(text, results(), VIEW_TABLES)


@pytest.mark.slow
def test_the_benchmarks_run_against_the_limit_and_wsflask(tmp_path: Path) -> None:
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("there is no C compiler")
    subprocess.run(["make", "-C", str(ROOT / "benchmarks")], capture_output=True, check=True)
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--results", str(tmp_path / "smoke.json")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)

    assert ended.returncode == 0, ended.stderr
    written = json.loads((tmp_path / "smoke.json").read_text())
    assert written["failures"] == []
    measured = {(sample["workload"], sample["server"]) for sample in written["samples"]}
    assert {("fanout", "limit"), ("fanout", "wsflask"), ("crowd", "wsflask"), ("costs", "wsflask")} <= measured
    names = [pair.partition("=")[0] for pair in ended.stdout.splitlines()[-1].split()]
    assert names == [goal.name for goal in GOALS if goal.name is not None]


@pytest.mark.slow
def test_the_benchmarks_of_views_run(tmp_path: Path) -> None:
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("there is no C compiler")
    subprocess.run(["make", "-C", str(ROOT / "benchmarks")], capture_output=True, check=True)
    command = [sys.executable, "-m", "benchmarks.views", "--smoke", "--results", str(tmp_path / "smoke.json")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)

    assert ended.returncode == 0, ended.stderr
    pairs = dict(pair.split("=") for pair in ended.stdout.splitlines()[-1].split())
    assert list(pairs) == [goal.name for goal in VIEW_GOALS]
    assert all(float(value) > 0 for name, value in pairs.items() if name != "cost_50000_vs_10")
