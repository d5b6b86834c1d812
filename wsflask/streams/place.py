"""A client's place in a stream, as its handshake tells it."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from ..feed.positions import is_position

__all__ = ["LOST", "PARAMETER", "Place", "epoch_of", "places_in", "query_of"]

#: Name of the parameter in the query of the websocket's URL; one for each stream.
PARAMETER: Final = "resume"
#: Parameters that are read, and bytes of the query that may hold them.
_MOST, _MOST_BYTES = 8, 2048
_STREAM = re.compile(r"[a-z]{1,32}", re.ASCII)
_EPOCH = re.compile(r"[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a client has a stream, and of which epoch the position is."""

    epoch: str
    seq: str


#: A place that is not known any more: no stream has this epoch.
LOST: Final = Place("", "")


@functools.lru_cache(maxsize=4096)
def epoch_of(secret: bytes, stream: str, user_id: str, feed_epoch: str) -> str:
    """Return what binds the positions of a stream to its user and to the database: 12 hex digits."""
    bound = f"{stream}\0{feed_epoch}\0{user_id}".encode("utf-8", "surrogatepass")
    return hmac.new(secret, b"wsflask stream\0" + bound, hashlib.sha256).hexdigest()[:12]


def places_in(query: str) -> dict[str, Place]:
    """Return the places that the query of a handshake names, by stream; what is malformed is `LOST`."""
    if len(query) > _MOST_BYTES or query.count("&") > 4 * _MOST:
        return {} if PARAMETER not in query else _all_lost(query[: 4 * _MOST_BYTES])
    places: dict[str, Place] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        stream, _, rest = value.partition("~")
        if name != PARAMETER or not _STREAM.fullmatch(stream):
            continue
        epoch, _, seq = rest.partition("~")
        is_whole = stream not in places and _EPOCH.fullmatch(epoch) and is_position(seq)
        places[stream] = Place(epoch, seq) if is_whole else LOST
        if len(places) > _MOST:
            return dict.fromkeys(places, LOST)
    return places


def query_of(places: Mapping[str, Place]) -> str:
    """Return the query that names these places, as a client writes it."""
    return "&".join(f"{PARAMETER}={stream}~{place.epoch}~{place.seq}" for stream, place in places.items())


def _all_lost(query: str) -> dict[str, Place]:
    """Return every stream that is named in too long a query, a few at most, without a place."""
    named = (value.partition("~")[0] for name, value in parse_qsl(query) if name == PARAMETER)
    return dict.fromkeys([stream for stream in named if _STREAM.fullmatch(stream)][:_MOST], LOST)
