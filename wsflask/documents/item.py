"""A notification as clients get it, made from the raw document."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from .fields import as_utc

__all__ = ["category_of", "label_of", "notification_item"]


def category_of(raw: Mapping[str, Any], default: int) -> int:
    """Return the document's category, the default if it holds none."""
    category = raw.get("category")
    return category if isinstance(category, int) else default


def label_of(category: int, labels: Mapping[int, str]) -> str:
    """Return the label of a category integer; one without a label is its number."""
    return labels.get(category) or str(category)


def notification_item(
    raw: Mapping[str, Any], *, labels: Mapping[int, str], default_category: int, is_read: bool
) -> dict[str, Any]:
    """Return the item of a raw Notification, keys in alphabetical order; times are UTC in whole seconds, no suffix."""
    category = category_of(raw, default_category)
    changed, created = _seconds(raw.get("changed_dt")), _seconds(raw.get("created_dt"))
    identity, message = str(raw["_id"]), raw.get("message") or ""
    return {
        "category": label_of(category, labels),
        "data": {
            "_cls": raw.get("_cls", "Notification"),
            "_id": identity,
            "actions": raw.get("actions") or [],
            "category": category,
            "changed_dt": changed,
            "created_dt": created,
            "message": message,
        },
        "id": identity,
        "is_read": is_read,
        "label": message,
        "metainfo": {
            "changedDatetime": changed,
            "changedUser": raw.get("changed_user"),
            "createdDatetime": created,
            "createdUser": raw.get("created_user"),
        },
    }


def _seconds(moment: Any) -> str | None:
    if not isinstance(moment, datetime.datetime):
        return None
    return as_utc(moment).strftime("%Y-%m-%dT%H:%M:%S")
