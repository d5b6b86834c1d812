"""The goals of wsflask's speed: ratios and sizes that a run is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .contenders import FLASK_SOCKETIO, LIMIT, NODE_WS, WSFLASK
from .results import Results, Spread

__all__ = ["GOALS", "Goal", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure, and what it should be."""

    #: Its name in the line that a quick run ends with; None: only a full run measures it.
    name: str | None
    title: str
    goal: float
    #: Whether less is better.
    is_ceiling: bool = False
    unit: str = ""
    measured: Callable[[Results], Spread | None]

    def is_reached(self, spread: Spread) -> bool:
        """Return whether the median meets the goal."""
        return spread.median <= self.goal if self.is_ceiling else spread.median >= self.goal


def _ratio(workload: str, other: str, figure: str, clients: int | None = None) -> Callable[[Results], Spread | None]:
    return lambda results: results.ratio(workload, WSFLASK, other, figure, clients)


def _own(workload: str, figure: str) -> Callable[[Results], Spread | None]:
    return lambda results: results.spread(workload, WSFLASK, figure)


def _connects(results: Results) -> Spread | None:
    return results.ratio("connects", WSFLASK, f"{FLASK_SOCKETIO}_login", "per_second")


_CPU = "frames_per_cpu_second"

GOALS = (
    Goal(
        name="fanout_vs_limit",
        title="Fan-out, to the C loop",
        goal=0.9,
        measured=_ratio("fanout", LIMIT, _CPU),
    ),
    Goal(
        name="fanout_vs_flask_socketio",
        title="Fan-out, to Flask-SocketIO",
        goal=5,
        measured=_ratio("fanout", FLASK_SOCKETIO, _CPU),
    ),
    Goal(
        name="fanout_vs_node_ws",
        title="Fan-out, to ws on Node",
        goal=1.5,
        measured=_ratio("fanout", NODE_WS, _CPU),
    ),
    Goal(
        name="p99_vs_limit",
        title="Latency p99 of one broadcast, to the C loop",
        goal=1.5,
        is_ceiling=True,
        measured=_ratio("fanout", LIMIT, "p99_ms"),
    ),
    Goal(
        name="burst_vs_limit",
        title="Bursts of 16, to the C loop with one send a frame",
        goal=5,
        measured=_ratio("burst", LIMIT, _CPU),
    ),
    Goal(
        name="deflate_vs_limit",
        title="Fan-out with compression, to the C loop without",
        goal=0.6,
        measured=_ratio("compression", LIMIT, _CPU),
    ),
    Goal(
        name="idle_kb",
        title="Memory of an idle client with session, user and three services",
        goal=3,
        is_ceiling=True,
        unit="KB",
        measured=_own("idle", "kb_per_client"),
    ),
    Goal(
        name="connects_vs_flask_socketio",
        title="Connects, user loaded, to Flask-SocketIO",
        goal=2,
        measured=_connects,
    ),
    Goal(
        name="echo_vs_node_ws",
        title="Echo through a service, to ws on Node",
        goal=1,
        measured=_ratio("echo", NODE_WS, "per_second"),
    ),
    Goal(
        name="slow_reader_share",
        title="Throughput beside a reader that has stopped",
        goal=0.95,
        measured=_own("slow_reader", "share"),
    ),
    Goal(
        name=None,
        title="Memory of a client that offers compression",
        goal=4,
        is_ceiling=True,
        unit="KB",
        measured=_own("compressed_memory", "kb_per_client"),
    ),
    *(
        Goal(
            name=None,
            title=f"Fan-out to {clients:,} clients, to the C loop",
            goal=0.9,
            measured=_ratio("growth", LIMIT, _CPU, clients),
        )
        for clients in (100, 1000, 5000, 10_000)
    ),
)


def summary(results: Results, goals: Iterable[Goal] = GOALS) -> str:
    """Return the line that a quick run ends with: name=value pairs, "nan" for what could not be measured."""
    pairs = []
    for goal in goals:
        if goal.name is not None:
            spread = goal.measured(results)
            pairs.append(f"{goal.name}={spread.median:.3f}" if spread is not None else f"{goal.name}=nan")
    return " ".join(pairs)
