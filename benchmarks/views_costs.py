"""What one change costs among few and many views, and what a view weighs: engines take turns."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pymongo import MongoClient

from wsflask.embedded import EmbeddedMongo

from .contenders import ROOT, WSFLASK
from .results import Results, Sample
from .servers import pinned
from .suite import say

__all__ = ["measure_costs"]

_TEXT = "x" * 100
#: Views with many rows.
_MANY = 4


def measure_costs(
    mongo: EmbeddedMongo, results: Results, *, sizes: Sequence[int], turns: int, changes: int, rows: int
) -> None:
    """Take samples of changes among so many views each.

    Args:
        rows: of a view with many rows; 0: memory is not looked at.
    """
    with contextlib.ExitStack() as stack:
        engines = {size: stack.enter_context(_engine(mongo, size, rows)) for size in sizes}
        for size, engine in engines.items():
            _subscribe(engine, results, size, weighs=rows > 0)
            engine.ask("change", changes)
        for turn in range(turns):
            for size in sizes[:: -1 if turn % 2 else 1]:
                figures = engines[size].ask("change", changes)
                results.add(Sample("view_change", str(size), 1, str(turn), figures))
                say(f"view_change  {size:6} views  us={figures['us']:.4g} bytes={figures['bytes']:.4g}")
        if rows:
            weight = _grown(engines[sizes[0]], "many", 1, _MANY)[1] / (rows * (_MANY - 1))
            results.add(Sample("view_row", WSFLASK, 1, "0", {"bytes": weight}))
            say(f"view_row     bytes={weight:.4g}")


def _subscribe(engine: _Engine, results: Results, size: int, *, weighs: bool) -> None:
    """Subscribe to the engine's views, and see what they weigh."""
    if not weighs:
        engine.ask("subscribe", "own", 0, size)
        return
    warm = max(size // 10, 1)
    spent, weight = _grown(engine, "own", warm, size)
    figures = {"bytes": weight / (size - warm), "us": spent}
    results.add(Sample("view", str(size), 1, "0", figures))
    say(f"view         {size:6} views  bytes={figures['bytes']:.4g} us={figures['us']:.4g}")


def _grown(engine: _Engine, prefix: str, warm: int, end: int) -> tuple[float, float]:
    """Subscribe to some views to warm up, then to the others; return what one of these takes, and all weigh."""
    engine.ask("subscribe", prefix, 0, warm)
    before = engine.ask("memory")["bytes"]
    spent = engine.ask("subscribe", prefix, warm, end)["us"]
    return spent, engine.ask("memory")["bytes"] - before


class _Engine:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._read()

    def ask(self, *words: object) -> dict[str, Any]:
        """Give a command, and return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


_numbers = itertools.count(1)


@contextlib.contextmanager
def _engine(mongo: EmbeddedMongo, size: int, rows: int) -> Iterator[_Engine]:
    """Start an engine with a database of its own, in which each view has one row, and a few have many."""
    name = f"engine_{next(_numbers)}"
    with MongoClient[dict[str, Any]](mongo.uri_of(name)) as client:
        lines = client[name]["line"]
        lines.create_index("group")
        groups = [f"own {number}" for number in range(size)]
        lines.insert_many([{"_id": group, "group": group, "value": 0, "text": _TEXT} for group in groups])
        for number in range(_MANY if rows else 0):
            lines.insert_many([{"group": f"many {number}", "value": row, "text": _TEXT} for row in range(rows)])
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_MONGODB_URI": mongo.uri_of(name)}
    command = pinned([sys.executable, "-m", "benchmarks.views_engine"])
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield _Engine(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
