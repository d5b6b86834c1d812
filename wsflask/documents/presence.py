"""Who is here, as it is kept: one entry for each tab and room, and one lease for each worker."""

from __future__ import annotations

from mongoengine import Document, FloatField, LongField, StringField

__all__ = ["PresenceEntry", "PresenceLease"]


class PresenceEntry(Document):
    """One tab of a user in one room. Its id names all three: room, tab and user, a line each."""

    meta = {
        "collection": "wsflask_presence",
        "strict": False,
        "indexes": ["process"],
    }

    id = StringField(primary_key=True)
    #: The lease that it stands under: that of the worker to which the tab is connected.
    process = StringField(required=True)
    #: What others are shown of the user, and of the tab, as JSON texts: any JSON value survives.
    about = StringField(required=True)
    data = StringField(required=True)


class PresenceLease(Document):
    """One worker that lives: its entries are removed when `beat` has not changed for `patience` seconds."""

    meta = {"collection": "wsflask_presence_leases", "strict": False}

    id = StringField(primary_key=True)
    beat = LongField(default=0)
    patience = FloatField(required=True)
