"""Live views through a real worker: the way to the browser, queries for many subscribers, changes it keeps up with."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from pymongo import MongoClient
from pymongo.collection import Collection

from .bench import Bench, Rig
from .contenders import ROOT, WSFLASK, contender
from .processes import cpu_seconds
from .results import Results, Sample
from .suite import say
from .views_actors import DATABASE_ROWS
from .views_receivers import Receivers

__all__ = ["measure_latency", "measure_queries", "measure_rate"]

_Rows = Collection[dict[str, Any]]
#: Seconds that the last change of a step may be late.
_LAG = 1.0


def measure_latency(bench: Bench, results: Results, *, clients: int, rate: float, writes: int, turns: int) -> None:
    """Time from before a majority write to its arrival at each subscriber of one view, beside a bare change stream."""
    scope = [{"fn": "group", "op": "==", "val": "shared"}]
    request = {"action": "subscribe", "data": {"class_name": "Row", "data_scope": scope}}
    said = json.dumps({"channel": "documents", "payload": request, "id": "1"}, separators=(",", ":"))
    for turn in range(turns):
        with (
            bench.rig(contender(WSFLASK)) as rig,
            _rows(rig) as rows,
            _actor("follow", rig.database_uri, writes) as stream,
        ):
            rows.insert_many([{"group": "shared", "value": value} for value in range(200)])
            rig.load.connect(clients)
            rig.load.say(said)
            _line(stream)
            file = bench.folder / "arrivals"
            with (
                rig.load.listening(writes, 60 + writes / rate, file) as heard,
                _actor("write", rig.database_uri, rate, writes) as writer,
            ):
                written = _answer(writer)
            arrived = array("q", file.read_bytes())
            figures = _latencies(written, _answer(stream), arrived, clients)
            figures |= {"server_busy": heard["cpu_seconds"] / heard["seconds"], "load_busy": heard["load_busy"]}
        results.add(Sample("view_latency", WSFLASK, clients, str(turn), figures))
        say("view_latency " + " ".join(f"{name}={value:.4g}" for name, value in figures.items()))


def _latencies(
    written: Mapping[str, Any], streamed: Mapping[str, float], arrived: Sequence[int], clients: int
) -> dict[str, Any]:
    """Return milliseconds from before each write; who gets changes gets them in the order of the writes."""
    each: list[float] = []
    last: list[float] = []
    bare: list[float] = []
    acknowledged: list[float] = []
    # The first tenth warms up.
    for place, (number, (begun, done)) in list(enumerate(written.items()))[len(written) // 10 :]:
        moments = [moment / 1e9 for moment in arrived[place * clients : (place + 1) * clients]]
        each += [moment - begun for moment in moments]
        last.append(max(moments) - begun)
        bare.append(streamed[number] - begun)
        acknowledged.append(done - begun)
    found = {}
    for name, times in (("", each), ("last_", last), ("stream_", bare), ("write_", acknowledged)):
        times.sort()
        found[f"{name}p50_ms"] = 1000 * times[len(times) // 2]
        found[f"{name}p99_ms"] = 1000 * times[min(int(len(times) * 0.99), len(times) - 1)]
    return found


def measure_queries(bench: Bench, results: Results, *, clients: int, distinct: int) -> None:
    """Queries that many subscribers cause who come at once: to one view, and to some distinct ones."""
    for views in (1, distinct):
        with _crowd(bench) as (rig, rows, crowd):
            groups = [f"group {number}" for number in range(views)]
            rows.insert_many([{"group": group, "value": value} for group in groups for value in range(20)])
            crowd.connect(clients)
            time.sleep(1.0)  # everybody was greeted
            database = rows.database
            database.command("profile", 2)
            began, started = cpu_seconds(rig.server.pids), time.monotonic()
            for number in range(clients):
                crowd.subscribe_one(number, groups[number % views])
            crowd.await_loaded()
            _await(lambda crowd=crowd: crowd.values >= clients * 20)
            taken = time.monotonic() - started
            busy = cpu_seconds(rig.server.pids) - began
            database.command("profile", 0)
            asked = {"ns": f"{database.name}.{DATABASE_ROWS}", "op": {"$in": ["query", "command"]}}
            queries = database["system.profile"].count_documents({**asked, "command.pipeline.0.$changeStream": None})
        figures = {"queries": queries, "seconds": taken, "cpu_seconds": busy}
        results.add(Sample("view_queries", WSFLASK, clients, f"{views} views", figures))
        say(f"view_queries {clients} clients, {views} views: {figures}")


def measure_rate(
    bench: Bench,
    results: Results,
    *,
    is_touched: bool,
    first: float,
    growth: float,
    seconds: float,
    tries: int,
    turns: int,
) -> None:
    """Changes a second that a worker keeps up with: steps that rise until the last change of one is late."""
    workload = "view_touched" if is_touched else "view_untouched"
    groups = [f"seen {number}" for number in range(10)]
    written = groups if is_touched else ["unseen"]
    for turn in range(turns):
        with _crowd(bench) as (rig, rows, crowd):
            crowd.connect(len(groups) + 1)
            for number, group in enumerate([*groups, "fence"]):
                crowd.subscribe([group], [number])
            rate, reached, failed = first, 0.0, 0
            while failed < tries:
                lag, real = _step(str(rig.database_uri), rows, crowd, written, rate, seconds)
                say(f"{workload:12} {rate:.0f}/s: really {real:.0f}/s, the last is {lag:.3f} s late")
                if lag >= _LAG:
                    failed += 1
                    continue
                reached, failed = max(reached, real), 0
                if real < 0.9 * rate:
                    break  # the writer cannot do more
                rate *= growth
        figures = {"per_second": reached, "lag": lag}
        results.add(Sample(workload, WSFLASK, len(groups), str(turn), figures))


def _step(
    uri: str, rows: _Rows, crowd: Receivers, groups: list[str], rate: float, seconds: float
) -> tuple[float, float]:
    """Insert at a rate for so long; return how late the last change is, and the rate that the writer reached."""
    crowd.arrived.clear()
    before, resets = crowd.values, crowd.resets
    with _actor("insert", uri, ",".join(groups), rate, seconds) as writer:
        written = _answer(writer)
    is_seen = groups != ["unseen"]
    wanted = before + 1 + (written["inserted"] if is_seen else 0)
    _await(lambda: crowd.values >= wanted, seconds=20)
    lag = max((max(moments) for moments in crowd.arrived.values()), default=float("inf")) - written["ended"]
    if crowd.values < wanted or crowd.resets > resets:
        lag = float("inf")
    rows.delete_many({"group": {"$in": [*groups, "fence"]}})
    time.sleep(1.0)
    return lag, written["inserted"] / written["seconds"]


# --- who takes part


@contextlib.contextmanager
def _rows(rig: Rig) -> Iterator[_Rows]:
    """Open the collection of the documents that views show."""
    with MongoClient[dict[str, Any]](rig.database_uri) as client:
        rows = client.get_default_database()[DATABASE_ROWS]
        rows.create_index("group")
        yield rows


@contextlib.contextmanager
def _crowd(bench: Bench) -> Iterator[tuple[Rig, _Rows, Receivers]]:
    """Start a worker with a database of its own, and a crowd that has not come yet."""
    with (
        bench.rig(contender(WSFLASK)) as rig,
        _rows(rig) as rows,
        Receivers(rig.server.port, bench.cookies) as crowd,
    ):
        yield rig, rows, crowd


@contextlib.contextmanager
def _actor(*words: object) -> Iterator[IO[str]]:
    """Start one of `views_actors`; yield what it prints."""
    command = [sys.executable, "-m", "benchmarks.views_actors", *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _line(output: IO[str]) -> str:
    line = output.readline()
    if not line:
        raise RuntimeError("it ended without an answer")
    return line


def _answer(output: IO[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_line(output))
    return answer


def _await(condition: Any, *, seconds: float = 10.0) -> None:
    """Return when it holds, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
