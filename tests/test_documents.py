"""The documents: what they refuse, what they keep, how they are read."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from bson import ObjectId
from mongoengine import ValidationError
from pymongo import ReadPreference

from tests.harness import Database
from wsflask.documents import (
    EndedSession,
    Notification,
    NotificationState,
    Publication,
    addressed_to,
    is_read,
    mark_all_read,
    mark_read,
    notification_item,
    read_state,
    reading,
    unread_count,
    unread_query,
)

LABELS = {10: "success", 40: "error"}
#: A clock that is an hour slow, or a commit that comes late.
OLD = ObjectId.from_datetime(datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1))


def raw_of(notification: Notification) -> dict[str, Any]:
    found: dict[str, Any] = Notification._get_collection().find_one({"_id": notification.id})
    return found


def stages_of(plan: Any) -> set[str]:
    if isinstance(plan, dict):
        own = {plan["stage"]} if isinstance(plan.get("stage"), str) else set()
        return own.union(*(stages_of(value) for value in plan.values()))
    if isinstance(plan, list):
        return set().union(*(stages_of(value) for value in plan))
    return set()


def test_the_item_of_a_raw_notification_is_the_one_of_the_older_system() -> None:
    moment = datetime.datetime(2016, 12, 21, 14, 50, 42, 999000)  # noqa: DTZ001 - as PyMongo gives it
    raw = {
        "_id": ObjectId("585a88b208b199f61004d968"),
        "_cls": "Notification",
        "message": "Hello, World!",
        "category": 10,
        "actions": [],
        "created_dt": moment,
        "changed_dt": moment.replace(tzinfo=datetime.UTC),
        "everyone": True,
        "users": ["ada"],
        "groups": [],
    }

    item = notification_item(raw, labels=LABELS, default_category=10, is_read=False)

    assert json.dumps(item, separators=(",", ":")) == (
        '{"category":"success","data":{"_cls":"Notification","_id":"585a88b208b199f61004d968","actions":[],'
        '"category":10,"changed_dt":"2016-12-21T14:50:42","created_dt":"2016-12-21T14:50:42",'
        '"message":"Hello, World!"},"id":"585a88b208b199f61004d968","is_read":false,"label":"Hello, World!",'
        '"metainfo":{"changedDatetime":"2016-12-21T14:50:42","changedUser":null,'
        '"createdDatetime":"2016-12-21T14:50:42","createdUser":null}}'
    )


def test_an_item_shows_who_wrote_it_and_a_number_for_a_category_without_label() -> None:
    raw = {"_id": OLD, "_cls": "Notification", "category": 77, "created_user": "ada", "changed_user": "bob"}

    item = notification_item(raw, labels=LABELS, default_category=10, is_read=True)

    assert (item["category"], item["data"]["category"], item["is_read"]) == ("77", 77, True)
    assert item["metainfo"]["createdUser"] == "ada"
    assert item["metainfo"]["changedUser"] == "bob"
    assert item["data"]["created_dt"] is None


def test_a_notification_is_stored_with_its_class_name(database: Database) -> None:
    notification = Notification(message="Hello", everyone=True).save()

    raw = raw_of(notification)

    assert raw["_cls"] == "Notification"
    assert (raw["category"], raw["everyone"], raw["message"]) == (10, True, "Hello")


def test_times_are_set_by_saving_and_are_aware(database: Database) -> None:
    notification = Notification(message="Hello", users=["ada"]).save()
    created = notification.created_dt

    notification.message = "Hello again"
    notification.save()
    loaded = Notification.objects.get(id=notification.id)

    assert created.tzinfo is datetime.UTC
    assert loaded.created_dt == created
    assert loaded.changed_dt >= created
    assert loaded.created_dt.utcoffset() == datetime.timedelta(0)


def test_times_given_at_the_first_save_are_kept(database: Database) -> None:
    moment = datetime.datetime(2016, 12, 21, 14, 50, 42, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))

    notification = Notification(message="Hello", everyone=True, created_dt=moment).save()

    assert notification.created_dt == notification.changed_dt == moment
    assert notification.created_dt.hour == 13


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "to nobody"},
        {"message": "a text", "everyone": True, "category": "10"},
        {"message": "a truth", "everyone": True, "category": True},
        {"message": "a fraction", "everyone": True, "category": 1.0},
        {"message": "below", "everyone": True, "category": -1},
        {"message": "above", "everyone": True, "category": 2**31},
        {"message": "", "everyone": True},
        {"message": "x" * 10_001, "everyone": True},
        {"everyone": True},
        {"message": "not a list of dicts", "everyone": True, "actions": ["open"]},
        {"message": "a number", "users": [1]},
    ],
    ids=lambda fields: str(fields.get("message"))[:20],
)
def test_a_notification_that_cannot_be_shown_is_refused(database: Database, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Notification(**fields).save()

    assert Notification.objects.count() == 0


def test_the_queries_of_a_user_use_indexes(database: Database) -> None:
    for number in range(200):
        Notification(message="x", users=[f"user{number}"]).save()
        Notification(message="x", groups=[f"group{number}"]).save()
    state = {"read_before": OLD, "read": [ObjectId() for _ in range(50)]}
    collection = Notification._get_collection()

    for query in (addressed_to("user7", ["group7", "group8"]), unread_query("user7", {"group7"}, state)):
        for cursor in (collection.find(query), collection.find(query).sort("_id", -1).limit(20)):
            plan = cursor.explain()
            assert "COLLSCAN" not in stages_of(plan["queryPlanner"]["winningPlan"])
            assert plan["executionStats"]["totalDocsExamined"] <= 3


def test_a_notification_is_unread_by_those_it_goes_to(database: Database) -> None:
    Notification(message="all", everyone=True).save()
    Notification(message="ada", users=["ada", "eve"]).save()
    Notification(message="desk", groups=["desk"]).save()

    counts = unread_count("ada"), unread_count("bob"), unread_count("bob", {"desk"}), unread_count("eve", {"desk", "x"})

    assert counts == (2, 1, 2, 3)


def test_one_notification_is_marked_as_read_for_one_user(database: Database) -> None:
    notification = Notification(message="all", everyone=True).save()

    state = mark_read("ada", (), notification.id)

    assert state is not None
    assert is_read(notification.id, state)
    assert (unread_count("ada"), unread_count("bob")) == (0, 1)
    assert state["rev"] == 1


def test_what_is_not_for_the_user_cannot_be_marked(database: Database) -> None:
    notification = Notification(message="ada", users=["ada"]).save()

    assert mark_read("bob", {"desk"}, notification.id) is None
    assert mark_read("bob", {"desk"}, ObjectId()) is None
    assert read_state("bob") is None


def test_marking_all_leaves_a_late_commit_unread(database: Database) -> None:
    for _ in range(3):
        Notification(message="now", everyone=True).save()
    Notification(id=OLD, message="old", everyone=True).save()
    mark_all_read("ada", ())
    just_now = ObjectId.from_datetime(datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=30))

    Notification(id=just_now, message="committed late", everyone=True).save()

    assert unread_count("ada") == 1


def test_marking_all_moves_the_watermark_past_what_is_old(database: Database) -> None:
    Notification(id=OLD, message="old", everyone=True).save()
    new = Notification(message="new", everyone=True).save()

    state = mark_all_read("ada", ())

    assert state["read_before"] > OLD
    assert state["read"] == [new.id]
    assert unread_count("ada") == 0


def test_the_watermark_never_goes_back(database: Database) -> None:
    ahead = ObjectId.from_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1))
    NotificationState(user="ada", read_before=ahead, rev=7).save()

    state = mark_all_read("ada", ())

    assert (state["read_before"], state["rev"]) == (ahead, 8)


def test_a_long_list_of_read_ids_is_folded_into_the_watermark(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "COMPACT_BEYOND", 5)
    ids = [ObjectId.from_datetime(OLD.generation_time + datetime.timedelta(seconds=n)) for n in range(20)]
    for identity in ids:
        Notification(id=identity, message="old", everyone=True).save()

    for identity in ids[:8] + ids[9:]:
        state = mark_read("ada", (), identity)
        assert state is not None
        assert unread_count("ada") == 20 - sum(is_read(each, state) for each in ids)

    assert state is not None
    assert state["read_before"] == ids[7]
    assert len(state["read"]) == 11
    assert unread_count("ada") == 1


def test_what_is_kept_for_a_while_expires(database: Database) -> None:
    publication = Publication(channel="news", payload="{}", everyone=True).save()
    ended = EndedSession(session="abc", user="ada").save()

    indexes = [document._get_collection().index_information() for document in (Publication, EndedSession)]

    assert all(any(index.get("expireAfterSeconds") == 0 for index in each.values()) for each in indexes)
    assert publication.expires_dt - publication.created_dt >= datetime.timedelta(hours=1)
    assert ended.expires_dt - ended.ended_dt >= datetime.timedelta(days=366)


def test_an_ended_session_is_known_by_its_id(database: Database) -> None:
    EndedSession.end("abc", "ada", days=2)
    EndedSession.end("abc", "ada", days=2)

    assert EndedSession.is_ended("abc")
    assert not EndedSession.is_ended("def")
    assert EndedSession.ended_among({"abc", "def"}) == {"abc"}
    assert EndedSession.ended_among(()) == set()


def test_whether_a_session_has_ended_is_asked_of_the_primary(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    EndedSession.end("abc", "ada", days=2)
    elsewhere = EndedSession._get_collection().with_options(read_preference=ReadPreference.SECONDARY)
    monkeypatch.setattr(EndedSession, "_get_collection", lambda: elsewhere)

    assert EndedSession.is_ended("abc")
    assert EndedSession.last_end("abc") > 0
