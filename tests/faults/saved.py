"""Trials kept in a file, so that rows that were run apart make one report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from wsflask.testing.deliveries import Verdict

from .trial import Measure, Table, Trial

__all__ = ["latest", "load", "save"]


def save(path: Path, trials: Iterable[Trial]) -> None:
    """Add trials to those of a file; of each row the latest remains."""
    kept = latest([*(load(path) if path.exists() else ()), *trials])
    path.write_text(json.dumps([_plain(trial) for trial in kept], indent=1) + "\n")


def load(path: Path) -> list[Trial]:
    """Return the trials of a file."""
    return [_trial(each) for each in json.loads(path.read_text())]


def latest(trials: Iterable[Trial]) -> list[Trial]:
    """Return the latest trial of each row."""
    return list({trial.row: trial for trial in sorted(trials, key=lambda trial: trial.at)}.values())


def _plain(trial: Trial) -> dict[str, object]:
    fields = {each.name: getattr(trial, each.name) for each in dataclasses.fields(trial) if each.name != "say"}
    nested = {name: [dataclasses.asdict(each) for each in fields[name]] for name in ("measures", "tables")}
    return {**fields, **nested, "verdict": dataclasses.asdict(trial.verdict)}


def _trial(found: dict[str, object]) -> Trial:
    given: dict[str, list[dict[str, object]]] = found  # type: ignore[assignment]
    measures = [Measure(**each) for each in given["measures"]]  # type: ignore[arg-type]
    tables = [Table(**each) for each in given["tables"]]  # type: ignore[arg-type]
    evidence = [tuple(each) for each in given["evidence"]]
    nested = {"measures": measures, "tables": tables, "evidence": evidence}
    verdict = Verdict(**given["verdict"])  # type: ignore[arg-type]
    return Trial(**{**found, **nested, "verdict": verdict, "say": lambda _: None})  # type: ignore[arg-type]
