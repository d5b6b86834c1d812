"""A command of a client that was applied, so that it is not applied again."""

from __future__ import annotations

from mongoengine import Document, StringField

from .fields import UTCDateTimeField

__all__ = ["KEPT_COMMANDS", "AppliedCommand"]

#: Command ids that a state document remembers for its user: more than his tabs repeat after a lost connection.
KEPT_COMMANDS = 100


class AppliedCommand(Document):
    """What `Service.once` has applied, with the answer; written in the transaction of the effect."""

    meta = {
        "collection": "wsflask_commands",
        "strict": False,
        "indexes": [{"fields": ["expires_dt"], "expireAfterSeconds": 0}],
    }

    #: Channel, user and the command's id, as a JSON list.
    key = StringField(primary_key=True)
    #: As JSON text. None, where there are no transactions: it was begun, and nobody knows whether it took effect.
    answer = StringField()
    #: When the database may forget it.
    expires_dt = UTCDateTimeField(required=True)
