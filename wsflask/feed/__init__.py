"""The process's stream of document changes."""

from __future__ import annotations

import mongoengine
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from ..config import Settings
from ..errors import ConfigError
from .base import Change, Feed, Gap, HistoryLost, Subscription, Touch

__all__ = ["Change", "Feed", "Gap", "HistoryLost", "Subscription", "Touch", "create_feed"]


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
            raise ConfigError("WSFLASK_FEED is 'redis', which needs a package: pip install 'wsflask[redis]'") from error
        return RedisFeed(settings, secret)
    raise ConfigError(f"there is no feed {settings.feed!r}; write 'auto', 'mongo', 'signals' or 'redis'")


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
