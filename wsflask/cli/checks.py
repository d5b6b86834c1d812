"""The checks of `wsflask doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import mongoengine

from ..config import Settings
from ..errors import ConfigError
from . import probe
from .databases import connect
from .web import check_gunicorn, file_limit
from .worker import call_in_worker

__all__ = ["Finding", "check_app", "check_database", "check_file_limit", "check_redis", "check_server"]

#: Characters below which a SECRET_KEY can be guessed.
_KEY_LENGTH = 16
#: First version of Redis with all that is used: trimming by id.
_REDIS = (6, 2)
#: Files a process opens beside its connections.
_OTHER_FILES = 200


#: Seconds that the client, a new primary and the other members may wait for a member that does not answer.
_WAITS = {"client": 10.0, "catch_up": 5.0, "oplog": 3.0}


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str


def check_server() -> Finding:
    """Check that gunicorn's gevent worker can start."""
    try:
        return Finding("ok", "worker class", f"gunicorn {check_gunicorn()} with gevent")
    except ConfigError as error:
        return Finding("fail", "worker class", str(error))


def check_file_limit() -> Finding:
    """Check that a process may open as many files as it may have connections."""
    subject, limit = "open files", file_limit()
    wanted = Settings().max_connections + _OTHER_FILES
    if limit is None or limit >= wanted:
        return Finding("ok", subject, f"{limit or 'any number'} a process")
    advice = f"allow {wanted} (systemd: LimitNOFILE=65536), or lower WSFLASK_MAX_CONNECTIONS"
    return Finding("warn", subject, f"{limit} a process, fewer than the connections it takes; {advice}")


def check_app(target: str) -> Iterator[Finding]:
    """Import the application as two workers do, and check what it is."""
    try:
        worker = call_in_worker(target, probe.__name__, "describe").value
        plain = call_in_worker(target, probe.__name__, "describe", is_patched=False)
    except ConfigError as error:
        yield Finding("fail", "application", f"{target} cannot be imported: {error}")
        return
    yield _registered(target, worker)
    yield _patched(worker, plain.value, is_late=bool(plain.late_patches))
    yield _secret_key(worker, plain.value)


def _registered(target: str, worker: dict[str, Any]) -> Finding:
    if not worker["has_wsflask"]:
        advice = "app.register_blueprint(server.blueprint)"
        return Finding("fail", "application", f"{target} has no WebSocketServer; register it: {advice}")
    if not worker["has_login"]:
        return Finding("fail", "application", f"{target} has no Flask-Login; add LoginManager(app)")
    return Finding("ok", "application", f"{target} has a WebSocketServer and Flask-Login")


def _patched(worker: dict[str, Any], plain: dict[str, Any], *, is_late: bool) -> Finding:
    advice = "make `from gevent import monkey; monkey.patch_all()` the first line of the module"
    if not worker["is_patched"]:
        return Finding("fail", "gevent", f"the application undoes the patch; {advice}")
    if is_late:
        return Finding("warn", "gevent", f"the module patches after other imports; {advice}")
    if not plain["is_patched"]:
        return Finding("ok", "gevent", f"patched by gunicorn's worker; before you use --preload, {advice}")
    return Finding("ok", "gevent", "patched by the application itself")


def _secret_key(worker: dict[str, Any], other: dict[str, Any]) -> Finding:
    advice = "set it to one random text: python -c 'import secrets; print(secrets.token_hex(32))'"
    if not worker["key_length"]:
        return Finding("fail", "SECRET_KEY", f"not set; {advice}")
    if worker["key_digest"] != other["key_digest"]:
        return Finding("fail", "SECRET_KEY", f"another one at each start, so workers do not share sessions; {advice}")
    if worker["key_length"] < _KEY_LENGTH:
        return Finding("warn", "SECRET_KEY", f"shorter than {_KEY_LENGTH} characters; {advice}")
    return Finding("ok", "SECRET_KEY", "set, and the same in every process")


