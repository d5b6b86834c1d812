"""Redis is killed, comes back empty, is frozen."""

from __future__ import annotations

import dataclasses
import shutil

from wsflask import Settings

from ..rows import row
from ..stand import Stand
from ..trial import Trial


def _obstacle() -> str | None:
    if "redis_url" not in {field.name for field in dataclasses.fields(Settings)}:
        return "there is no feed of Redis"
    return (
        None
        if shutil.which("redis-server")
        else "needs redis-server; on Debian and Ubuntu: apt-get install redis-server"
    )


@row(
    "redis-killed", "Redis killed", "noticed within 2 s by position; no silent gap", obstacle=_obstacle, is_quick=False
)
def kill(stand: Stand, trial: Trial) -> None:
    trial.saw("nothing was done yet", False)
