"""A session that has ended: its cookie may still exist, but opens no socket."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from mongoengine import Document, StringField
from pymongo import ReadPreference
from pymongo.collection import Collection

from .fields import UTCDateTimeField, utc_now

__all__ = ["EndedSession"]

#: Days an ended session is remembered if it does not say: as long as a remember cookie lives.
_REMEMBERED = 366.0


def _expiry() -> datetime.datetime:
    return utc_now() + datetime.timedelta(days=_REMEMBERED)


class EndedSession(Document):
    """Written at logout; the workers read it from the feed and close that session's sockets."""

    meta = {
        "collection": "wsflask_ended_sessions",
        "strict": False,
        "indexes": [{"fields": ["expires_dt"], "expireAfterSeconds": 0}],
    }

    #: The session's id on the server, never its cookie.
    session = StringField(primary_key=True)
    user = StringField()
    ended_dt = UTCDateTimeField(required=True, default=utc_now)
    #: When the database may forget it: not before the last cookie of that session has expired.
    expires_dt = UTCDateTimeField(required=True, default=_expiry)

    @classmethod
    def end(cls, session_id: str, user_id: str, *, days: float = _REMEMBERED) -> None:
        """Note that a session has ended. May switch; may be called twice."""
        now = utc_now()
        expiry = now + datetime.timedelta(days=days)
        cls(session=session_id, user=user_id, ended_dt=now, expires_dt=expiry).save(write_concern={"w": "majority"})

    @classmethod
    def last_end(cls, session_id: str) -> int:
        """Return when the session ended last, in milliseconds since 1970, or 0. One query; may switch."""
        found = cls._on_primary().find_one({"_id": session_id}, {"ended_dt": 1})
        if found is None:
            return 0
        moment: datetime.datetime = found["ended_dt"]
        return int(moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp() * 1000)

    @classmethod
    def is_ended(cls, session_id: str) -> bool:
        """Return whether the session has ended. One query; may switch."""
        return bool(cls.ended_among([session_id]))

    @classmethod
    def ended_among(cls, session_ids: Iterable[str]) -> set[str]:
        """Return those of the sessions that have ended. One query; may switch."""
        found = cls._on_primary().find({"_id": {"$in": list(session_ids)}}, {"_id": 1})
        return {document["_id"] for document in found}

    @classmethod
    def _on_primary(cls) -> Collection[dict[str, Any]]:
        """Return the collection to read from: a secondary may not know yet of a logout that was acknowledged."""
        collection: Collection[dict[str, Any]] = cls._get_collection()
        return collection.with_options(read_preference=ReadPreference.PRIMARY)