def check_database(target: str | None, uri: str | None) -> Iterator[Finding]:
    """Check the database: the application's own, else the one at `uri`."""
    found = _described(target, uri)
    if "error" in found:
        yield Finding("fail", "database", found["error"])
        return
    yield Finding("ok", "database", f"MongoDB {found['version']} answers at {found['address']}")
    yield _replica_set(found)
    yield _write_concern(found)
    yield from _failover(found.get("failover"))


def _described(target: str | None, uri: str | None) -> dict[str, Any]:
    try:
        if target is not None:
            found: dict[str, Any] = call_in_worker(target, probe.__name__, "describe_database").value
            return found
        if uri is None:
            return {"error": "none is known; name an application, or set WSFLASK_MONGODB_URI"}
        return probe.describe_client(connect(uri))
    except ConfigError as error:
        return {"error": str(error)}
    finally:
        mongoengine.disconnect_all()


def _replica_set(found: dict[str, Any]) -> Finding:
    subject = "change streams"
    if found["is_sharded"]:
        return Finding("ok", subject, "a sharded cluster")
    if not found["replica_set"]:
        advice = "start mongod with --replSet rs0, then run rs.initiate() once in mongosh"
        return Finding("warn", subject, f"a standalone server has none: one process, no resume; {advice}")
    if not found["has_primary"]:
        return Finding("fail", subject, f"replica set {found['replica_set']} has no primary; look at rs.status()")
    return Finding("ok", subject, f"replica set {found['replica_set']} with a primary")


def _failover(waits: dict[str, float] | None) -> Iterator[Finding]:
    """Look whether a primary that is frozen is left soon; a single member has no successor."""
    if waits is None:
        return
    advice = {
        "client": "add connectTimeoutMS=5000&heartbeatFrequencyMS=2000 to the URI",
        "catch_up": "set the set's settings.catchUpTimeoutMillis to 1000",
        "oplog": "set oplogNetworkTimeoutBufferSeconds of each mongod to 2",
    }
    wanted = [text for name, text in advice.items() if waits.get(name, 0.0) > _WAITS[name]]
    subject = "failover"
    if wanted:
        yield Finding("warn", subject, f"a frozen primary stops writes for 17 s or longer; {', '.join(wanted)}")
    else:
        yield Finding("ok", subject, "a frozen primary is left soon")


def check_redis(target: str) -> Iterator[Finding]:
    """Check the application's Redis, if it names one."""
    subject = "redis"
    try:
        found: dict[str, Any] = call_in_worker(target, probe.__name__, "describe_redis").value
    except ConfigError as error:
        yield Finding("fail", subject, str(error))
        return
    if found:
        yield from _redis(found)


def _redis(found: dict[str, Any]) -> Iterator[Finding]:
    subject = "redis"
    if "error" in found:
        yield Finding("fail", subject, found["error"])
        return
    if tuple(int(part) for part in found["version"].split(".")[:2]) < _REDIS:
        yield Finding("fail", subject, f"Redis {found['version']}; 6.2 or later is needed")
        return
    yield Finding("ok", subject, f"Redis {found['version']} answers in {found['milliseconds']:.1f} ms")
    policy, limit, most = found["policy"], found["limit"], found["most"]
    if policy.startswith("allkeys"):
        yield Finding("warn", subject, f"{policy} may evict the changes; set maxmemory-policy noeviction")
    if 0 < limit < 2 * most:
        yield Finding("warn", subject, f"maxmemory is {limit:,} bytes, less than twice WSFLASK_REDIS_BYTES ({most:,})")
    if found["feed"] != "redis":
        yield Finding("ok", subject, "carries what is not kept, and presence; for changes, set WSFLASK_FEED to 'redis'")


def _write_concern(found: dict[str, Any]) -> Finding:
    concern = found["write_concern"]
    shown = ", ".join(f"{key}: {value}" for key, value in concern.items()) or "the server's default"
    subject = "write concern"
    if concern.get("w") == 0:
        return Finding("fail", subject, f"{shown}: failed writes go unnoticed; remove w=0 from the URI")
    if found["replica_set"] and concern.get("w") == 1 and not concern.get("j"):
        return Finding("warn", subject, f"{shown}: changes arrive up to 100 ms later; use w=majority (the default)")
    return Finding("ok", subject, shown)
