"""Fields that keep what MongoEngine's own let slip: the time zone of a time, the type of an integer."""

from __future__ import annotations

import datetime
from typing import Any

from mongoengine import DateTimeField, IntField

__all__ = ["StrictIntField", "UTCDateTimeField", "as_utc", "utc_now"]


def utc_now() -> datetime.datetime:
    """Return the time as MongoDB keeps it: aware, UTC, whole milliseconds."""
    now = datetime.datetime.now(datetime.UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def as_utc(moment: datetime.datetime) -> datetime.datetime:
    """Return the moment as an aware time in UTC; a naive one is UTC already, as it comes from MongoDB."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC)


class UTCDateTimeField(DateTimeField):
    """A moment: aware and in UTC in Python, whatever `tz_aware` says on the client."""

    def to_python(self, value: Any) -> Any:
        """Return the value aware of its time zone."""
        return as_utc(value) if isinstance(value, datetime.datetime) else value

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, self.to_python(value))


class StrictIntField(IntField):
    """An integer that is one: neither True nor "10" passes for it."""

    def to_python(self, value: Any) -> Any:
        """Return the value unchanged."""
        return value

    def validate(self, value: Any) -> None:
        """Refuse whatever is not an int within the bounds."""
        if not isinstance(value, int) or isinstance(value, bool):
            self.error("has to be an integer")
        super().validate(value)
