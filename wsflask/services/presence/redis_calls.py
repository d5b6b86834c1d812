"""What presence asks of Redis: entries, leases and the log of what happens to them, which change together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError

__all__ = ["Calls", "Head"]

#: What the scripts that write begin with: the end of the log, which is begun if there is none that does. Its numbers
#: have no hole, and it is called by the time of its first entry: who reads it knows whether he has missed something.
_LOG = """
local born, count
if redis.call('TYPE', KEYS[1]).ok == 'stream' then
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    for at = 1, #info, 2 do
        if info[at] == 'last-generated-id' then born, count = string.match(info[at + 1], '^(%d+)-(%d+)$') end
    end
    born, count = tonumber(born), tonumber(count)
end
local function add(...)
    count = count + 1
    local place = string.format('%.0f-%.0f', born, count)
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], place, ...)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not born or born > now + 60000 or count > 1e15 then
    redis.call('DEL', KEYS[1])
    born, count = now, 0
    add('i', '')
end
local function owner_of(id)
    local kept = redis.call('HGET', KEYS[3], id)
    return kept and string.sub(kept, 17, 28)
end
local function put(id, kept, former, lease)
    if former and former ~= lease then redis.call('SREM', KEYS[4] .. former, id) end
    redis.call('HSET', KEYS[3], id, kept)
    redis.call('SADD', KEYS[4] .. lease, id)
    add('i', id, 'b', kept)
end
local function remove(id, former)
    redis.call('HDEL', KEYS[3], id)
    redis.call('SREM', KEYS[4] .. former, id)
    add('i', id)
end
local function lives(lease)
    return redis.call('HEXISTS', KEYS[2], lease) == 1
end
"""
_HEAD = f"{_LOG} return {{ string.format('%.0f', born), string.format('%.0f', count) }}"
_WRITE = f"""{_LOG}
local lease, at = ARGV[2], 3
if not lives(lease) then return 0 end
local function take()
    at = at + 1
    return ARGV[at - 1]
end
local mine = {{}}
for _ = 1, tonumber(take()) do mine[take()] = true end
local function is_free(former)
    return not former or mine[former] or not lives(former)
end
for _ = 1, tonumber(take()) do
    local id, kept = take(), take()
    put(id, kept, owner_of(id), lease)
end
for _ = 1, tonumber(take()) do
    local id, kept = take(), take()
    local former = owner_of(id)
    if is_free(former) then put(id, kept, former, lease) end
end
while at <= #ARGV do
    local id = take()
    local former = owner_of(id)
    if former and is_free(former) then remove(id, former) end
end
return 1
"""
_SWEEP = f"""{_LOG}
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return 0 end
for _, id in ipairs(redis.call('SPOP', KEYS[4] .. ARGV[2], ARGV[4])) do
    if owner_of(id) == ARGV[2] then remove(id, ARGV[2]) end
end
local rest = redis.call('SCARD', KEYS[4] .. ARGV[2])
if rest == 0 then redis.call('HDEL', KEYS[2], ARGV[2]) end
return rest
"""
_PURGE = f"""{_LOG}
for at = 2, #ARGV do
    local former = owner_of(ARGV[at])
    if former and not lives(former) then remove(ARGV[at], former) end
end
"""
_RENEW = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

#: A name, and how it is kept.
_Kept = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log of one Redis has come."""

    #: Names this run of Redis, if we may know.
    run: str
    #: When the log was begun, and the number of its last entry.
    born: int
    count: int

    def follows(self, earlier: Head) -> bool:
        """Return whether this is the same log later on."""
        return (self.run, self.born) == (earlier.run, earlier.born) and self.count >= earlier.count


class Calls:
    """What is kept under one name. Every call may switch, raises RedisError, and takes a second or two at most.

    Args:
        client: as `connect` makes it.
        name: what the keys begin with.
        log: entries of the log that are kept, about.
    """

    def __init__(self, client: Redis, name: str, log: int) -> None:
        self._client = client
        self._log, self._leases, self._entries, self._of = self._keys = [
            f"{{{name}}}:presence:{part}" for part in ("log", "leases", "entries", "of:")
        ]
        self._most = log
        self._head, self._write, self._sweep, self._purge, self._renew = map(
            client.register_script, (_HEAD, _WRITE, _SWEEP, _PURGE, _RENEW)
        )

    # --- readers

    def head(self) -> Head:
        """Return how far the log has come."""
        born, count = self._ask(self._head)
        return Head(self._run(), int(born), int(count))

    def _run(self) -> str:
        try:
            server: Any = self._client.info("server")
        except NoPermissionError:  # then the log alone has to tell
            return ""
        return str(server.get("run_id", ""))

    def read(self, after: Head, most: int, wait: float) -> list[tuple[int, int, dict[bytes, bytes]]]:
        """Return what stands in the log behind a place: the time it was begun, a number, and the fields of each.

        Args:
            wait: seconds to wait for it; below one.
        """
        place = f"{after.born}-{after.count}"
        reply: Any = self._client.xread({self._log: place}, count=most, block=max(int(wait * 1000), 1))
        found = [entry for _, entries in reply or () for entry in entries]
        return [(*_numbers(place), fields or {}) for place, fields in found]

    def entries(self) -> Iterator[_Kept]:
        """Yield the entries, whoever has written them, in many calls; one may come twice."""
        for name, kept in self._client.hscan_iter(self._entries, count=1000):
            yield name.decode(errors="replace"), kept

    def leases(self) -> dict[str, bytes]:
        """Return the leases, whoever has written them."""
        found: Any = self._client.hgetall(self._leases)
        return {name.decode(errors="replace"): kept for name, kept in found.items()}

    # --- writers

    def write(
        self, lease: str, mine: Sequence[str], taken: Sequence[_Kept], kept: Sequence[_Kept], gone: Sequence[str]
    ) -> bool:
        """Write as the contract says; return whether the lease is there: else nothing was written."""
        lists: list[Any] = [len(mine), *mine]
        for pairs in (taken, kept):
            lists += [len(pairs), *(text for pair in pairs for text in pair)]
        return bool(self._ask(self._write, lease, *lists, *gone))

    def renew(self, lease: str, kept: bytes) -> bool:
        """Replace a lease; return whether it is there."""
        return bool(self._renew(keys=[self._leases], args=[lease, kept]))

    def found(self, lease: str, kept: bytes) -> None:
        """Make a lease."""
        self._client.hset(self._leases, lease, kept)

    def sweep(self, lease: str, seen: bytes, most: int) -> int:
        """Remove some entries of a lease that is still as it was seen, with the last of them itself.

        Returns:
            How many entries it has yet.
        """
        return int(self._ask(self._sweep, lease, seen, most))

    def purge(self, names: Sequence[str]) -> None:
        """Remove those of these entries whose leases are not there."""
        self._ask(self._purge, *names)

    def _ask(self, script: Any, *arguments: Any) -> Any:
        return script(keys=self._keys, args=[self._most, *arguments])


def _numbers(place: bytes) -> tuple[int, int]:
    born, _, count = place.partition(b"-")
    return int(born), int(count)
