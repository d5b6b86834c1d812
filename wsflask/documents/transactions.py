"""Transactions of MongoDB that MongoEngine's own calls take part in."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import mongoengine
import pymongo
from mongoengine import Document
from mongoengine.errors import OperationError
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from ..errors import ConfigError
from .bound import bound_session, leave_out_options

__all__ = ["has_transactions", "is_in_transaction", "majority", "run_in_transaction", "taking_part"]

_Result = TypeVar("_Result")

_UNACKNOWLEDGED = (
    "MongoEngine's connection does not wait for what it writes, and such writes can take no part in transactions: "
    "leave w=0 out of its URI"
)
_OPTIONS = (
    "MongoEngine's connection names a write concern or a read preference, which this PyMongo sends and MongoDB refuses "
    "in transactions: leave w=, journal= and readPreference= out of its URI; majority and primary are the defaults"
)

#: MongoDB's error code for an index that was to be made in a transaction, on a collection that exists.
_NOT_IN_TRANSACTION = 263
#: Seconds to tell the database that a transaction is given up.
_ABORT = 0.5


def majority() -> dict[str, Any]:
    """Return the write concern for a `save()` that has to last; in a transaction none, for the commit has one."""
    return {} if is_in_transaction() else {"w": "majority"}


def is_in_transaction() -> bool:
    """Return whether the context has a transaction, in which operations take part without being told to."""
    session = bound_session()
    return session is not None and bool(session.in_transaction)


@contextmanager
def taking_part(session: ClientSession | None) -> Iterator[None]:
    """Have the operations of the block take part in the session's transaction; None: in the context's, if any."""
    if session is None:
        yield
    else:
        leave_out_options(mongoengine.get_connection())
        with session.bind(end_session=False):
            yield


def has_transactions(client: MongoClient[dict[str, Any]]) -> bool:
    """Return whether the client's server has transactions: not a standalone one. May switch."""
    hello: Mapping[str, Any] = client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def run_in_transaction(work: Callable[[], _Result]) -> _Result:
    """Return what `work` returns, once a majority of the replica set has all that it wrote; else nothing of it holds.

    Operations of the alias "default", MongoEngine's and PyMongo's, take part without being told to. `work` is called
    again where somebody else was faster with one of its documents. May switch.

    Raises:
        ConfigError: the connection's URI says that writes are not waited for.
        PyMongoError: the database failed; whether the transaction was committed is perhaps not known.
    """
    client: MongoClient[dict[str, Any]] = mongoengine.get_connection()
    if not client.write_concern.acknowledged:
        raise ConfigError(_UNACKNOWLEDGED)
    if not leave_out_options(client):
        raise ConfigError(_OPTIONS)
    unused = [each for each in _document_classes(Document) if getattr(each, "_collection", None) is None]
    try:
        return _transaction(client, work)
    except OperationFailure as error:
        if error.code != _NOT_IN_TRANSACTION or not _make_indexes(unused):
            raise
        return _transaction(client, work)
    except Exception:
        _make_indexes(unused)
        raise


def _transaction(client: MongoClient[dict[str, Any]], work: Callable[[], _Result]) -> _Result:
    with client.start_session() as session, session.bind(end_session=False):
        return session.with_transaction(
            lambda _: _attempt(session, work),
            read_concern=ReadConcern("local"),
            write_concern=WriteConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )


def _attempt(session: ClientSession, work: Callable[[], _Result]) -> _Result:
    """Call `work`, and let PyMongo see the errors that it has to see: MongoEngine wraps them."""
    try:
        return work()
    except BaseException as error:
        # Free of the deadline that has perhaps just passed: what is left open blocks others for a minute.
        contextvars.Context().run(_abort, session)
        cause = error.__context__ if isinstance(error, OperationError) else None
        if isinstance(cause, PyMongoError) and (cause.has_error_label("TransientTransactionError") or cause.timeout):
            raise cause from error
        raise


def _abort(session: ClientSession) -> None:
    with contextlib.suppress(PyMongoError), pymongo.timeout(_ABORT):
        session.abort_transaction()


def _make_indexes(unused: list[type[Document]]) -> list[type[Document]]:
    """Make the indexes of classes that were used for the first time in a transaction, and lost them with it."""
    used = [each for each in unused if each._collection is not None]
    for each in used:
        each.ensure_indexes()
    return used


def _document_classes(base: type[Document]) -> Iterator[type[Document]]:
    for each in base.__subclasses__():
        if not each._meta.get("abstract"):
            yield each
        yield from _document_classes(each)
