"""What a deploy costs: a worker with many clients is told to end."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from tests.harness.raw import CLOSE, TEXT, RawClient, client_close, server_frames
from wsflask.embedded import EmbeddedMongo

from .contenders import WSFLASK, contender
from .cookies import session_cookies
from .processes import cpu_seconds
from .servers import Server, leave_the_first_core, raise_file_limit

__all__ = ["measure"]

#: Seconds for all clients to have been told.
_PATIENCE = 30.0


def measure(clients: int, uri: str) -> dict[str, float]:
    """Tell a worker with so many idle clients to end; return how long it took, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        pulse = Path(folder, "pulse")
        with Server(contender(WSFLASK), {"BENCH_MONGODB_URI": uri, "BENCH_PULSE": str(pulse)}) as server:
            sockets = _connect(server.port, session_cookies(clients))
            (worker,) = server.pids
            before = cpu_seconds([worker])
            os.kill(worker, signal.SIGTERM)
            told, codes = _read_ends(sockets)
            if codes.count(1012) < clients:
                raise SystemExit(f"not all got a goodbye and 1012: {Counter(codes)}; is the machine busy?")
            spent = _last_cpu_seconds(worker) - before
            while not pulse.exists():
                time.sleep(0.02)
            time.sleep(0.1)
            pause = float(pulse.read_text())
        cuts = quantiles(told, n=100)
        return {
            "clients": clients,
            "told_p50_ms": cuts[49] * 1000,
            "told_p99_ms": cuts[98] * 1000,
            "told_max_ms": max(told) * 1000,
            "cpu_ms": spent * 1000,
            "longest_pause_ms": pause * 1000,
        }


def _connect(port: int, cookies: Sequence[str]) -> list[socket.socket]:
    sockets = []
    for cookie in cookies:
        client = RawClient(port)
        client.open(port, cookie, subprotocols=("wsflask.v1",))
        client.socket.setblocking(False)
        sockets.append(client.socket)
    time.sleep(3.0)  # Let the last be greeted.
    return sockets


def _read_ends(sockets: Sequence[socket.socket]) -> tuple[list[float], list[int]]:
    """Return when each was closed, in seconds from now, and with what code; a goodbye must come before."""
    started = time.monotonic()
    told: list[float] = []
    codes: list[int] = []
    arrived = dict.fromkeys(sockets, b"")
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        while arrived and time.monotonic() < started + _PATIENCE:
            for key, _ in selector.select(0.1):
                each: socket.socket = key.fileobj  # type: ignore[assignment]
                data = each.recv(1 << 16)
                arrived[each] += data
                frames, _ = server_frames(arrived[each])
                if frames and frames[-1][0] == CLOSE:
                    codes.append(int.from_bytes(frames[-1][1][:2], "big"))
                    if not any(kind == TEXT and b'"goodbye"' in payload for kind, payload in frames):
                        codes[-1] = 0
                    each.send(client_close(1012))
                elif data:
                    continue
                told.append(time.monotonic() - started)
                selector.unregister(each)
                del arrived[each]
    for each in sockets:
        each.close()
    return told, codes


def _last_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process as it ends."""
    last = 0.0
    while True:
        try:
            last = cpu_seconds([pid]) or last
        except OSError:
            return last
        if not Path(f"/proc/{pid}").exists():
            return last
        time.sleep(0.01)


def main() -> None:
    """Print the figures, as one line of name=value pairs."""
    raise_file_limit()
    leave_the_first_core()
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, EmbeddedMongo(folder) as mongo:
        print(" ".join(f"{name}={value:g}" for name, value in measure(clients, mongo.uri_of("leaving")).items()))


if __name__ == "__main__":
    main()
