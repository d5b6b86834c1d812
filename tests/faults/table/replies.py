"""A worker dies between the database's word and the answer."""

from __future__ import annotations

import time

from ..rows import row
from ..stand import Stand
from ..trial import Trial


@row(
    "killed-before-reply",
    "kill -9 between the database's ack and the reply",
    "the command is retried with its id and applied once",
)
def kill_before_reply(stand: Stand, trial: Trial) -> None:
    for _ in range(2 if trial.is_short else 10):
        before = set(stand.workers())
        trap = stand.traps / "before-reply"
        trap.touch()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (trap.exists() or before <= set(stand.workers())):
            stand.wait(0.05)
        gone = before - set(stand.workers())
        trial.saw(f"worker {sorted(gone)} killed itself when the database had answered", gone and not trap.exists())
        stand.await_workers()
        stand.wait(1)
