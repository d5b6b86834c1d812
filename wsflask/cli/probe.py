"""What `wsflask doctor` wants to know of an application: asked inside the application's own process."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from werkzeug.utils import import_string

from ..tasks import is_patched
from .databases import reason

__all__ = ["describe", "describe_client", "describe_database", "describe_redis"]

_OPLOG = "oplogNetworkTimeoutBufferSeconds"


def describe(target: str) -> dict[str, Any]:
    """Import the application `target` and return what can be said of it."""
    app = import_string(target)
    key = app.config.get("SECRET_KEY") or b""
    server = app.extensions.get("wsflask")
    return {
        "is_patched": is_patched(),
        "key_length": len(key),
        "key_digest": hashlib.sha256(key if isinstance(key, bytes) else str(key).encode()).hexdigest(),
        "has_login": hasattr(app, "login_manager"),
        "has_wsflask": server is not None,
        "max_connections": getattr(getattr(server, "settings", None), "max_connections", None),
        "feed": getattr(getattr(server, "settings", None), "feed", "auto"),
    }


def describe_database(target: str) -> dict[str, Any]:
    """Import the application `target` and return what can be said of its MongoEngine connection."""
    from mongoengine.connection import ConnectionFailure, get_connection

    app = import_string(target)
    server = app.extensions.get("wsflask")
    uri = getattr(getattr(server, "settings", None), "mongodb_uri", None)
    try:
        client: MongoClient[Any] = MongoClient(uri) if uri else get_connection()
    except (ConnectionFailure, PyMongoError) as error:
        return {"error": reason(error)}
    return describe_client(client)


def describe_redis(target: str) -> dict[str, Any]:
    """Import the application `target` and return what can be said of its Redis; nothing when it names none."""
    server = import_string(target).extensions.get("wsflask")
    url = getattr(getattr(server, "settings", None), "redis_url", None)
    if not url:
        return {}
    from redis.exceptions import RedisError

    from ..feed.redis_stream import connect, line

    try:
        with connect(url) as client:
            began = time.monotonic()
            client.ping()
            taken = time.monotonic() - began
            found: Any = client.info()
    except (RedisError, OSError) as error:
        return {"error": f"it cannot be reached: {line(error)}"}
    return {
        "feed": server.settings.feed,
        "version": found.get("redis_version", ""),
        "policy": found.get("maxmemory_policy", ""),
        "limit": found.get("maxmemory", 0),
        "most": server.settings.redis_bytes,
        "milliseconds": taken * 1000,
    }


def describe_client(client: MongoClient[Any]) -> dict[str, Any]:
    """Return what can be said of the server behind a client; `error` when it does not answer."""
    try:
        hello = client.admin.command("hello")
        found = {
            "address": ", ".join(hello.get("hosts") or [f"{host}:{port}" for host, port in client.nodes]),
            "replica_set": hello.get("setName"),
            "is_sharded": hello.get("msg") == "isdbgrid",
            "has_primary": bool(client.primary) or bool(hello.get("isWritablePrimary")),
            "version": client.server_info()["version"],
            "write_concern": dict(client.write_concern.document),
        }
    except PyMongoError as error:
        return {"error": reason(error)}
    if len(hello.get("hosts") or ()) > 1:
        found["failover"] = _failover(client)
    if not found["write_concern"] and found["replica_set"]:
        found["write_concern"] = _default_write_concern(client)
    return found


def _failover(client: MongoClient[Any]) -> dict[str, float]:
    """Return how long members and client wait for one that does not answer, in seconds, as far as one may know."""
    pool, heartbeat = client.options.pool_options, client._topology_settings.heartbeat_frequency
    found = {"client": heartbeat + (pool.connect_timeout or math.inf)}
    with contextlib.suppress(PyMongoError):
        settings = client.admin.command("replSetGetConfig")["config"].get("settings", {})
        wait = settings.get("catchUpTimeoutMillis", -1)
        found["catch_up"] = wait / 1000 if wait >= 0 else math.inf
    with contextlib.suppress(PyMongoError):
        found["oplog"] = client.admin.command({"getParameter": 1, _OPLOG: 1})[_OPLOG]
    return found


def _default_write_concern(client: MongoClient[Any]) -> dict[str, Any]:
    try:
        default = client.admin.command("getDefaultRWConcern").get("defaultWriteConcern", {})
    except PyMongoError:  # an account without the right to ask
        return {}
    return {key: default[key] for key in ("w", "j") if key in default}
