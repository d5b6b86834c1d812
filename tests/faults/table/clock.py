"""The wall clock jumps."""

from __future__ import annotations

import glob
import time

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

_LIBRARIES = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))
_ENV = (
    ("LD_PRELOAD", _LIBRARIES[0] if _LIBRARIES else ""),
    ("FAKETIME_TIMESTAMP_FILE", "{traps}/time"),
    ("FAKETIME_NO_CACHE", "1"),
    # Timers run on this one, as they do where the clock is really set.
    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ("DONT_FAKE_MONOTONIC", "1"),
)
_PING = 2.0


def _obstacle() -> str | None:
    return None if _LIBRARIES else "needs libfaketime; on Debian and Ubuntu: apt-get install libfaketime"


@row(
    "clock",
    "the clock of the workers jumps by an hour, forwards and back",
    "nobody is disconnected; pings keep their rhythm",
    needs=Needs(env=_ENV, settings=(("WSFLASK_PING_INTERVAL", _PING),)),
    obstacle=_obstacle,
    is_quick=False,
)
def jump(stand: Stand, trial: Trial) -> None:
    quiet = [stand.fleet.tab(n, 7, stand.port, commands=False, view=None) for n in range(4)]
    stand.fleet.open(quiet)
    names = {tab["name"] for tab in quiet}
    for offset in ("+3600", "-3600", "+0"):
        stand.wait(4)
        began = time.monotonic()
        (stand.traps / "time").write_text(f"{offset}s")
        stand.wait(6 if trial.is_short else 20)
        seconds = time.monotonic() - began
        ahead = [state["time"] - time.time() for state in stand.states().values()]
        trial.saw(f"the workers' clocks are {[round(each) for each in ahead]} s ahead",
                  all(abs(each - int(offset)) < 60 for each in ahead))  # fmt: skip
        told = stand.fleet.collect()
        lost = [each["name"] for each in told if any(s == "waiting" and w > began for w, s, *_ in each["states"])]
        trial.check(f"{len(lost)} tabs lost their connection", not lost)
        pings = [sum(when > began for when in each["pings"]) for each in told if each["name"] in names]
        wanted = seconds / _PING
        trial.check(f"pings came {pings} times in {seconds:.0f} s", all(each >= wanted * 0.5 for each in pings))
