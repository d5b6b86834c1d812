"""Entries and leases as they lie in Redis: under our signature, each for one place."""

from __future__ import annotations

import json
import re
from typing import Any

from ...encoding import dumps
from ...feed.redis_frames import Forged, Seal
from .leases import Beat
from .store import Entry, Key

__all__ = ["Frames", "id_of", "key_in", "owner_of"]

#: Where the lease stands in an entry: behind the signature, so that a script finds it.
_OWNER = slice(16, 28)
_LEASE = re.compile(rb"[0-9a-f]{12}\Z")


class Frames:
    """Texts that our workers write, and read only of one another."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def pack(self, entry: Entry) -> bytes:
        """Return an entry as it is kept."""
        body = f"{entry.process}{entry.about}\0{entry.meta}"  # no JSON holds a NUL
        return self._seal.sign(_label(id_of(entry.key)), body.encode())

    def unpack(self, identity: str, kept: bytes) -> Entry:
        """Return the entry.

        Raises:
            Forged: none of our workers has written it, or it was for another tab.
        """
        key, body = key_in(identity), self._seal.check(_label(identity), kept)
        if key is None:
            raise Forged("it names no tab")
        about, _, meta = body[12:].decode().partition("\0")
        return Entry(key, body[:12].decode(), about, meta)

    def pack_beat(self, lease: str, number: int, patience: float) -> bytes:
        """Return a lease as it is kept: another text for each number."""
        return self._seal.sign(f"lease {lease}", dumps([number, patience]))

    def unpack_beat(self, lease: str, kept: bytes, patience: float) -> Beat:
        """Return the lease; one that none of our workers has written has the patience that is given."""
        number = int.from_bytes(kept[: _OWNER.start])
        try:
            return Beat(number, json.loads(self._seal.check(f"lease {lease}", kept))[1])
        except Forged:
            return Beat(number, patience)


def owner_of(kept: bytes) -> str:
    """Return the lease under which an entry stands, whoever has written it; "" if it names none."""
    owner = kept[_OWNER]
    return owner.decode() if _LEASE.match(owner) else ""


def id_of(key: Key) -> str:
    """Return the name of an entry in Redis."""
    room, user, tab = key
    return f"{room}\n{tab}\n{user}"


def key_in(identity: Any) -> Key | None:
    """Return the key of an entry's name; None: it is none of ours."""
    parts = identity.split("\n", 2) if isinstance(identity, str) else ()
    return (parts[0], parts[2], parts[1]) if len(parts) == 3 else None


def _label(identity: str) -> str:
    return f"entry {identity}"
