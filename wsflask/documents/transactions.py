"""Transactions of MongoDB that MongoEngine's own calls take part in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.synchronous.client_session import _SESSION  # there is no public way to ask which session is bound

__all__ = ["majority", "taking_part"]


def majority() -> dict[str, Any]:
    """Return the write concern for a `save()` that has to last; in a transaction none, for the commit has one."""
    session = _SESSION.get()
    return {} if session is not None and session.in_transaction else {"w": "majority"}


@contextmanager
def taking_part(session: ClientSession | None) -> Iterator[None]:
    """Have the operations of the block take part in the session's transaction; None: in the context's, if any."""
    if session is None:
        yield
    else:
        with session.bind(end_session=False):
            yield
