"""On what a run was measured: the machine, and the versions of all that took part."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wsflask.embedded import find_mongod
from wsflask.transport.sends import IS_COMPILED

from .contenders import ROOT
from .peers import PEERS
from .peers.versions import version_of

__all__ = ["describe"]

#: What wsflask runs on, as it was installed for the run.
_OWN = ("wsflask", "gevent", "gunicorn", "flask", "flask-sock", "flask-login", "mongoengine", "pymongo", "msgspec")


def describe() -> dict[str, Any]:
    """Return the date, the machine, and the versions of each server's packages."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "compiler": _output("cc", "--version"),
        "loop": "compiled" if IS_COMPILED else "in Python",
        "mongod": _output(find_mongod(None), "--version").removeprefix("db version v"),
        "versions": {
            "wsflask": {package: _installed(package) for package in _OWN},
            **{name: {package: version_of(package) for package in peer.packages} for name, peer in PEERS.items()},
        },
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    """Return the first line that a program prints, or "" when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.splitlines() or [""])[0]
