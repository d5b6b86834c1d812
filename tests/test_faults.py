"""The fault suite goes through its short set, and sees what is taken out; `make faults` goes far."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.histogram import bins, histogram
from tests.faults.mutations import MUTATIONS, mutated_tree
from tests.faults.report import report
from tests.faults.rows import load_rows
from tests.faults.saved import load, save
from tests.faults.trial import Trial
from tests.harness import ROOT, missing
from wsflask.testing.waiting import MS


def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None or not (ROOT / "node_modules" / "ws").is_dir():
        missing("node with the package ws; npm ci installs it")
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.slow
def test_nothing_is_lost_surfaced_twice_out_of_order_or_leaked_under_faults(tmp_path: Path) -> None:
    path = tmp_path / "report.md"

    ended = run("--quick", "--report", str(path))

    assert ended.returncode == 0, ended.stderr[-8000:]
    figures = dict(pair.split("=") for pair in ended.stdout.splitlines()[-1].split())
    assert {name: figures[name] for name in ("lost", "twice", "order", "leaked", "late", "corrupt")} == dict.fromkeys(
        ("lost", "twice", "order", "leaked", "late", "corrupt"), "0"
    )
    assert int(figures["rows"]) == sum(each.is_quick for each in load_rows().values())
    assert len(re.findall(r"^\| `", path.read_text(), re.MULTILINE)) == int(figures["rows"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resume", "access-on-update", "whole-frames"])
def test_a_run_goes_red_when_something_is_taken_out(name: str) -> None:
    ended = run("--mutate", name)

    assert ended.returncode == 0, ended.stderr[-8000:]
    assert ended.stdout.splitlines()[-1] == "mutations=1 red=1"


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_what_a_mutation_takes_out_is_there(name: str, tmp_path: Path) -> None:
    mutated_tree(MUTATIONS[name], tmp_path)

    assert MUTATIONS[name].row in load_rows()


def test_trials_that_were_run_apart_make_one_report_with_the_latest_of_each_row(tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    early, late, other = (_trial(row, seed) for row, seed in (("people", 1), ("people", 2), ("cuts", 3)))
    early.at, late.at, other.at = "2026-01-01 10:00:00", "2026-01-02 10:00:00", "2026-01-01 12:00:00"

    save(path, [late, other])
    save(path, [early])
    found = {trial.row: trial for trial in load(path)}

    assert {row: trial.seed for row, trial in found.items()} == {"people": 2, "cuts": 3}
    assert found["people"].measures == late.measures
    assert found["people"].is_green
    text = report(list(found.values()), load_rows())
    assert "- people 2, 2026-01-02 10:00:00" in text
    assert "- cuts 3, 2026-01-01 12:00:00" in text
    assert "## Times" in text
    assert "0.5 s (at most 1: it is so)" in text


def _trial(row: str, seed: int) -> Trial:
    trial = Trial(row, False, seed, lambda _: None)
    trial.saw("it happened", True)
    trial.measure("a time", 0.5, at_most=1.0 / (1000 * MS), why="it is so")
    trial.tables.append(histogram("Times", [0.1, 0.2], 1.0))
    return trial


def test_a_histogram_counts_by_tenths_of_a_window_and_beyond() -> None:
    assert bins([0.0, 0.05, 0.55, 0.99, 1.0, 7.0], 1.0) == [2, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2]


def test_a_mutation_whose_text_is_not_there_is_refused(tmp_path: Path) -> None:
    mutation = next(iter(MUTATIONS.values()))
    (path, _, _), *_ = mutation.changes
    wrong = type(mutation)("wrong", ((path, "what nobody ever wrote here", ""),), mutation.row, "lost")

    with pytest.raises(ValueError, match="0 times"):
        mutated_tree(wrong, tmp_path)
