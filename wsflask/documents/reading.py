"""Who has read which notifications: the query for what is unread, the atomic updates that mark as read."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson import ObjectId
from mongoengine import Document, ListField, LongField, ObjectIdField, StringField
from pymongo import ReadPreference, ReturnDocument, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from .applied_command import KEPT_COMMANDS
from .fields import utc_now
from .notification import Notification

__all__ = [
    "COMPACT_BEYOND",
    "WATERMARK_LAG",
    "NotificationState",
    "addressed_to",
    "is_read",
    "mark_all_read",
    "mark_read",
    "notifications",
    "read_state",
    "read_states",
    "to_everyone",
    "unread_among",
    "unread_count",
    "unread_query",
]

#: Seconds that the watermark stays behind the clock. A notification's id holds the second in which it was made; one
#: that is committed later, or made by a clock that is slow, would count as read if the watermark were already past it.
WATERMARK_LAG = 60.0
#: Ids in `read` beyond which they are folded into the watermark where that is possible.
COMPACT_BEYOND = 100

#: Smaller than every id that is made.
_FIRST = ObjectId(bytes(12))

_Raw = dict[str, Any]


class NotificationState(Document):
    """What one user has read: every notification up to `read_before`, and beyond it those listed in `read`."""

    meta = {"collection": "wsflask_notification_states", "strict": False}

    user = StringField(primary_key=True)
    read_before = ObjectIdField()
    read = ListField(ObjectIdField())
    #: Grows with every change.
    rev = LongField(default=0)
    #: The last command ids, so that a command sent twice is applied once.
    commands = ListField(StringField())


def addressed_to(user_id: str, groups: Iterable[str]) -> _Raw:
    """Return the query for the notifications that go to this user."""
    return {"$or": [{"everyone": True}, *_ways_to([user_id], groups)]}


def _ways_to(user_ids: list[str], groups: Iterable[str]) -> list[_Raw]:
    """Return the queries for what names one of the users or groups."""
    ways: list[_Raw] = [{"users": user_ids[0] if len(user_ids) == 1 else {"$in": user_ids}}]
    named = sorted(groups)
    return [*ways, {"groups": {"$in": named}}] if named else ways


def unread_query(user_id: str, groups: Iterable[str], state: _Raw | None) -> _Raw:
    """Return the query for what the user of this raw NotificationState (None: there is none yet) has not read."""
    query = addressed_to(user_id, groups)
    bounds: _Raw = {}
    if state and state.get("read_before") is not None:
        bounds["$gt"] = state["read_before"]
    if state and state.get("read"):
        bounds["$nin"] = state["read"]
    if bounds:
        query["_id"] = bounds
    return query


def is_read(notification_id: ObjectId, state: _Raw | None) -> bool:
    """Return whether the user of this state has read the notification."""
    if not state:
        return False
    before = state.get("read_before")
    return (before is not None and notification_id <= before) or notification_id in (state.get("read") or ())


def read_state(user_id: str) -> _Raw | None:
    """Return the user's raw NotificationState, None if there is none yet. May switch."""
    return _states().find_one({"_id": user_id})


def read_states(user_ids: Iterable[str]) -> dict[str, _Raw]:
    """Return the raw NotificationStates of those users that have one. One query; may switch."""
    return {state["_id"]: state for state in _states().find({"_id": {"$in": list(user_ids)}}, {"commands": 0})}


def to_everyone(after: ObjectId | None = None, *, limit: int) -> list[_Raw]:
    """Return ids and categories of what goes to everyone, the oldest first, up to `limit` from `after` on.

    One query; may switch.
    """
    query = {"everyone": True, "_id": {"$gt": after if after is not None else _FIRST}}
    return list(notifications().find(query, {"category": 1}).sort("_id", 1).limit(limit))


def unread_among(users: Iterable[tuple[str, frozenset[str]]], states: Mapping[str, _Raw]) -> Iterator[_Raw]:
    """Yield category and recipients of what names one of the users and he has not read, and of some that all have read.

    Of what goes to everyone it yields the latest, from about the last minute: `to_everyone` finds all. One query for
    all users, who are pairs of id and groups. May switch.
    """
    users = list(users)
    groups: frozenset[str] = frozenset().union(*(groups for _, groups in users))
    watermarks = [states.get(user, {}).get("read_before") or _FIRST for user, _ in users]
    ways = [{**way, "_id": {"$gt": min(watermarks)}} for way in _ways_to([user for user, _ in users], groups)]
    query = {"$or": [{"everyone": True, "_id": {"$gt": _lagging_id()}}, *ways]}
    yield from notifications().find(query, {"category": 1, "everyone": 1, "users": 1, "groups": 1})


