"""Every `WSFLASK_*` setting, once, with its unit and the reason for its default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import ConfigError

__all__ = ["Settings"]

#: Scheme, host and perhaps a port; no wildcard, no path, no trailing slash: an origin is compared exactly.
_ORIGIN = re.compile(r"https?://[^\s/*?#@]+\Z")
_LABELS = {10: "success", 20: "info", 30: "warning", 40: "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one server; the field `ping_interval` is the setting `WSFLASK_PING_INTERVAL`."""

    # --- the parts
    #: Services: classes, instances or import names ("package.module:Class"), used when none are given in code.
    services: tuple[Any, ...] = ()
    #: Where changes come from: "auto" (a replica set: "mongo", a standalone server: "signals"), "mongo", "signals";
    #: "redis": from MongoDB by way of Redis, so that many workers cost the database no more than one.
    feed: str = "auto"
    #: Redis 6.2 or later, such as "redis://127.0.0.1:6379/0" or "rediss://…": carries changes for the feed "redis",
    #: what is published and not kept, and who is here; None: there is none.
    redis_url: str | None = field(default=None, repr=False)
    #: Bytes of changes kept in Redis, for workers that were slow and clients that come back.
    redis_bytes: int = 64 * 1024 * 1024
    #: Database of the feed; None: the MongoEngine connection of the alias "default".
    mongodb_uri: str | None = None
    #: Seconds that one database call may take, and within which a command is answered: a frozen database must not hang
    #: a request.
    database_timeout: float = 5.0
    #: Changes a service may be behind the feed before it has to load anew.
    feed_backlog: int = 10_000

    # --- the handshake
    #: Allowed values of the Origin header, such as "https://ui.example.com"; None: the request's own host.
    origins: tuple[str, ...] | None = None
    #: Whether a client without an Origin header (not a browser) may use a session cookie.
    allow_missing_origin: bool = False
    #: Open connections a process takes; more get 503. Below the file descriptor limit, with room for files.
    max_connections: int = 16_000
    #: Open connections a user may have in one process; one more is closed 4504.
    connections_per_user: int = 20
    #: Handshakes that the application is busy with at the same time, its hooks and the look at the user: each may query
    #: the database, whose pool has 100 connections by default, and others need some of them. The rest wait for their
    #: turn, before Flask has begun with them, and are dropped when their clients give up.
    handshakes_at_once: int = 50
    #: Clients that services greet at the same time, the others wait for their turn: each greeting may query the
    #: database, whose pool has 100 connections by default. Thousands come at once when a worker was restarted.
    greetings_at_once: int = 100
    #: How connections are kept: "auto" (parked where possible), "parked", "threaded" (a greenlet or thread each).
    transport: str = "auto"
    #: Whether parked clients that offer permessage-deflate get compressed messages: less to transfer, more to compute.
    #: Off: who can put text of his own beside a secret, in one message, learns of the secret by the lengths (CRIME).
    compression: bool = False

    # --- messages in
    #: Largest message a client may send, in bytes of UTF-8; a larger one closes 1009.
    max_message_bytes: int = 64 * 1024
    #: Seconds a message may take from its first byte to its last, so that none is begun and never ended.
    message_timeout: float = 30.0
    #: Deepest nesting of a client's JSON; also bounds recursion.
    max_json_depth: int = 32
    #: Keys in one client's message, all objects together.
    max_json_keys: int = 1000
    #: Longest string in a client's message, in bytes of UTF-8.
    max_json_string: int = 32 * 1024
    #: Messages a second a connection may send, as a long-run rate.
    messages_per_second: float = 20.0
    #: Messages a connection may send at once before the rate counts.
    message_burst: int = 60
    #: Refused messages after which a connection is closed 4508.
    max_bad_messages: int = 20
    #: Messages waiting to be handled on one connection; reading pauses beyond it.
    inbound_queue: int = 64

    # --- messages out
    #: Bytes that may wait for a slow client before it is closed 4001.
    outbox_bytes: int = 1024 * 1024
    #: Seconds the oldest waiting byte may be old before a slow client is closed 4001.
    outbox_seconds: float = 10.0
    #: Seconds of silence after which a client is asked for a sign of life.
    ping_interval: float = 25.0
    #: Seconds a client has to answer before it is closed 4004.
    ping_timeout: float = 10.0

    # --- deploys and sessions
    #: Seconds over which clients spread their reconnects after a goodbye.
    reconnect_spread: float = 5.0
    #: Seconds a process that ends waits for its clients: after 0.4 of them what waits for a slow one is dropped, and
    #: his close frame follows. Less than gunicorn's graceful_timeout.
    drain_timeout: float = 2.0
    #: Seconds between two checks that an open connection's session still holds.
    session_check_interval: float = 30.0
    #: Days an ended session is remembered; at least the life of a session or remember cookie.
    session_memory_days: float = 366.0

    # --- services
    #: Category integer to label, as the wire shows it.
    notification_labels: Mapping[int, str] = field(default_factory=lambda: dict(_LABELS))
    #: Category of a notification that names none.
    notification_default_category: int = 10
    #: Days a notification is kept; None: for ever.
    notification_days: float | None = None
    #: Entries in one user's clipboard.
    clipboard_max_entries: int = 1000
    #: Bytes of JSON in one user's clipboard.
    clipboard_max_bytes: int = 1024 * 1024
    #: Ids in one `clipboard_load`.
    load_max_ids: int = 10_000
    #: Subscriptions to documents a connection may hold.
    subscriptions_per_connection: int = 100
    #: Conditions in one scope.
    scope_max_conditions: int = 20
    #: Values in the list of an `in`; as many as a view has keys in memory for them.
    scope_max_values: int = 1000
    #: Rows a view may hold; a larger one is refused, to be scoped more narrowly.
    view_max_rows: int = 10_000
    #: Rows that all views of a process may hold before it takes no further view; each takes up to 200 bytes.
    view_rows_in_all: int = 2_000_000
    #: Rows that an ordered view may show (`limit`); they are held whole, and half as many behind them.
    view_max_window: int = 1000
    #: Bytes of rows, in all, that are held for a moment after a load: who comes for that view meanwhile costs no query.
    view_held_bytes: int = 32 * 1024 * 1024
    #: Changes of a collection that are remembered, or read from the database's history, for those who come back.
    view_history: int = 10_000
    #: Messages of a stream (notifications, kept publications) that are remembered, and as many again that are read from
    #: the database's history for those who come back; who has missed more is told them part by part, of that many each.
    stream_history: int = 10_000
    #: The same in bytes.
    stream_history_bytes: int = 16 * 1024 * 1024
    #: Seconds of absence after which a client begins anew, however far the database's history reaches.
    stream_reach: float = 86_400.0
    #: Seconds a client that comes back waits for its worker to come to its position: a few milliseconds as a rule.
    stream_patience: float = 5.0
    #: Views that are loaded at one time; the others wait for their turn, so that a storm leaves the database some air.
    loads_at_once: int = 8
    #: Seconds a view that nobody watches is kept for those who come back.
    view_linger: float = 60.0
    #: Views that nobody watches, in one process; the longest unwatched goes first, for each holds the ids of its rows.
    views_lingering: int = 200
    #: Whether the response to a signed-in user's POST and the like names a position behind what it wrote, so that the
    #: page can wait until its views have come there: one `ping` of the primary, 0.3 ms. Off where no page asks for it.
    position_header: bool = True
    #: Seconds an applied command's id is remembered: clients repeat one for 30 s, or when a laptop wakes up.
    command_seconds: float = 86_400.0
    #: Bytes of JSON in the answer to a command, which is kept for those who repeat it.
    command_answer_bytes: int = 16 * 1024
    #: Rooms that a connection may be in, for who is present there.
    presence_rooms: int = 20
    #: Bytes of JSON that a tab may show in a room, and as many of its user.
    presence_meta_bytes: int = 1024
    #: Members in one message of presence: of a list, which has further pages, or of those who come and go.
    presence_page: int = 100
    #: Seconds between two messages that tell a room who came and went: what happens meanwhile is told in one.
    presence_batch: float = 0.05
    #: Seconds a published message is kept in the database for workers to pick up.
    publication_seconds: float = 3600.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Return the settings of a Flask configuration.

        Raises:
            ConfigError: a `WSFLASK_*` key that does not exist, or a value of the wrong kind.
        """
        known = {f"WSFLASK_{f.name.upper()}": f.name for f in fields(cls)}
        given = {key: value for key, value in config.items() if key.startswith("WSFLASK_")}
        foreign = sorted(key for key in given if key not in known and not key.startswith("WSFLASK_DEMO_"))
        if foreign:
            raise ConfigError(f"unknown setting {foreign[0]}; docs/settings.md lists all there are")
        values = {known[key]: value for key, value in given.items() if key in known}
        for name in ("services", "origins"):
            if isinstance(values.get(name), list):
                values[name] = tuple(values[name])
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        self._check_feed()
        if self.transport not in ("auto", "parked", "threaded"):
            raise ConfigError(f"WSFLASK_TRANSPORT is {self.transport!r}; write 'auto', 'parked' or 'threaded'")
        for name in ("services", "origins"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, list | tuple):
                raise ConfigError(f"WSFLASK_{name.upper()} is {value!r}; write a list")
        for origin in self.origins or ():
            if not isinstance(origin, str) or not _ORIGIN.match(origin):
                raise ConfigError(f"WSFLASK_ORIGINS has {origin!r}; write origins such as 'https://ui.example.com'")
        if self.notification_default_category not in self.notification_labels:
            raise ConfigError("WSFLASK_NOTIFICATION_DEFAULT_CATEGORY has no label in WSFLASK_NOTIFICATION_LABELS")
        for name in ("compression", "allow_missing_origin", "position_header"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"WSFLASK_{name.upper()} is {getattr(self, name)!r}; write True or False")
        for name in (f.name for f in fields(self) if f.type in ("int", "float")):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigError(f"WSFLASK_{name.upper()} is {value!r}; it has to be a finite number above 0")

    def _check_feed(self) -> None:
        if self.feed not in ("auto", "mongo", "signals", "redis"):
            raise ConfigError(f"WSFLASK_FEED is {self.feed!r}; write 'auto', 'mongo', 'signals' or 'redis'")
        if self.redis_url is not None and not str(self.redis_url).startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError("WSFLASK_REDIS_URL is no URL of Redis; write one such as 'redis://127.0.0.1:6379/0'")
        if self.feed == "redis" and self.redis_url is None:
            raise ConfigError("WSFLASK_FEED is 'redis'; say where it is with WSFLASK_REDIS_URL")
