"""A message on its way to the clients of every worker."""

from __future__ import annotations

import datetime

from mongoengine import BooleanField, Document, ListField, StringField

from .fields import UTCDateTimeField, utc_now

__all__ = ["RIGHTS_CHANGED", "Publication"]

#: The channel of those that tell the workers of changed rights; no service can have it.
RIGHTS_CHANGED = "wsflask:rights"

#: Seconds a publication is kept if it does not say: workers read it within milliseconds, or after an outage.
_KEPT = 3600.0


def _expiry() -> datetime.datetime:
    return utc_now() + datetime.timedelta(seconds=_KEPT)


class Publication(Document):
    """What `Service.publish` writes and every worker's relay reads from the feed."""

    meta = {
        "collection": "wsflask_publications",
        "strict": False,
        "indexes": [{"fields": ["expires_dt"], "expireAfterSeconds": 0}],
    }

    channel = StringField(required=True)
    #: The payload as JSON text: any JSON value survives, and it goes out as it is.
    payload = StringField(required=True)
    everyone = BooleanField(required=True, default=False)
    users = ListField(StringField())
    groups = ListField(StringField())
    created_dt = UTCDateTimeField(required=True, default=utc_now)
    #: When the database may forget it.
    expires_dt = UTCDateTimeField(required=True, default=_expiry)
