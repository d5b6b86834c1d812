"""A message on its way to the clients of every worker."""

from __future__ import annotations

import datetime
from typing import Any

import pymongo
from mongoengine import BooleanField, Document, ListField, StringField
from pymongo.client_session import ClientSession

from ..config import Settings
from .fields import UTCDateTimeField, utc_now
from .transactions import majority, taking_part

__all__ = ["RIGHTS_CHANGED", "KeptPublication", "Publication"]

#: The channel of those that tell the workers of changed rights; no service can have it.
RIGHTS_CHANGED = "wsflask:rights"

#: Seconds a publication is kept if it does not say: workers read it within milliseconds, or after an outage.
_KEPT = 3600.0


def _expiry() -> datetime.datetime:
    return utc_now() + datetime.timedelta(seconds=_KEPT)


class _Published(Document):
    meta: Any = {"abstract": True}

    channel = StringField(required=True)
    #: The payload as JSON text: any JSON value survives, and it goes out as it is.
    payload = StringField(required=True)
    everyone = BooleanField(required=True, default=False)
    users = ListField(StringField())
    groups = ListField(StringField())
    created_dt = UTCDateTimeField(required=True, default=utc_now)
    #: When the database may forget it.
    expires_dt = UTCDateTimeField(required=True, default=_expiry)

    def keep_for(self, seconds: float) -> None:
        """Have the database forget it so many seconds after it was created."""
        self.expires_dt = self.created_dt + datetime.timedelta(seconds=seconds)

    def write(self, session: ClientSession | None = None) -> None:
        """Write it with majority, or in a transaction: the session's, or that of the context. May switch."""
        with pymongo.timeout(Settings().database_timeout), taking_part(session):
            concern = majority()
            if concern:
                self.save(write_concern=concern)
            else:  # MongoEngine would make the indexes first, which MongoDB refuses in a transaction.
                self.validate()
                self._get_db()[self._get_collection_name()].insert_one(self.to_mongo().to_dict())


class Publication(_Published):
    """What `Service.publish` writes, and every worker's relay reads from the feed; who is away does not get it."""

    meta = {
        "collection": "wsflask_publications",
        "strict": False,
        "indexes": [{"fields": ["expires_dt"], "expireAfterSeconds": 0}],
    }


class KeptPublication(_Published):
    """One that is kept for those who come back: until it expires they get it, each once.

    In a collection of its own, so that its history tells nothing else.
    """

    meta = {
        "collection": "wsflask_kept_publications",
        "strict": False,
        "indexes": [{"fields": ["expires_dt"], "expireAfterSeconds": 0}],
    }