def unread_count(user_id: str, groups: Iterable[str] = ()) -> int:
    """Return how many notifications the user has not read. May switch."""
    return notifications().count_documents(unread_query(user_id, groups, read_state(user_id)))


def mark_read(
    user_id: str, groups: Iterable[str], notification_id: ObjectId, *, command: str | None = None
) -> _Raw | None:
    """Mark one notification as read; return the new raw state, None if it does not exist or is not for this user.

    May switch.

    Args:
        command: id of the command; one that was applied already changes nothing.
    """
    wanted = {"_id": notification_id, **addressed_to(user_id, groups)}
    if notifications().find_one(wanted, {"_id": 1}) is None and not _was_applied(user_id, command):
        return None
    state = _update(user_id, None, [notification_id], command)
    if len(state["read"]) > COMPACT_BEYOND:
        state = _compact(user_id, groups, state)
    return state


def mark_all_read(user_id: str, groups: Iterable[str], *, command: str | None = None) -> _Raw:
    """Mark as read all that the user can see now; return the new raw state. May switch.

    Args:
        command: id of the command; one that was applied already changes nothing, whatever has come since.
    """
    watermark = _lagging_id()
    query = unread_query(user_id, groups, read_state(user_id))
    bounds = query.setdefault("_id", {})
    bounds["$gt"] = max(bounds.get("$gt", watermark), watermark)
    newer = [found["_id"] for found in notifications().find(query, {"_id": 1})]
    return _update(user_id, watermark, newer, command)


def _compact(user_id: str, groups: Iterable[str], state: _Raw) -> _Raw:
    query = unread_query(user_id, groups, state)
    oldest = notifications().find_one(query, {"_id": 1}, sort=[("_id", 1)])
    limit = _lagging_id()
    foldable = [read for read in state["read"] if read <= limit and (oldest is None or read < oldest["_id"])]
    return _update(user_id, max(foldable), []) if foldable else state


def _was_applied(user_id: str, command: str | None) -> bool:
    return command is not None and command in ((read_state(user_id) or {}).get("commands") or ())


def _update(user_id: str, watermark: ObjectId | None, ids: list[ObjectId], command: str | None = None) -> _Raw:
    """Raise the watermark and add ids, in one atomic step that keeps in `read` only what lies beyond the watermark.

    A command that was applied already makes `rev` larger and nothing else: a majority then has what it did at first.
    """
    stages: list[_Raw] = [
        {"$set": {"read_before": {"$max": ["$read_before", watermark]}}},
        {"$set": {"read": {"$setUnion": [{"$ifNull": ["$read", []]}, {"$literal": ids}]}}},
        {"$set": {"read": {"$filter": {"input": "$read", "cond": {"$gt": ["$$this", "$read_before"]}}}}},
    ]
    if command is not None:
        stages = _unless_applied(command, stages)
    stages.append({"$set": {"rev": {"$add": [{"$ifNull": ["$rev", 0]}, 1]}}})
    states = _states().with_options(write_concern=WriteConcern("majority"))
    found = None
    while found is None:
        try:
            found = states.find_one_and_update(
                {"_id": user_id}, stages, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            continue  # two first updates of one user: the other has inserted, now this one updates
    return found


def _unless_applied(command: str, stages: list[_Raw]) -> list[_Raw]:
    """Return the stages of an update that change nothing where the command was applied already."""
    known, applied = {"$ifNull": ["$commands", []]}, {"$literal": command}
    guarded = [
        {"$set": {name: {"$cond": ["$is_known", f"${name}", new]} for name, new in stage["$set"].items()}}
        for stage in stages
    ]
    kept = {"$slice": [{"$concatArrays": [known, [applied]]}, -KEPT_COMMANDS]}
    return [
        {"$set": {"is_known": {"$in": [applied, known]}}},
        *guarded,
        {"$set": {"commands": {"$cond": ["$is_known", "$commands", kept]}}},
        {"$unset": "is_known"},
    ]


def _lagging_id() -> ObjectId:
    return ObjectId.from_datetime(utc_now() - datetime.timedelta(seconds=WATERMARK_LAG))


def notifications() -> Collection[_Raw]:
    """Return the collection of raw Notifications; read from the primary, which is never behind the feed."""
    return _primary(Notification)


def _states() -> Collection[_Raw]:
    return _primary(NotificationState)


def _primary(document_class: type[Document]) -> Collection[_Raw]:
    collection: Collection[_Raw] = document_class._get_collection()
    return collection.with_options(read_preference=ReadPreference.PRIMARY)
