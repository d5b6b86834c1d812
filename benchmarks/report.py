"""The tables of docs/performance.md, from the results of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .contenders import LIMIT, WSFLASK, title_of
from .goals import GOALS
from .peers import PEERS
from .results import Results, Spread

__all__ = ["TABLES", "number", "replace_tables", "write"]

_CPU = "frames_per_cpu_second"
_BLOCK = re.compile(r"(<!-- begin table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Sequence[str]


def write(results: Results, page: Path) -> None:
    """Replace the tables of the page by those of the results."""
    page.write_text(replace_tables(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def replace_tables(text: str, results: Results) -> str:
    """Return the text with the table of each name between its markers.

    Raises:
        KeyError: a marker names a table that does not exist.
    """
    return _BLOCK.sub(lambda found: found[1] + TABLES[found[2]](results) + found[3], text)


def number(value: float | None, unit: str = "") -> str:
    """Return a number with three digits that count, and thousands set apart; a dash for None."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        digits = len(str(int(abs(value))))
        shown = f"{round(value, 3 - digits):,.0f}"
    elif abs(value) >= 100:
        shown = f"{value:.0f}"
    else:
        shown = f"{value:.3g}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{shown} {unit}".rstrip()


def _range(spread: Spread | None) -> str:
    return "-" if spread is None else f"{number(spread.low)} to {number(spread.high)}"


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def _name(server: str) -> str:
    return f"**{title_of(server)}**" if server.startswith(WSFLASK) else title_of(server)


def _fastest_last(results: Results, workload: str, figure: str) -> list[str]:
    return sorted(results.servers(workload), key=lambda server: results.median(workload, server, figure) or 0)


def _goals(results: Results) -> str:
    rows = []
    for goal in GOALS:
        spread = goal.measured(results)
        if spread is not None:
            sign = "≤" if goal.is_ceiling else "≥"
            reached = "yes" if goal.is_reached(spread) else "no"
            wanted = f"{sign} {goal.goal:g} {goal.unit}".rstrip()
            rows.append((goal.title, number(spread.median, goal.unit), _range(spread), wanted, reached))
    return _table(("wsflask", "median", "min to max", "goal", "reached"), rows)


def _overview(results: Results) -> str:
    def row(server: str) -> Row:
        fan = lambda figure: number(results.median("fanout", server, figure))  # noqa: E731 - one row, one word
        ratio = results.ratio("fanout", server, LIMIT, _CPU)
        return (
            _name(server),
            fan(_CPU),
            number(ratio.median if ratio else None),
            fan("frames_per_second"),
            f"{fan('p50_ms')} / {fan('p99_ms')}",
            number(results.median("idle", server, "kb_per_client")),
            number(results.median("connects", server, "per_second")),
            number(results.median("echo", server, "per_second")),
        )

    head = ("", "fan-out, frames per CPU-second", "to the C loop", "frames/s", "p50 / p99 ms")
    servers = [server for server in _fastest_last(results, "fanout", _CPU) if server != "limit_join"]
    return _table((*head, "KB per idle client", "connects/s", "echo/s"), map(row, servers))


def _bursts(results: Results) -> str:
    def row(server: str) -> Row:
        figures = [number(results.median("burst", server, figure)) for figure in (_CPU, "frames_per_second", "p99_ms")]
        ratio = results.ratio("burst", server, LIMIT, _CPU)
        return (_name(server), figures[0], number(ratio.median if ratio else None), *figures[1:])

    head = ("", "frames per CPU-second", "to the C loop, one send a frame", "frames/s", "p99 ms")
    return _table(head, map(row, _fastest_last(results, "burst", _CPU)))


def _compression(results: Results) -> str:
    def row(server: str) -> Row:
        ratio = results.ratio("compression", server, LIMIT, _CPU)
        return (
            _name(server) + (", uncompressed" if server == LIMIT else ""),
            number(results.median("compression", server, _CPU)),
            number(ratio.median if ratio else None),
            number(results.median("compressed_memory", server, "kb_per_client")),
        )

    head = ("", "frames per CPU-second", "to the C loop, uncompressed", "KB a client")
    return _table(head, map(row, _fastest_last(results, "compression", _CPU)))


def _connects(results: Results) -> str:
    def row(server: str) -> Row:
        rate, cpu, count = (
            results.median("connects", server, figure) for figure in ("per_second", "cpu_seconds", "connected")
        )
        return (_name(server), number(rate), number(1000 * cpu / count if cpu and count else None))

    head = ("", "connects/s", "the server's CPU, ms each")
    return _table(head, map(row, _fastest_last(results, "connects", "per_second")))


def _slow_reader(results: Results) -> str:
    def row(server: str) -> Row:
        median = lambda figure: results.median("slow_reader", server, figure)  # noqa: E731 - one row, one word
        share = median("share")
        shown = "stands still" if share == 0 else number(share)
        return (_name(server), shown, number(median("p99_ms_alone")), number(median("p99_ms")))

    head = ("", "throughput of the others, to that without", "p99 ms without", "p99 ms with")
    return _table(head, map(row, _fastest_last(results, "slow_reader", "share")))


def _growth(results: Results) -> str:
    sizes = results.sizes("growth")

    def row(server: str) -> Row:
        cells = []
        for clients in sizes:
            ratio = results.ratio("growth", server, LIMIT, _CPU, clients)
            rate = number(results.median("growth", server, _CPU, clients))
            cells.append(f"{rate} ({number(ratio.median)})" if ratio else rate)
        return (_name(server), *cells)

    return _table(("", *(f"{clients:,} clients" for clients in sizes)), map(row, results.servers("growth")))


def _crowd(results: Results) -> str:
    figure = lambda name: results.median("crowd", WSFLASK, name)  # noqa: E731 - one table, one word
    clients = max(results.sizes("crowd"), default=0)
    memory = figure("rss_kb")
    rows = (
        ("connects/s, all services greeting", number(figure("per_second"))),
        ("memory of the worker with all of them", number(memory / 1024 if memory else None, "MB")),
        ("memory a client", number(figure("kb_per_client"), "KB")),
        ("CPU of the worker at rest", number(figure("rest_cpu_percent"), "% of a core")),
        ("one broadcast: the last of them has it after", number(figure("cast_last_ms"), "ms")),
        ("frames per CPU-second of that", number(figure("cast_frames_per_cpu_second"))),
    )
    return _table((f"{clients:,} signed-in clients, one worker", ""), rows)


def _machine(results: Results) -> str:
    machine = results.machine
    rows = [(name, str(machine.get(name, ""))) for name in ("date", "commit", "cpu", "cores", "kernel")]
    rows += [(name, str(machine.get(name, ""))) for name in ("python", "compiler", "mongod")]
    return _table(("", ""), rows)


def _peers(results: Results) -> str:
    def row(server: str) -> Row:
        versions = results.machine.get("versions", {}).get(server, {})
        shown = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
        notes = PEERS[server].notes if server in PEERS else "Sessions, users, three services and their data."
        return (_name(server), shown, notes)

    return _table(("", "versions", "to know"), map(row, (WSFLASK, *PEERS)))


#: Each table by the name that its markers have.
TABLES: dict[str, Callable[[Results], str]] = {
    "goals": _goals,
    "overview": _overview,
    "bursts": _bursts,
    "compression": _compression,
    "connects": _connects,
    "slow_reader": _slow_reader,
    "growth": _growth,
    "crowd": _crowd,
    "machine": _machine,
    "peers": _peers,
}
