"""What the machine offers to the tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import mongoengine
import pytest
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parent.parent.parent

#: How the folders of the tests' databases begin.
_DATA = "wsflask-tests-"


def missing(what: str) -> NoReturn:
    """Skip the test for want of a server, or fail it where servers are promised."""
    if os.environ.get("WSFLASK_REQUIRE_SERVERS"):
        pytest.fail(f"WSFLASK_REQUIRE_SERVERS is set, but there is no {what}")
    pytest.skip(f"there is no {what}")


def require_program(*names: str) -> str:
    """Return the path of the first of these programs that is on PATH, else skip or fail."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    missing(f"{' or '.join(names)}; on Debian and Ubuntu: apt-get install {names[0]}")


def fast_folder() -> str | None:
    """Return a folder in memory with room for a mongod, or None for the usual temporary folder."""
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2 * 1024**3:
        return str(shared)
    return None


def data_folder() -> Path:
    """Return a fresh folder for a mongod's data; what runs that were killed have left of theirs is removed."""
    base = Path(fast_folder() or tempfile.gettempdir())
    for lock in base.glob(f"{_DATA}*/wsflask.lock"):
        with contextlib.suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
    return Path(tempfile.mkdtemp(prefix=_DATA, dir=base))


def disconnect() -> None:
    """Close MongoEngine's connections, and have every document class forget its collection.

    MongoEngine itself forgets by name: of two classes called Flight, in two modules, it tells only the later one.
    """
    mongoengine.disconnect_all()
    classes = list(mongoengine.Document.__subclasses__())
    while classes:
        document_class = classes.pop()
        classes += document_class.__subclasses__()
        document_class._disconnect()


@dataclass(frozen=True, slots=True)
class Database:
    """A database for one test: MongoEngine's default connection is open to it."""

    name: str
    uri: str
    client: MongoClient[dict[str, Any]]

    def __getitem__(self, collection: str) -> Any:
        return self.client[self.name][collection]
