"""The fault suite goes through its short set, and sees what is taken out; `make faults` goes far."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.mutations import MUTATIONS, mutated_tree
from tests.faults.rows import load_rows
from tests.harness import ROOT, missing


def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None or not (ROOT / "node_modules" / "ws").is_dir():
        missing("node with the package ws; npm ci installs it")
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.slow
def test_nothing_is_lost_surfaced_twice_out_of_order_or_leaked_under_faults(tmp_path: Path) -> None:
    report = tmp_path / "report.md"

    ended = run("--quick", "--report", str(report))

    assert ended.returncode == 0, ended.stderr[-8000:]
    figures = dict(pair.split("=") for pair in ended.stdout.splitlines()[-1].split())
    assert {name: figures[name] for name in ("lost", "twice", "order", "leaked", "late", "corrupt")} == dict.fromkeys(
        ("lost", "twice", "order", "leaked", "late", "corrupt"), "0"
    )
    assert int(figures["rows"]) == sum(each.is_quick for each in load_rows().values())
    assert len(re.findall(r"^\| `", report.read_text(), re.MULTILINE)) == int(figures["rows"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resume", "access-on-update"])
def test_a_run_goes_red_when_something_is_taken_out(name: str) -> None:
    ended = run("--mutate", name)

    assert ended.returncode == 0, ended.stderr[-8000:]
    assert ended.stdout.splitlines()[-1] == "mutations=1 red=1"


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_what_a_mutation_takes_out_is_there(name: str, tmp_path: Path) -> None:
    mutated_tree(MUTATIONS[name], tmp_path)

    assert MUTATIONS[name].row in load_rows()


def test_a_mutation_whose_text_is_not_there_is_refused(tmp_path: Path) -> None:
    mutation = next(iter(MUTATIONS.values()))
    (path, _, _), *_ = mutation.changes
    wrong = type(mutation)("wrong", ((path, "what nobody ever wrote here", ""),), mutation.row, "lost")

    with pytest.raises(ValueError, match="0 times"):
        mutated_tree(wrong, tmp_path)
