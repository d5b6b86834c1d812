"""The fault suite goes through its short set, and sees what is taken out; `make faults` goes far."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

import tests.faults.__main__ as faults
from tests.faults.histogram import bins, histogram
from tests.faults.mutations import MUTATIONS, mutated_tree
from tests.faults.report import report
from tests.faults.rows import load_rows
from tests.faults.saved import load, save
from tests.faults.stand import was_reset
from tests.faults.table.workers import longest_absence, ways
from tests.faults.trial import Trial
from tests.harness import ROOT, missing
from wsflask.testing.deliveries import Tab, Written
from wsflask.testing.waiting import MS


def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None or not (ROOT / "node_modules" / "ws").is_dir():
        missing("node with the package ws; npm ci installs it")
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.alone
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


def test_a_row_whose_stand_fails_is_red_and_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        """A stand whose clients have died: each look at them fails."""

        def __init__(self, *_: object) -> None:
            self.fleet = self

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> object:
            raise RuntimeError("the clients are gone")

    monkeypatch.setattr(faults, "Stand", Broken)
    rows = load_rows()

    trials = faults._run([rows["people"], rows["hooks"]], 1, None, is_short=True)

    assert [(trial.row, trial.is_green) for trial in trials] == [("people", False), ("hooks", False)]


def test_a_run_of_nothing_is_not_green() -> None:
    with pytest.raises(SystemExit, match="True"):
        faults._end([], {}, None)


def test_who_is_told_that_something_may_be_missing_is_noticed() -> None:
    resets: dict[str, Any] = {"ada/0": [(1.0, 5.0, "notifications")], "bob/0": []}
    told = [{"name": name, "resets": each} for name, each in resets.items()]

    assert was_reset(told, 4.0) == ["ada/0"]
    assert was_reset(told, 6.0) == []


def test_an_absence_ends_in_the_room() -> None:
    states = [(1.0, "waiting", 1006, "open"), (2.0, "greeted", 0, ""), (2.5, "joined", 0, "")]
    again = [*states, (9.0, "waiting", 1006, "open"), (9.5, "waiting", 0, "connecting"), (12.0, "joined", 0, "")]

    assert longest_absence(states, 0.0) == 1.5
    assert longest_absence(again, 0.0) == 3.0
    assert longest_absence(again, 13.0) == 0.0
    assert longest_absence(again[:-1], 0.0) == float("inf")


def test_what_has_not_surfaced_yet_is_late() -> None:
    written = {each: Written(each, "1", None, "ok", 10.0, 10.1) for each in ("a", "b")}
    tabs = [Tab("ada/0", "ada", 0.0, [(10.5, "a")]), Tab("bob/0", "bob", 0.0, [(10.5, "a"), (11.0, "b")])]

    assert ways(written, tabs, since=9.0, until=11.0) == [0.5, 0.5, 1.0, float("inf")]
    assert ways(written, tabs, since=11.0, until=12.0) == []


def test_a_histogram_counts_by_tenths_of_a_window_and_beyond() -> None:
    assert bins([0.0, 0.05, 0.55, 0.99, 1.0, 7.0], 1.0) == [2, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2]


def test_a_mutation_whose_text_is_not_there_is_refused(tmp_path: Path) -> None:
    mutation = next(iter(MUTATIONS.values()))
    (path, _, _), *_ = mutation.changes
    wrong = type(mutation)("wrong", ((path, "what nobody ever wrote here", ""),), mutation.row, "lost")

    with pytest.raises(ValueError, match="0 times"):
        mutated_tree(wrong, tmp_path)
