"""What Redis holds: all that happened between two positions, and a signature."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import bson
from bson.codec_options import CodecOptions

from ..errors import WSFlaskError
from .changes import Change, Gap, Late
from .positions import moment_of
from .subscription import Namespace

__all__ = ["Forged", "Frame", "Seal", "bounded", "namespace_in", "pack", "text_of", "unpack"]

#: Bytes of a document from which on it does not go through Redis: each worker that needs it looks it up.
_LARGE = 256 * 1024
#: Bytes of all documents of a frame from which on the others are left to be looked up too.
_FULL = 4 * 1024 * 1024
#: Bytes of a document from which on it is decoded only when somebody asks for it.
_LATE = 1500
#: Changes of one frame; more of them are a gap. No subscription holds as many by default.
_MOST = 50_000
#: Bytes of a signature: enough for HMAC, and SHA-256 is cut safely.
_SIGNATURE = 16


class Forged(WSFlaskError):
    """Redis holds what none of our workers has written."""


@dataclass(frozen=True, slots=True)
class Frame:
    """All that happened to some collections after the moment `since`, up to the moment `reached`."""

    #: The id of its entry.
    place: str
    since: str
    reached: str
    covered: frozenset[Namespace]
    told: list[tuple[Namespace, Change | Gap]]
    #: Which of `told` are changes whose documents have to be looked up.
    left_out: list[int]


class Seal:
    """Signs what goes through Redis: nobody else can write there what we would read.

    Args:
        secret: that of the server.
        name: of the place in Redis; what is signed for one place counts at no other.
    """

    def __init__(self, secret: bytes, name: str) -> None:
        self._key = hmac.digest(secret, b"wsflask redis\0" + name.encode(), "sha256")

    def sign(self, label: str, body: bytes) -> bytes:
        """Return the body with its signature in front."""
        return self._signature(label, body) + body

    def check(self, label: str, signed: bytes) -> bytes:
        """Return the body.

        Raises:
            Forged: we did not sign it under this label.
        """
        body = signed[_SIGNATURE:]
        if not hmac.compare_digest(signed[:_SIGNATURE], self._signature(label, body)):
            raise Forged("the signature does not fit")
        return body

    def _signature(self, label: str, body: bytes) -> bytes:
        return hmac.digest(self._key, label.encode() + b"\0" + body, "sha256")[:_SIGNATURE]


def pack(
    since: str, covered: Iterable[Namespace], told: Sequence[tuple[Namespace, Change | Gap]], options: CodecOptions[Any]
) -> bytes:
    """Return the body of a frame."""
    names = sorted(covered)
    number_of = {namespace: number for number, namespace in enumerate(names)}
    entries: list[list[Any]] = []
    room = _FULL
    for namespace, item in told:
        number = number_of[namespace]
        if isinstance(item, Gap):
            entries.append([item.seq, "G", number, item.reason])
            continue
        image: Any = item.image
        if isinstance(image, Late):
            image = image.raw
            if len(image) > min(_LARGE, room):
                image = item.op != "D"
            else:
                room -= len(image)
        entries.append([item.seq, item.op, number, item.id, image])
    body = bson.encode({"s": since, "w": "\0".join(map(text_of, names)), "e": entries}, codec_options=options)
    if len(body) > _LARGE + _LATE * len(entries) and any(_is_decoded(item) for _, item in told):
        return pack(since, names, [(namespace, _encoded(item, options)) for namespace, item in told], options)
    return body


def _is_decoded(item: Change | Gap) -> bool:
    return isinstance(item, Change) and isinstance(item.image, dict)


def _encoded(item: Change | Gap, options: CodecOptions[Any]) -> Change | Gap:
    """Return a change with its document as BSON, so that its size is known."""
    if isinstance(item, Change) and isinstance(item.image, dict):
        return replace(item, image=Late(bson.encode(item.image, codec_options=options), options))
    return item


def bounded(told: list[tuple[Namespace, Change | Gap]]) -> list[tuple[Namespace, Change | Gap]]:
    """Return what is told, or, if that is too much for one frame, a gap for each of the collections."""
    if len(told) <= _MOST:
        return told
    last = {namespace: moment_of(item.seq) for namespace, item in told}
    gaps = [(namespace, Gap(seq, "too much happened at once", namespace[1])) for namespace, seq in last.items()]
    return [*sorted(gaps, key=lambda gap: gap[1].seq)]


def unpack(
    body: bytes, place: str, reached: str, options: CodecOptions[Any], wanted: frozenset[Namespace]
) -> Frame:
    """Return the frame of a body, with what it tells of the wanted collections.

    Raises:
        BSONError: an id can not be decoded.
    """
    fields = bson.decode(body, options)
    names, covered = _names(fields["w"])
    told: list[tuple[Namespace, Change | Gap]] = []
    left_out: list[int] = []
    for seq, op, number, what, *rest in fields["e"]:
        namespace = names[number]
        if namespace not in wanted:
            continue
        if op == "G":
            told.append((namespace, Gap(seq, what, namespace[1])))
            continue
        image = rest[0]
        if image is True:
            left_out.append(len(told))
            image = None
        elif isinstance(image, bytes):
            image = bson.decode(image, options) if len(image) < _LATE else Late(image, options)
        elif image is False:
            image = None
        told.append((namespace, Change(seq, op, namespace[1], what, image)))
    return Frame(place, fields["s"], reached, covered, told, left_out)


def text_of(namespace: Namespace) -> str:
    """Return a collection's full name."""
    return ".".join(namespace)


def namespace_in(text: str) -> Namespace:
    """Return the collection of a full name; a database's has no dot."""
    database, _, collection = text.partition(".")
    return database, collection


@lru_cache(maxsize=64)
def _names(text: str) -> tuple[list[Namespace], frozenset[Namespace]]:
    names = [namespace_in(each) for each in text.split("\0")] if text else []
    return names, frozenset(names)
