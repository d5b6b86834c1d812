"""Where the command line keeps its files, and how it tells of a demonstration that runs."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from ..errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows: nothing that is noted here can run there
    fcntl = None  # type: ignore[assignment]

__all__ = ["RunningDemo", "cache_folder", "running_demo_uri", "secret_key"]

#: Characters of the demonstration's SECRET_KEY.
_KEY_LENGTH = 64
#: Seconds to wait for a lock that another command may hold for a moment.
_PATIENCE = 0.5


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return this user's cache folder for wsflask, made when missing; nobody else can read it."""
    given = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        base = Path(given)
    else:
        base = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    folder = base / "wsflask"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used ({error.strerror}); set XDG_CACHE_HOME to a folder") from None
    return folder


def secret_key(folder: Path) -> str:
    """Return a random key, the same at every call: sessions of the demonstration outlive a restart."""
    path = folder / "secret-key"
    try:
        kept = path.read_text()
    except OSError:
        kept = ""
    if len(kept) < _KEY_LENGTH:
        kept = secrets.token_hex(_KEY_LENGTH // 2)
        with open(path, "w", opener=_private) as file:
            file.write(kept)
    return kept


class RunningDemo:
    """A note of the running demonstration's database; it counts while this process holds its lock.

    A note that was left behind by a process that was killed is known by its lock, which nobody holds.
    """

    def __init__(self, folder: Path, *, uri: str, url: str) -> None:
        self._path = _note(folder)
        self._text = json.dumps({"uri": uri, "url": url})
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Write the note, unless another demonstration has written its own."""
        file = open(self._path, "a", opener=_private)
        if _lock(file, _PATIENCE):
            file.truncate(0)
            file.write(self._text)
            file.flush()
            self._file = file
        else:
            file.close()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the note."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def running_demo_uri(folder: Path) -> str | None:
    """Return the URI of the running demonstration's database, or None."""
    try:
        with _note(folder).open("r+") as file:
            if _lock(file):
                return None
            return str(json.load(file)["uri"])
    except (OSError, ValueError, KeyError):
        return None


def _note(folder: Path) -> Path:
    return folder / "demo.json"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lock(file: IO[str], patience: float = 0.0) -> bool:
    """Return whether the file is ours: locked until it is closed."""
    deadline = time.monotonic() + patience
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
    return False
