"""The changes as they lie in Redis: one stream, the lease of who writes it, and the collections that are wanted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any

from bson.codec_options import CodecOptions
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from ..errors import ConfigError, WSFlaskError
from .positions import moment_of
from .redis_frames import Forged, Frame, Seal, namespace_in, text_of, unpack
from .subscription import Namespace

__all__ = ["Deposed", "RedisStream", "Refused", "connect", "line", "place_behind", "place_of"]

#: Seconds without an answer after which Redis counts as away.
_SOCKET = 1.0
#: Milliseconds a lease lasts without being renewed: the relay does so ten times a second.
_LEASE_MS = 1500
#: The same for one just taken: the database has to search for the place to begin at.
_FIRST_MS = 5000
#: Seconds for which a wish for a collection holds.
_WISH = 600
#: Bytes an entry takes in Redis beside its body.
_ENTRY = 150
#: Collections that are followed at most, so that Redis can not ask for ever more.
_MOST_WANTED = 10_000

#: Appends only for the holder of the lease, and only behind the entry that he takes for the last. "new" as that entry
#: forgets all others.
_APPEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if ARGV[3] == 'new' then
    redis.call('DEL', KEYS[2])
else
    local top = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
    if not top[1] or top[1][1] ~= ARGV[3] then return -1 end
end
redis.call('XADD', KEYS[2], ARGV[4], 'b', ARGV[5])
if ARGV[6] ~= '' then redis.call('XDEL', KEYS[2], ARGV[6]) end
if ARGV[7] ~= '' then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[7]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[3])
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_WISH_FOR = """
local now = tonumber(redis.call('TIME')[1])
for _, each in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, each) end
"""
_WISHES = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]))
return redis.call('ZREVRANGE', KEYS[1], 0, ARGV[2])
"""


#: Its id, and its one field; none if it was deleted meanwhile.
Entry = tuple[bytes, dict[bytes, bytes] | None]


class Deposed(WSFlaskError):
    """Another process writes the stream by now, or Redis has forgotten it."""


class Refused(Deposed):
    """Redis does not take the entry: perhaps there is one behind it that is none of ours."""


