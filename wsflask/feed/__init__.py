"""The process's stream of document changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mongoengine
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from ..config import Settings
from ..errors import ConfigError
from .base import Change, Feed, Gap, HistoryCut, HistoryLost, Subscription, Touch

if TYPE_CHECKING:
    from .bus import Bus

__all__ = [
    "Change", "Feed", "Gap", "HistoryCut", "HistoryLost", "Subscription", "Touch", "create_bus", "create_feed",
]  # fmt: skip

_LACKING = "which needs a package: pip install 'wsflask[redis]'"


def create_feed(settings: Settings, secret: bytes = b"") -> Feed:
    """Return the feed that the setting `WSFLASK_FEED` names; "auto" asks the database what it is. May switch.

    A database that does not answer is taken for a replica set: that feed waits for it.

    Args:
        secret: of the server; what goes through Redis is signed with it.

    Raises:
        ConfigError: there is no such feed, or it needs what is not there.
    """
    kind = settings.feed
    if kind == "auto":
        kind = "signals" if _is_standalone(settings) else "mongo"
    if kind == "mongo":
        from .mongo import MongoFeed

        return MongoFeed(settings)
    if kind == "signals":
        from .signals import SignalFeed

        return SignalFeed(settings)
    if kind == "redis":
        try:
            from .redis import RedisFeed
        except ModuleNotFoundError as error:
            raise ConfigError(f"WSFLASK_FEED is 'redis', {_LACKING}") from error
        return RedisFeed(settings, secret)
    raise ConfigError(f"there is no feed {settings.feed!r}; write 'auto', 'mongo', 'signals' or 'redis'")


def create_bus(settings: Settings, secret: bytes, heard: Callable[[dict[str, Any]], None]) -> Bus | None:
    """Return what carries messages that are not kept past the database; None: they go through it.

    Args:
        heard: called with each message, one at a time.

    Raises:
        ConfigError: the package or the URL does not do.
    """
    if settings.redis_url is None:
        return None
    try:
        from .bus import Bus
    except ModuleNotFoundError as error:
        raise ConfigError(f"WSFLASK_REDIS_URL is set, {_LACKING}") from error
    return Bus(settings.redis_url, secret, heard)


def _is_standalone(settings: Settings) -> bool:
    timeout = int(settings.database_timeout * 1000)
    if settings.mongodb_uri is not None:
        client: MongoClient[dict[str, object]] = MongoClient(settings.mongodb_uri, serverSelectionTimeoutMS=timeout)
    else:
        client = mongoengine.get_connection()._duplicate(serverSelectionTimeoutMS=timeout, maxPoolSize=1)
    with client:
        try:
            hello = client.admin.command("hello")
        except PyMongoError:
            return False
    return "setName" not in hello and hello.get("msg") != "isdbgrid"
