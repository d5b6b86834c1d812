"""One holder in the whole cluster: a document that has to be renewed, timed by the database's own clock."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from mongoengine import DateTimeField, Document, StringField
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

__all__ = ["Lease"]

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class LeaseDocument(Document):
    """Who holds the lease of this name, and until when."""

    meta = {"collection": "demo_leases"}

    name = StringField(primary_key=True)
    holder = StringField(required=True)
    expires = DateTimeField(required=True)


class Lease:
    """The right of one process to do something, for as long as it renews it."""

    def __init__(self, name: str, *, seconds: float = 5.0) -> None:
        self.name = name
        self.holder = uuid.uuid4().hex
        self._milliseconds = int(seconds * 1000)

    def hold(self) -> bool:
        """Take the lease or renew it; return whether this process holds it now. May switch.

        It passes to another when its holder has not renewed it for `seconds`.
        """
        mine = {"$eq": ["$holder", self.holder]}
        over = {"$lt": [{"$ifNull": ["$expires", _LONG_AGO]}, "$$NOW"]}
        steps = [
            {"$set": {"free": {"$or": [mine, over]}}},
            {
                "$set": {
                    "holder": {"$cond": ["$free", self.holder, "$holder"]},
                    "expires": {"$cond": ["$free", {"$add": ["$$NOW", self._milliseconds]}, "$expires"]},
                }
            },
            {"$unset": "free"},
        ]
        try:
            found = LeaseDocument._get_collection().find_one_and_update(
                {"_id": self.name}, steps, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:  # two processes created it at once: the other was first
            return False
        return bool(found["holder"] == self.holder)

    def release(self) -> None:
        """Give the lease back, so that another need not wait for its end. May switch; may be called twice."""
        LeaseDocument._get_collection().delete_one({"_id": self.name, "holder": self.holder})