class RedisStream:
    """Frames by their positions. Every call may switch, raises RedisError, and takes a second or two at most.

    The position that a frame reaches is the id of its entry, so that Redis itself keeps them in order, and any reader
    knows by its position where to go on. Where nothing happened the last frame is replaced by one that reaches further,
    or just as far: then a number in its id shows that somebody goes on writing.

    Args:
        client: as `connect` makes it.
        token: of this process, for the lease.
        most_bytes: of frames that are kept.
    """

    def __init__(
        self, client: Redis, secret: bytes, token: str, options: CodecOptions[Any], most_bytes: int
    ) -> None:
        self._client = client
        self._secret = secret
        self._token = token
        self._options = options
        self._most_bytes = most_bytes
        self._epoch = self._lease = self._stream = self._wishes = ""
        self._seal = Seal(secret, "")
        self._append, self._release, self._wish_for, self._read_wishes = map(
            self._client.register_script, (_APPEND, _RELEASE, _WISH_FOR, _WISHES)
        )
        #: What the relay has written: the last entry, and the sizes of those that tell something.
        self._top = ""
        self._sizes: deque[tuple[str, int]] = deque()
        self._size = 0

    def belong_to(self, epoch: str) -> None:
        """Hold the changes of the database of this epoch; may be called again, for the same or for another."""
        if epoch != self._epoch:
            self._epoch, name = epoch, f"wsflask:{epoch}"
            self._seal = Seal(self._secret, name)
            self._lease, self._stream, self._wishes = (f"{{{name}}}:{part}" for part in ("relay", "changes", "wanted"))

    @property
    def key(self) -> str:
        """Where the changes lie in Redis; "" while it is not known whose they are."""
        return self._stream

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._client.close()

    # --- readers

    def after(self, place: str, *, most: int, wait: int | None) -> list[Entry]:
        """Return the next frames, as they are, behind a place.

        Args:
            wait: milliseconds to wait for one; None: not at all.
        """
        reply: Any = self._client.xread({self._stream: place}, count=most, block=wait)
        return [entry for _, entries in reply or () for entry in entries]

    def last(self) -> Frame | None:
        """Return the last frame, without what it tells; None: there is none.

        Raises:
            Forged: it is none of ours.
        """
        reply: Any = self._client.xrevrange(self._stream, count=1)
        return self.frame(reply[0], frozenset()) if reply else None

    def frame(self, entry: Entry, wanted: frozenset[Namespace]) -> Frame:
        """Return a frame, with what it tells of the wanted collections.

        Raises:
            Forged: it is none of ours.
        """
        place, fields = entry
        label = place.decode()
        body = self._seal.check(label, (fields or {}).get(b"b", b""))
        return unpack(body, label, _position_in(label), self._options, wanted)

    # --- wishes

    def want(self, namespaces: Iterable[Namespace]) -> None:
        """Have the relay follow these collections, for ten minutes."""
        wishes = [self._seal.sign("want", text_of(namespace).encode()) for namespace in namespaces]
        if wishes:
            self._wish_for(keys=[self._wishes], args=wishes)

    def wanted(self) -> tuple[int, frozenset[Namespace]]:
        """Return how many wishes there are, and the collections that our own workers wish for."""
        wishes: Any = self._read_wishes(keys=[self._wishes], args=[_WISH, _MOST_WANTED])
        namespaces = set()
        for wish in wishes:
            try:
                namespaces.add(namespace_in(self._seal.check("want", wish).decode()))
            except Forged:
                continue
        return len(wishes), frozenset(namespaces)

    # --- the relay

    def take_lease(self) -> bool:
        """Become the one who writes, if there is none."""
        return bool(self._client.set(self._lease, self._token, nx=True, px=_FIRST_MS))

    def release(self) -> None:
        """Give up the lease, if we hold it."""
        self._release(keys=[self._lease], args=[self._token])

    def take_up(self, frame: Frame | None) -> None:
        """Go on behind this frame, the last one; None: begin anew, as there is none, or none that counts."""
        self._top = frame.place if frame is not None else "new"
        self._sizes.clear()
        self._size = 0
        if frame is not None:
            try:
                self._size = int(self._client.memory_usage(self._stream) or 0)
            except ResponseError:  # not every Redis tells
                self._size = self._most_bytes // 2
            self._sizes.append((self._top, self._size))

    def append(self, body: bytes, reached: str, *, is_quiet: bool, replaces: bool) -> tuple[str, int]:
        """Add a frame behind the last one, or in its stead; return its place, and how many wishes there are.

        Args:
            is_quiet: whether it tells nothing, and so will be replaced soon.

        Raises:
            Deposed: nothing was added, as the lease is another's, or somebody else has written.
        """
        place = self._next(reached)
        oldest = self._make_room(len(body))
        signed = self._seal.sign(place, body)
        replaced = self._top if replaces else ""
        arguments: list[bytes | str | int] = [self._token, _LEASE_MS, self._top, place, signed, replaced, oldest]
        try:
            wishes: Any = self._append(keys=[self._lease, self._stream, self._wishes], args=arguments)
        except ResponseError as error:
            raise Refused(f"Redis does not take an entry: {line(error)}") from error
        if wishes < 0:
            raise Deposed("another process writes the changes into Redis")
        self._top = place
        if not is_quiet:
            self._sizes.append((place, len(body) + _ENTRY))
            self._size += len(body) + _ENTRY
        return place, int(wishes)

    def _next(self, reached: str) -> str:
        if self._top == "new" or _position_in(self._top) < reached:
            return place_of(reached)
        number, _, beats = self._top.partition("-")
        return f"{number}-{int(beats) + 1}"

    def _make_room(self, more: int) -> str:
        """Return the id of the first entry that may stay; "" if all may."""
        last = ""
        while self._sizes and self._size + more > self._most_bytes:
            last, size = self._sizes.popleft()
            self._size -= size
        return place_behind(_position_in(last)) if last else ""


def connect(url: str) -> Redis:
    """Return a client that gives up soon, and tries nothing twice: who calls knows better when to.

    Raises:
        ConfigError: it is no URL of Redis.
    """
    try:
        return Redis.from_url(
            url,
            socket_timeout=_SOCKET,
            socket_connect_timeout=_SOCKET,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=False,
        )
    except ValueError:  # the driver's sentence may repeat the password
        raise ConfigError("WSFLASK_REDIS_URL is no URL of Redis; write one such as 'redis://10.0.0.5:6379/0'") from None


def line(error: Exception) -> str:
    """Return an error in one line, without the user and password of a URL."""
    text = re.sub(r"://[^/@\s]*@", "://…@", str(error))
    return f"{type(error).__name__}: {text[:200]!r}"


def place_of(position: str) -> str:
    """Return the place of the frame that reaches this position."""
    return f"{int(moment_of(position))}-0"


def place_behind(position: str) -> str:
    """Return a place behind all frames that reach this position, and before all that reach further."""
    return f"{int(moment_of(position))}-{2**64 - 1}"


def _position_in(place: str) -> str:
    return f"{int(place.partition('-')[0]):020d}"
