"""The environment of the Autobahn test suite: Python 2.7 and packages of pinned versions, in a folder of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["NoPython2", "make_environment"]

_HERE = Path(__file__).parent
_VIRTUALENV, _AUTOBAHN = _HERE / "virtualenv.txt", _HERE / "autobahn.txt"


class NoPython2(Exception):
    """There is no Python 2.7 on this machine, which is all that the suite runs under."""


def make_environment(folder: Path, python: str | None = None) -> Path:
    """Return the path of `wstest`; the first time it is installed into `folder`, and again when the pins change.

    Args:
        folder: what it holds is replaced.
        python: a Python 2.7; None: the one on PATH, or the latest that pyenv has.

    Raises:
        NoPython2: none was found.
        subprocess.CalledProcessError: a package could not be installed.
    """
    wstest, stamp = folder / "py27" / "bin" / "wstest", folder / "installed"
    pins = hashlib.sha256(_VIRTUALENV.read_bytes() + _AUTOBAHN.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != pins:
        python2 = python or _find_python2()
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", folder / "maker")
        _install(folder / "maker", _VIRTUALENV)
        _run(folder / "maker" / "bin" / "virtualenv", "--quiet", "--python", python2, folder / "py27")
        _install(folder / "py27", _AUTOBAHN)
        stamp.write_text(pins)
    return wstest


def _find_python2() -> str:
    for candidate in _candidates():
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    raise NoPython2("there is no Python 2.7; install one (pyenv install 2.7.18), or name it with --python")


def _candidates() -> Iterator[str]:
    on_path = shutil.which("python2.7")  # With pyenv perhaps a shim that starts nothing.
    if on_path is not None:
        yield on_path
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(map(str, versions.glob("2.7.*/bin/python2.7")), reverse=True)


def _install(environment: Path, pins: Path) -> None:
    _run(environment / "bin" / "python", "-W", "ignore", "-m", "pip", "install", "--quiet", "--requirement", pins)


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True)
