"""What is measured of a server: each function runs one workload once, and returns its figures."""

from __future__ import annotations

import time
from typing import Any

from .bench import Rig
from .generator import GeneratorFailed
from .processes import unsent_bytes

__all__ = ["SIZE", "WARM_CLIENTS", "connects", "crowd", "echo", "fan_out", "idle", "slow_reader", "warm_up"]

Figures = dict[str, Any]

#: Characters that pad a message; about 300 bytes with the rest.
SIZE = 256
#: Clients that come before any memory is looked at: what a server allocates once is no client's.
WARM_CLIENTS = 100
#: Sockets that each keep an echo in flight, and the characters of an echo.
_ECHO_CLIENTS, _ECHO_SIZE = 100, 64
#: Messages of this size fill the buffers of a reader that has stopped, so many between two looks.
_FILL_SIZE, _FILL_ROUNDS, _FILL_LOOKS = 65_536, 4, 100


def warm_up(rig: Rig) -> None:
    """Run a few rounds that do not count."""
    rig.load.rounds(10, 1, SIZE)


def fan_out(rig: Rig, *, seconds: float, burst: int = 1) -> Figures:
    """Send bursts to all clients for so many seconds, each once the one before has arrived."""
    return rig.load.rounds(f"{seconds:g}s", burst, SIZE)


def echo(rig: Rig, *, seconds: float) -> Figures:
    """Let clients ask and be answered, one request in flight each."""
    return rig.load.echo(seconds, min(_ECHO_CLIENTS, rig.load.memory()["connections"]), _ECHO_SIZE)


def connects(rig: Rig, *, clients: int) -> Figures:
    """Open so many sockets, with everything that a client has then, and close them."""
    figures = rig.load.connect(clients)
    rig.load.close()
    settle(rig)
    return figures


def idle(rig: Rig, *, clients: int, rounds: int = 0) -> Figures:
    """Open so many sockets on a fresh server, beside those that warm it up; what each adds to its memory.

    Args:
        rounds: messages that all get before memory is looked at, for what is allocated only then.
    """
    rig.load.connect(WARM_CLIENTS)
    before = _memory(rig, rounds)
    figures = rig.load.connect(clients)
    after = _memory(rig, rounds)
    return {**figures, "rss_before_kb": before, "rss_kb": after, "kb_per_client": (after - before) / clients}


def crowd(rig: Rig, *, clients: int, rest: float) -> Figures:
    """Open so many sockets, look at the server's memory, at its CPU time at rest, and send to all at once."""
    figures = idle(rig, clients=clients)
    resting = rig.load.wait(rest)
    cast = rig.load.rounds(5, 1, SIZE)
    return {
        **figures,
        "rest_cpu_percent": 100 * resting["cpu_seconds"] / resting["seconds"],
        "closed_at_rest": resting["closed"],
        "cast_p50_ms": cast["p50_ms"],
        "cast_last_ms": cast["last_p50_ms"],
        "cast_frames_per_cpu_second": cast["frames_per_cpu_second"],
    }


def slow_reader(free: Rig, slowed: Rig, *, pairs: int, seconds: float) -> list[Figures]:
    """Send to all on two servers by turns, while on one of them a client has stopped reading and its buffers are full.

    Both servers have as many clients, and they trade places afterwards. A server that stands still has a share of 0.
    """
    free.load.rounds(_FILL_ROUNDS * 5, 1, _FILL_SIZE)  # what filling does to the buffers of all, it has done to both
    slowed.load.stall(1)
    found = []
    try:
        held = _fill_the_stalled(slowed)
        for pair in range(pairs):
            both = {rig: fan_out(rig, seconds=seconds) for rig in (free, slowed)[:: -1 if pair % 2 else 1]}
            found.append(_beside(both[free], both[slowed], held))
    except GeneratorFailed as error:
        return [{"share": 0.0, "stopped": str(error)}]
    slowed.load.unstall()
    connected = {rig: rig.load.memory()["connections"] for rig in (free, slowed)}
    for rig in (free, slowed):  # Some servers close a slow reader late, when its place is the other's already.
        rig.load.connect(int(max(connected.values()) - connected[rig]))
    settle(slowed)
    return found


def _beside(free: Figures, slowed: Figures, held: int) -> Figures:
    return {
        "share": slowed["frames_per_second"] / free["frames_per_second"],
        "cpu_share": slowed["frames_per_cpu_second"] / free["frames_per_cpu_second"],
        "p99_ms_alone": free["p99_ms"],
        "p99_ms": slowed["p99_ms"],
        "held_bytes": held,
        "closed": slowed["closed"],
    }


def settle(rig: Rig) -> None:
    """Return when the server has little to do, or after ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        waited = rig.load.wait(0.3)
        if waited["cpu_seconds"] < 0.1 * waited["seconds"]:
            return


def _memory(rig: Rig, rounds: int) -> int:
    if rounds:
        rig.load.rounds(rounds, 1, SIZE)
    settle(rig)
    return int(rig.load.memory()["rss_kb"])


def _fill_the_stalled(rig: Rig) -> int:
    """Send until the kernel takes no more for the one that stopped reading; return what it holds for it."""
    held = -1
    for _ in range(_FILL_LOOKS):
        rig.load.rounds(_FILL_ROUNDS, 1, _FILL_SIZE)
        now = unsent_bytes(rig.server.port)
        if now == held and now > 0:
            break
        held = now
    return held
