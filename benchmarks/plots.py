"""The plots of docs/performance.md, as SVG: on a white card, so that they read on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .contenders import LIMIT, WSFLASK, title_of
from .results import Results, Spread

__all__ = ["write", "write_views"]

mpl.use("svg")

_OURS, _THEIRS, _LIMITS, _INK = "#0b6e4f", "#8fa3b5", "#c9a227", "#24292f"
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it scales, and can be searched
    "svg.hashsalt": "wsflask",  # the same figures make the same file
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_MARKERS = "osD^v"


def write(results: Results, folder: Path) -> None:
    """Write the plots of the results, those of which there are samples."""
    with mpl.rc_context(_STYLE):
        _bars(
            results,
            folder / "performance-fanout.svg",
            ("fanout", "frames_per_cpu_second"),
            "Fan-out to 1,000 clients: frames per second of the server's CPU time",
        )
        _bars(
            results,
            folder / "performance-memory.svg",
            ("idle", "kb_per_client"),
            "Memory of an idle client, KB (less is better)",
            is_less_better=True,
        )
        _bars(
            results,
            folder / "performance-latency.svg",
            ("fanout", "p99_ms"),
            "Latency of one broadcast to 1,000 clients, p99, ms (less is better; logarithmic)",
            is_less_better=True,
            is_logarithmic=True,
        )
        _growth(results, folder / "performance-growth.svg")


def write_views(results: Results, folder: Path) -> None:
    """Draw what a change costs over the number of distinct views."""
    sizes = sorted(map(int, results.servers("view_change")))
    with mpl.rc_context(_STYLE):
        canvas, axes = _axes("A change that touches one of so many equality views: microseconds of CPU", height=3.2)
        spreads = [results.spread("view_change", str(size), "us") for size in sizes]
        known = [spread for spread in spreads if spread is not None]
        medians = [spread.median for spread in known]
        ranges = [_below(known), _above(known)]
        axes.errorbar(sizes, medians, yerr=ranges, color=_OURS, marker="o", linewidth=2, capsize=3)
        for size, spread in zip(sizes, known, strict=True):
            axes.annotate(_label(spread), (size, spread.high), (0, 6), textcoords="offset points", ha="center")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.margins(y=0.2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("distinct views")
        axes.grid(axis="y", color="#e3e7eb")
        _save(canvas, folder / "performance-views.svg")


def _bars(
    results: Results,
    path: Path,
    what: tuple[str, str],
    title: str,
    *,
    is_less_better: bool = False,
    is_logarithmic: bool = False,
) -> None:
    """Draw a bar for each server, the best on top, with a whisker from the least to the most of the runs."""
    workload, figure = what
    spreads = {server: results.spread(workload, server, figure) for server in results.servers(workload)}
    known = {server: spread for server, spread in spreads.items() if spread is not None and server != "limit_join"}
    if not known:
        return
    servers = sorted(known, key=lambda server: known[server].median, reverse=is_less_better)
    canvas, axes = _axes(title, height=1.0 + 0.36 * len(servers))
    medians = [known[server].median for server in servers]
    whiskers = [_below([known[s] for s in servers]), _above([known[s] for s in servers])]
    colors = [_color(server) for server in servers]
    axes.barh([title_of(server) for server in servers], medians, color=colors, height=0.7)
    axes.errorbar(medians, range(len(servers)), xerr=whiskers, fmt="none", ecolor=_INK, elinewidth=1, capsize=2)
    for row, server in enumerate(servers):
        place = (known[server].high, row)
        axes.annotate(_label(known[server]), place, (6, 0), textcoords="offset points", va="center", fontsize=10)
    if is_logarithmic:
        axes.set_xscale("log")
    axes.margins(x=0.14)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    for name in axes.get_yticklabels():
        name.set_fontweight("bold" if name.get_text().startswith(WSFLASK) else "normal")
    _save(canvas, path)


def _growth(results: Results, path: Path) -> None:
    """Draw a line for each server over the number of clients."""
    sizes = results.sizes("growth")
    if not sizes:
        return
    canvas, axes = _axes("Fan-out to few and many clients: frames per second of the server's CPU time", height=4.2)
    ends: dict[str, float] = {}
    for server, marker in zip(results.servers("growth"), _MARKERS, strict=False):
        medians = [results.median("growth", server, "frames_per_cpu_second", clients) for clients in sizes]
        drawn = [(clients, value) for clients, value in zip(sizes, medians, strict=True) if value is not None]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), color=_color(server), marker=marker, linewidth=2)
            ends[title_of(server)] = drawn[-1][1]
    for title, place in _apart(ends, gap=0.065 * max(ends.values())).items():
        axes.annotate(title, (sizes[-1], place), (10, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{clients:,}" for clients in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("clients")
    axes.grid(axis="y", color="#e3e7eb")
    _save(canvas, path)


def _apart(places: Mapping[str, float], *, gap: float) -> dict[str, float]:
    """Return the places, from above, moved down where two are too close for their names."""
    moved: dict[str, float] = {}
    above = float("inf")
    for name, place in sorted(places.items(), key=lambda item: item[1], reverse=True):
        above = moved[name] = min(place, above - gap)
    return moved


def _axes(title: str, *, height: float) -> tuple[Figure, Axes]:
    canvas = Figure(figsize=(8.6, height), layout="constrained")
    axes = canvas.add_subplot()
    canvas.suptitle(title, x=0.02, ha="left", fontsize=12, fontweight="bold")
    axes.set_axisbelow(True)
    return canvas, axes


def _save(canvas: Figure, path: Path) -> None:
    canvas.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.15)


def _color(server: str) -> str:
    if server.startswith(WSFLASK):
        return _OURS
    return _LIMITS if server.startswith(LIMIT) else _THEIRS


def _label(spread: Spread) -> str:
    value = spread.median
    return f"{round(value, 3 - len(str(int(value)))):,.0f}" if value >= 1000 else f"{value:.3g}"


def _below(spreads: Sequence[Spread]) -> list[float]:
    return [spread.median - spread.low for spread in spreads]


def _above(spreads: Sequence[Spread]) -> list[float]:
    return [spread.high - spread.median for spread in spreads]
