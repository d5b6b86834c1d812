"""The application's own code fails."""

from __future__ import annotations

import time

from ..rows import row
from ..stand import Stand
from ..trial import Trial

#: Seconds in which a trap is sprung, if at all.
_PATIENCE = 10.0


@row(
    "hooks",
    "exception in a hook, in an encoder; a service greenlet killed",
    "only that message fails; the service is back within 1 s; the user gets `internal`, the log one line",
)
def fail(stand: Stand, trial: Trial) -> None:
    name = stand.fleet.names[0]
    earlier = stand.server.log()
    for what in ("boom", "unencodable"):
        answered = stand.fleet.one("ask", name, payload=what)
        trial.saw(f"{what!r} was answered {answered}", answered == {"code": "internal"})
        after = stand.fleet.one("ask", name, payload="well")
        trial.check(f"the next message was answered {after}", after == {"answer": {"echo": "well"}})
    log = stand.server.log()[len(earlier) :]
    for what in ("a hook that fails on purpose", "an encoder that fails on purpose"):
        lines = [line for line in log.splitlines() if what in line]
        trial.check(f"the log has {len(lines)} lines of {what!r}", lines)
    # Only a service that runs springs a trap: with two workers the third shows that it is back in one of them.
    times = [_spring(stand, "kill-chat") for _ in range(4)]
    trial.saw("the service's greenlet ended four times in two workers", max(times) < _PATIENCE)
    trial.measure("the service was back after", max(times[2:]), at_most=1.0)
    lines = [line for line in stand.server.log()[len(earlier) :].splitlines() if "ends on purpose" in line]
    trial.check(f"the log has {len(lines)} lines of the greenlet's end", lines)


def _spring(stand: Stand, name: str) -> float:
    """Lay a trap; return the seconds until it sprang."""
    began = time.monotonic()
    (stand.traps / name).touch()
    while (stand.traps / name).exists() and time.monotonic() - began < _PATIENCE:
        stand.wait(0.02)
    return time.monotonic() - began
