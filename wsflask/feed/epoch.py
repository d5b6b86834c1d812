"""A random text, kept in a database, that tells one database's history from another's."""

from __future__ import annotations

import secrets
from typing import Any

import mongoengine
import pymongo
from pymongo import MongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

__all__ = ["COLLECTION", "read_epoch", "read_own_epoch"]

COLLECTION = "wsflask_feed"
_ID = "epoch"


def read_epoch(client: MongoClient[dict[str, Any]], database: str) -> str:
    """Return the database's epoch, which is made with the first call. May switch.

    Raises:
        PyMongoError: the database failed.
    """
    collection = client[database].get_collection(
        COLLECTION, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
    )
    found = collection.find_one({"_id": _ID})
    if found is None:
        try:
            found = collection.find_one_and_update(
                {"_id": _ID},
                {"$setOnInsert": {"value": secrets.token_hex(8)}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # another worker was faster
            found = collection.find_one({"_id": _ID})
    return str(found["value"]) if found is not None else ""


def read_own_epoch(timeout: float) -> str:
    """Return the epoch of the database that MongoEngine's alias "default" is connected to. May switch.

    Args:
        timeout: seconds.

    Raises:
        PyMongoError: the database failed.
    """
    with pymongo.timeout(timeout):
        return read_epoch(mongoengine.get_connection(), mongoengine.get_db().name)
