"""The tests of the test: a copy of the tree with something taken out has to go red, for the right reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import ROOT

__all__ = ["MUTATIONS", "Mutation", "mutated_tree", "run_mutations"]

_FOLDERS = ("wsflask", "tests", "benchmarks", "static", "templates")
#: Seconds a run may take.
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Mutation:
    """A text that is replaced, the row that notices, and what it counts then."""

    name: str
    path: str
    before: str
    after: str
    row: str
    counts: str
    #: What the run says, too.
    says: str = ""


#: What must not be taken out unnoticed.
MUTATIONS: dict[str, Mutation] = {
    each.name: each
    for each in (
        Mutation(
            "whole-frames",
            "wsflask/connection/outbox.py",
            "            self._sent = sent\n        self._frames.append((frame, now))",
            "            self._sent = 0\n        self._frames.append((frame, now))",
            "slow-readers",
            "corrupt",
        ),
    )
}


def mutated_tree(mutation: Mutation, folder: Path) -> None:
    """Copy what a run needs into a folder, with the text replaced.

    Raises:
        ValueError: the text is not there, or more than once: then the mutation has to be written anew.
    """
    for name in _FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".build", "results")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "package.json", folder)
    (folder / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    path = folder / mutation.path
    text = path.read_text()
    if text.count(mutation.before) != 1:
        raise ValueError(f"{mutation.name}: {mutation.path} has its text {text.count(mutation.before)} times")
    path.write_text(text.replace(mutation.before, mutation.after))


def run_mutations(names: Sequence[str] | None, say: Callable[[str], None]) -> bool:
    """Run each mutation (None: all of them); return whether all went red for the right reason."""
    outcomes = [_goes_red(MUTATIONS[name], say) for name in names or list(MUTATIONS)]
    print(f"mutations={len(outcomes)} red={sum(outcomes)}")  # noqa: T201
    return all(outcomes)


def _goes_red(mutation: Mutation, say: Callable[[str], None]) -> bool:
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        mutated_tree(mutation, folder)
        say(f"{mutation.name}: {mutation.path} without what it has; {mutation.row} has to see it")
        command = [sys.executable, "-m", "tests.faults", "--short", "--only", mutation.row, "--seed", "1"]
        env = {**os.environ, "PYTHONPATH": str(folder)}
        ended = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    last = (ended.stdout.strip().splitlines() or [""])[-1]
    found = dict(pair.split("=") for pair in last.split() if "=" in pair)
    is_red = ended.returncode == 1 and int(found.get(mutation.counts, "0")) > 0 and mutation.says in ended.stderr
    for line in [line for line in ended.stderr.splitlines() if line.strip()][-12:]:
        say(f"  | {line[:200]}")
    say(f"{mutation.name}: {'red, as it has to be' if is_red else 'NOT RED'}: {last}")
    return is_red
