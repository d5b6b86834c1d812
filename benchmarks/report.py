"""The tables of docs/performance.md, from the results of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .contenders import LIMIT, WSFLASK, title_of
from .goals import GOALS, Goal
from .peers import PEERS
from .results import Results, Spread

__all__ = ["TABLES", "Tables", "goals_table", "number", "replace_tables", "table", "write"]

_CPU = "frames_per_cpu_second"
_BLOCK = re.compile(r"(<!-- begin table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Sequence[str]
#: Name to what makes the table of some results.
Tables = Mapping[str, Callable[[Results], str]]


def write(results: Results, page: Path, tables: Tables | None = None) -> None:
    """Replace the tables of the page by those of the results; `tables` are others than TABLES."""
    page.write_text(replace_tables(page.read_text(encoding="utf-8"), results, tables), encoding="utf-8")


def replace_tables(text: str, results: Results, tables: Tables | None = None) -> str:
    """Return the text with the table of each name between its markers; those of another report stay."""
    known = TABLES if tables is None else tables

    def replaced(found: re.Match[str]) -> str:
        return found[1] + known[found[2]](results) + found[3] if found[2] in known else found[0]

    return _BLOCK.sub(replaced, text)


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


def table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def _name(server: str) -> str:
    return f"**{title_of(server)}**" if server.startswith(WSFLASK) else title_of(server)


def _fastest_last(results: Results, workload: str, figure: str) -> list[str]:
    return sorted(results.servers(workload), key=lambda server: results.median(workload, server, figure) or 0)


def goals_table(results: Results, goals: Iterable[Goal] = GOALS) -> str:
    """Return the table of what was reached."""
    rows = []
    for goal in goals:
        spread = goal.measured(results)
        if spread is not None:
            sign = "≤" if goal.is_ceiling else "≥"
            reached = "yes" if goal.is_reached(spread) else "no"
            wanted = f"{sign} {goal.goal:g} {goal.unit}".rstrip()
            rows.append((goal.title, number(spread.median, goal.unit), _range(spread), wanted, reached))
    return table(("wsflask", "median", "min to max", "goal", "reached"), rows)


def _cells(results: Results, workload: str, server: str, *figures: str) -> list[str]:
    """Return the medians of these figures, as they are shown."""
    return [number(results.median(workload, server, figure)) for figure in figures]


def _to_limit(results: Results, workload: str, server: str, clients: int | None = None) -> str:
    """Return what the server does with a second of CPU time, to what the C loop does."""
    ratio = results.ratio(workload, server, LIMIT, _CPU, clients)
    return number(ratio.median if ratio is not None else None)


def _overview(results: Results) -> str:
    def row(server: str) -> Row:
        per_cpu, rate, p50, p99 = _cells(results, "fanout", server, _CPU, "frames_per_second", "p50_ms", "p99_ms")
        memory = _cells(results, "idle", server, "kb_per_client")
        rates = [*_cells(results, "connects", server, "per_second"), *_cells(results, "echo", server, "per_second")]
        return (_name(server), per_cpu, _to_limit(results, "fanout", server), rate, f"{p50} / {p99}", *memory, *rates)

    head = ("", "fan-out, frames per CPU-second", "to the C loop", "frames/s", "p50 / p99 ms")
    servers = [server for server in _fastest_last(results, "fanout", _CPU) if server != "limit_join"]
    return table((*head, "KB per idle client", "connects/s", "echo/s"), map(row, servers))


def _bursts(results: Results) -> str:
    def row(server: str) -> Row:
        per_cpu, *more = _cells(results, "burst", server, _CPU, "frames_per_second", "p99_ms")
        return (_name(server), per_cpu, _to_limit(results, "burst", server), *more)

    head = ("", "frames per CPU-second", "to the C loop, one send a frame", "frames/s", "p99 ms")
    return table(head, map(row, _fastest_last(results, "burst", _CPU)))


def _compression(results: Results) -> str:
    def row(server: str) -> Row:
        name = _name(server) + (", uncompressed" if server == LIMIT else "")
        memory = _cells(results, "compressed_memory", server, "kb_per_client")
        ratio = _to_limit(results, "compression", server)
        return (name, *_cells(results, "compression", server, _CPU), ratio, *memory)

    head = ("", "frames per CPU-second", "to the C loop, uncompressed", "KB a client")
    return table(head, map(row, _fastest_last(results, "compression", _CPU)))


def _connects(results: Results) -> str:
    def row(server: str) -> Row:
        cpu, count = (results.median("connects", server, figure) for figure in ("cpu_seconds", "connected"))
        each = number(1000 * cpu / count if cpu and count else None)
        return (_name(server), *_cells(results, "connects", server, "per_second"), each)

    head = ("", "connects/s", "the server's CPU, ms each")
    return table(head, map(row, _fastest_last(results, "connects", "per_second")))


def _slow_reader(results: Results) -> str:
    def row(server: str) -> Row:
        share = results.median("slow_reader", server, "share")
        shown = "stands still" if share == 0 else number(share)
        return (_name(server), shown, *_cells(results, "slow_reader", server, "p99_ms_alone", "p99_ms"))

    head = ("", "throughput of the others, to that without", "p99 ms without", "p99 ms with")
    return table(head, map(row, _fastest_last(results, "slow_reader", "share")))


def _growth(results: Results) -> str:
    sizes = results.sizes("growth")

    def cell(server: str, clients: int) -> str:
        rate = number(results.median("growth", server, _CPU, clients))
        return f"{rate} ({_to_limit(results, 'growth', server, clients)})"

    rows = ((_name(server), *(cell(server, clients) for clients in sizes)) for server in results.servers("growth"))
    return table(("", *(f"{clients:,} clients" for clients in sizes)), rows)


def _crowd(results: Results) -> str:
    figures = (
        "per_second",
        "rss_kb",
        "kb_per_client",
        "rest_cpu_percent",
        "cast_last_ms",
        "cast_frames_per_cpu_second",
    )
    rate, rss, memory, rest, last, per_cpu = (results.median("crowd", WSFLASK, figure) for figure in figures)
    clients = max(results.sizes("crowd"), default=0)
    rows = (
        ("connects/s, with user and greetings of three services", number(rate)),
        ("memory of the worker with all of them", number(rss / 1024 if rss else None, "MB")),
        ("memory a client", number(memory, "KB")),
        ("CPU of the worker at rest", number(rest, "% of a core")),
        ("one broadcast: the last of them has it after", number(last, "ms")),
        ("frames per CPU-second of that", number(per_cpu)),
    )
    return table((f"{clients:,} signed-in clients, one worker", ""), rows)


def _costs(results: Results) -> str:
    def one(workload: str, figure: str, scale: float = 1.0) -> float | None:
        value = results.median(workload, WSFLASK, figure)
        return value * scale if value is not None else None

    def inverse(workload: str, figure: str) -> float | None:
        rate = one(workload, figure)
        return 1e6 / rate if rate else None

    rows = (
        ("an idle connection: session, user, three services", number(one("idle", "kb_per_client", 1024), "bytes")),
        ("a subscription to a view that others share", number(one("costs", "shared_subscription_bytes"), "bytes")),
        ("a subscription with a view of its own, no rows", number(one("costs", "own_subscription_bytes"), "bytes")),
        ("a row of a view", number(one("costs", "row_bytes"), "bytes")),
        ("a message in, with its reply", number(inverse("echo", "per_cpu_second"), "µs")),
        ("a frame out, of a message to 1,000", number(inverse("fanout", _CPU), "µs")),
        ("a change that touches no view", number(one("costs", "unseen_change_us"), "µs")),
        ("the same, of 50 inserted at once", number(one("costs", "unseen_change_bulk_us"), "µs")),
        ("a change that touches one view with 100 subscribers", number(one("costs", "seen_change_us"), "µs")),
        ("the same, of 50 inserted at once", number(one("costs", "seen_change_bulk_us"), "µs")),
    )
    return table(("", "memory, or CPU time of the worker"), rows)


def _generator(results: Results) -> str:
    def row(server: str) -> Row:
        shares = [results.median("fanout", server, name) for name in ("load_busy", "load_waited", "server_waited")]
        return (_name(server), *(f"{100 * share:.0f} %" if share is not None else "-" for share in shares))

    head = ("fan-out", "generator busy", "generator waited for its core", "server waited for its core")
    return table(head, map(row, _fastest_last(results, "fanout", _CPU)))


def _machine(results: Results) -> str:
    machine = results.machine
    rows = [(name, str(machine.get(name, ""))) for name in ("date", "commit", "cpu", "cores", "kernel")]
    named = {"loop": "loop over the sockets"}
    rows += [(named.get(name, name), str(machine.get(name, ""))) for name in ("python", "compiler", "loop", "mongod")]
    return table(("", ""), rows)


def _peers(results: Results) -> str:
    def row(server: str) -> Row:
        versions = results.machine.get("versions", {}).get(server, {})
        shown = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
        notes = PEERS[server].notes if server in PEERS else "Sessions, users, three services and their data."
        return (_name(server), shown, notes)

    return table(("", "versions", "to know"), map(row, (WSFLASK, *PEERS)))


#: Each table by the name that its markers have.
TABLES: dict[str, Callable[[Results], str]] = {
    "goals": goals_table,
    "overview": _overview,
    "bursts": _bursts,
    "compression": _compression,
    "connects": _connects,
    "slow_reader": _slow_reader,
    "growth": _growth,
    "crowd": _crowd,
    "costs": _costs,
    "generator": _generator,
    "machine": _machine,
    "peers": _peers,
}
