"""The wall clock jumps."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from pathlib import Path

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

_SOURCE = Path(__file__).parent.parent / "clock.c"
_PING = 2.0


def _obstacle() -> str | None:
    return None if shutil.which("cc") else "needs a C compiler; on Debian and Ubuntu: apt-get install gcc libc6-dev"


def _prepare(folder: Path) -> None:
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "clock.so", _SOURCE, "-ldl"], check=True)
    _set(folder, 0)


def _set(folder: Path, seconds: int) -> None:
    """Set the clock; the file is mapped by the workers, and written in place."""
    path = folder / "ahead"
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("q", seconds))


@row(
    "clock",
    "the clock of the workers jumps by an hour, forwards and back",
    "nobody is disconnected; pings keep their rhythm",
    needs=Needs(
        prepare=_prepare,
        env=(("LD_PRELOAD", "{traps}/clock.so"), ("FAULTS_CLOCK", "{traps}/ahead")),
        settings=(("WSFLASK_PING_INTERVAL", _PING),),
    ),
    obstacle=_obstacle,
    is_quick=False,
)
def jump(stand: Stand, trial: Trial) -> None:
    quiet = [stand.fleet.tab(n, 7, stand.port, commands=False, view=None) for n in range(4)]
    stand.fleet.open(quiet)
    names = {tab["name"] for tab in quiet}
    for ahead in (3600, -3600, 0):
        stand.wait(4)
        began = time.monotonic()
        _set(stand.traps, ahead)
        stand.wait(6 if trial.is_short else 20)
        seconds = time.monotonic() - began
        found = [round(state["time"] - time.time()) for state in stand.states().values()]
        trial.saw(f"the workers' clocks are {found} s ahead", all(abs(each - ahead) < 60 for each in found))
        told = stand.fleet.collect()
        lost = [each["name"] for each in told if any(s == "waiting" and w > began for w, s, *_ in each["states"])]
        trial.check(f"{len(lost)} tabs lost their connection", not lost)
        pings = [sum(when > began for when in each["pings"]) for each in told if each["name"] in names]
        wanted = seconds / _PING
        # A ping comes when nothing was heard for the interval, which is looked at once a second.
        is_in_rhythm = all(wanted * 0.6 - 1 <= each <= wanted + 1 for each in pings)
        trial.check(f"pings came {pings} times in {seconds:.0f} s, and not about {wanted:.0f}", is_in_rhythm)
