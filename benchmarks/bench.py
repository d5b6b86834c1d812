"""The bench: a server with its generator, and what they need around them."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient

from wsflask.embedded import EmbeddedMongo

from .contenders import Contender
from .cookies import session_cookies
from .generator import Generator
from .servers import Server, leave_the_first_core, raise_file_limit

__all__ = ["Bench", "Rig"]


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """A running server, and the generator that loads it."""

    contender: Contender
    server: Server
    load: Generator
    #: The server's database, if it has one.
    database_uri: str | None = None


class Bench:
    """MongoDB, the sessions of the clients, and the cores; a context manager.

    Enter it before anything else is started: from then on this process and its children leave the first core to
    the servers.

    Args:
        users: how many distinct users there are.
    """

    def __init__(self, *, users: int) -> None:
        self._users = users
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        self._mongo: EmbeddedMongo | None = None

    def __enter__(self) -> Self:
        raise_file_limit()
        leave_the_first_core()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="wsflask-bench-")))
        self._cookies = self._folder / "cookies"
        self._cookies.write_text("".join(f"{cookie}\n" for cookie in session_cookies(self._users)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def rig(self, contender: Contender, *, timeout: float = 120.0) -> Iterator[Rig]:
        """Start a server, with a database of its own if it needs one, and a generator for it."""
        uri = self._database(contender) if contender.has_database else None
        env = {"BENCH_MONGODB_URI": uri} if uri else {}
        cookies = self._cookies if contender.has_login else None
        with Server(contender, env) as server, Generator(server, cookies=cookies, timeout=timeout) as load:
            yield Rig(contender, server, load, uri)

    @property
    def folder(self) -> Path:
        """A folder for what lives as long as the bench."""
        return self._folder

    @property
    def cookies(self) -> list[str]:
        """The Cookie header of each user."""
        return self._cookies.read_text().splitlines()

    def _database(self, contender: Contender) -> str:
        """Return the URI of a new database, with the users in it if they are kept there."""
        if self._mongo is None:
            self._mongo = EmbeddedMongo(self._folder / "mongo")
            self._stack.callback(self._mongo.stop, timeout=0)
            self._mongo.start()
        name = f"bench_{next(self._numbers)}"
        uri = self._mongo.uri_of(name)
        if contender.has_stored_users:
            client: MongoClient[dict[str, Any]] = MongoClient(uri)
            with client:
                client[name]["person"].insert_many([{"_id": f"user{number}"} for number in range(self._users)])
        return uri
