"""Operations of a bound session leave out what MongoDB refuses in its transaction.

PyMongo leaves the write concern and the read preference of a client, a database or a collection out of operations that
are given a session with a transaction, but sends them with those of a session that is bound to the context. So with a
URI that has `w=majority`, as Atlas hands out, no such transaction would do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from pymongo import MongoClient, ReadPreference
from pymongo.common import BaseObject
from pymongo.synchronous.client_session import _SESSION  # there is no public way to ask which session is bound

__all__ = ["bound_session", "leave_out_options"]

_Result = TypeVar("_Result")


def bound_session() -> Any:
    """Return the ClientSession that is bound to the context, or None."""
    return _SESSION.get()


def leave_out_options(client: MongoClient[Any]) -> bool:
    """Have the client's operations leave them out; return whether they do, which is not certain of a later PyMongo.

    The library changes PyMongo nowhere else, and here only where the client has such options: its methods that ask for
    them look for the bound session, too. Without a transaction that is the same as before. May be repeated.
    """
    if not client.write_concern.document and client.read_preference == ReadPreference.PRIMARY:
        return True
    for name in ("_write_concern_for", "_read_preference_for"):
        given = getattr(BaseObject, name, None)
        if given is None:
            return False
        if not hasattr(given, "__wrapped__"):
            setattr(BaseObject, name, _with_bound_session(given))
    return True


def _with_bound_session(given: Callable[[Any, Any], _Result]) -> Callable[[Any, Any], _Result]:
    @functools.wraps(given)
    def wanted(target: Any, session: Any) -> _Result:
        if session is None:
            bound = _SESSION.get()
            session = bound if bound is not None and bound.in_transaction else None
        return given(target, session)

    return wanted
