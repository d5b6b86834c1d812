"""One user's clipboard, as it is kept."""

from __future__ import annotations

from mongoengine import DictField, Document, ListField, LongField, StringField

__all__ = ["ClipboardState"]


class ClipboardState(Document):
    """The entries of one user; every accepted command makes `rev` one larger.

    An entry holds `id`, `kind`, `label`, `size`, `created_dt`, and either `json` (the data as JSON text, so that any
    JSON value survives) or `model`, `object_id`, `ref` (model and id in one string, to be found by) and `missing`.
    """

    meta = {
        "collection": "wsflask_clipboards",
        "strict": False,
        "indexes": [{"fields": ["entries.ref"], "sparse": True}],
    }

    user = StringField(primary_key=True)
    rev = LongField(default=0)
    #: The id of the next entry: ids are never used again.
    next_id = LongField(default=1)
    entries = ListField(DictField())
    #: Bytes of all entries together.
    size = LongField(default=0)
    #: The last command ids, so that a command sent twice is applied once.
    commands = ListField(StringField())
