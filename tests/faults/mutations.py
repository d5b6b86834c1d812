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
    """Texts that are replaced, the row that notices, and what it counts then."""

    name: str
    #: Path, the text that has to be there once, and what takes its place.
    changes: tuple[tuple[str, str, str], ...]
    row: str
    counts: str


def _mutation(name: str, path: str, before: str, after: str, row: str, counts: str) -> Mutation:
    return Mutation(name, ((path, before, after),), row, counts)


_OUTBOX, _PRESENCE = "wsflask/connection/outbox.py", "wsflask/services/presence/service.py"
_ALL = (
    _mutation(
        "resume", "wsflask/server.py", "connection.resume = places_in(query)", "pass", "cuts", "lost"
    ),
    _mutation(
        "resume-by-reset",
        "wsflask/streams/stream.py",
        "return self._lost.has(position, self.reached, self._now())",
        "return True",
        "worker-ended",
        "problems",
    ),
    _mutation(
        "client-dedupe",
        "static/wsflask/streams.js",
        "if (places.some((place) => at <= place.seq)) return;",
        "void at;",
        "worker-ended",
        "twice",
    ),
    _mutation(
        "whole-frames", _OUTBOX, "self._sent = sent", "self._sent = 0", "stalling-readers", "corrupt"
    ),
    _mutation(
        "whole-frames-later", _OUTBOX, "self._sent = count", "self._sent = 0", "stalling-readers", "corrupt"
    ),
    _mutation(
        "cut-at-a-border", _OUTBOX, "begun = self._sent + self._leaving", "begun = 0", "stalling-readers", "problems"
    ),
    _mutation(
        "access-on-update",
        "wsflask/live/view.py",
        "self._scope.matches(document) and self._access.matches(document)",
        "self._scope.matches(document)",
        "joining",
        "leaked",
    ),
    _mutation(
        "presence-linger", _PRESENCE, "is_final=ws.close_code in _FINAL", "is_final=True", "worker-ended", "problems"
    ),
    _mutation(
        "presence-leases", _PRESENCE, "_PATIENCE = 8.0", "_PATIENCE = 80.0", "clients-killed", "problems"
    ),
    Mutation(
        "outbox-bound",
        (
            ("wsflask/connection/outgoing.py", "if outbox.size > self._settings.outbox_bytes and", "if False and"),
            ("wsflask/connection/connection.py", "if _is_over(behind, self._settings.outbox_seconds):", "if False:"),
        ),
        "slow-readers",
        "late",
    ),
)  # fmt: skip

#: What must not be taken out unnoticed, by name.
MUTATIONS: dict[str, Mutation] = {each.name: each for each in _ALL}


def mutated_tree(mutation: Mutation, folder: Path) -> None:
    """Copy what a run needs into a folder, with the texts replaced.

    Raises:
        ValueError: a text is not there, or more than once: then the mutation has to be written anew.
    """
    for name in _FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".build", "results")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "package.json", folder)
    (folder / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    for name, before, after in mutation.changes:
        text = (folder / name).read_text()
        if text.count(before) != 1:
            raise ValueError(f"{mutation.name}: {name} has {before!r} {text.count(before)} times")
        (folder / name).write_text(text.replace(before, after))


def run_mutations(names: Sequence[str] | None, seed: int, say: Callable[[str], None]) -> bool:
    """Run each mutation (None: all of them); return whether all went red for the right reason."""
    outcomes = [_goes_red(MUTATIONS[name], seed, say) for name in names or list(MUTATIONS)]
    print(f"mutations={len(outcomes)} red={sum(outcomes)}")  # noqa: T201
    return all(outcomes)


def _goes_red(mutation: Mutation, seed: int, say: Callable[[str], None]) -> bool:
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        mutated_tree(mutation, folder)
        say(
            f"{mutation.name}: {', '.join(name for name, *_ in mutation.changes)} changed; {mutation.row} has to see it"
        )
        command = [sys.executable, "-m", "tests.faults", "--short", "--only", mutation.row, "--seed", str(seed)]
        env = {**os.environ, "PYTHONPATH": str(folder)}
        ended = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    last = (ended.stdout.strip().splitlines() or [""])[-1]
    found = dict(pair.split("=") for pair in last.split() if "=" in pair)
    is_red = ended.returncode == 1 and int(found.get(mutation.counts, "0")) > 0
    for line in [line for line in ended.stderr.splitlines() if line.strip()][-12:]:
        say(f"  | {line[:200]}")
    say(f"{mutation.name}: {'red, as it has to be' if is_red else 'NOT RED'}: {last}")
    return is_red
