"""A server's message, to bytes that many clients share."""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable
from typing import Any, Final

from ..encoding import dumps, quote
from .codes import ERRORS
from .deflate import deflate
from .frames import COMPRESSED, TEXT, frame

__all__ = ["PLAIN", "V1", "KeyedFrame", "Message", "compressed", "error_message", "is_channel_name"]

#: The form for clients that offer no subprotocol: channel and payload, nothing else.
PLAIN: Final = "plain"
#: The form of the subprotocol `wsflask.v1`: ids and positions too.
V1: Final = "v1"

_CHANNEL = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
#: What a form is called for clients that take compressed messages.
_COMPRESSED: Final = "+deflate"
#: Bytes from which on compressing is worth its while.
_WORTH: Final = 200


def compressed(form: str) -> str:
    """Return the name of a form, for a client that takes compressed messages."""
    return form + _COMPRESSED


def is_channel_name(name: object) -> bool:
    """Return whether this can be a channel's name: `^[a-z][a-z0-9_.-]{0,63}$`."""
    return isinstance(name, str) and _CHANNEL.match(name) is not None


class KeyedFrame(bytes):
    """A frame that drops another, with the same key, which still waits for a slow client."""

    key: Hashable
    #: Whether no later frame drops this one.
    is_last: bool


class Message:
    """One message of the server: encoded once, framed once for each form, shared by all who get it.

    Args:
        channel: the channel's name.
        payload: what is sent; anything `encoding.dumps` takes.
        payload_json: the payload already encoded, instead of `payload`.
        seq: position for those who come back; only in the form v1.
        id: the request this answers; only in the form v1.
        key: of the messages of a channel with one key only the newest is kept while they wait for a slow client: each
            has to tell all that the earlier ones did. None: every message is kept.
        is_last: whether what comes later, even with this key, leaves this message where it is: it ends something.
    """

    __slots__ = ("_frames", "channel", "id", "is_last", "key", "payload_json", "seq")

    def __init__(
        self,
        channel: str,
        payload: Any = None,
        *,
        payload_json: bytes | None = None,
        seq: str | None = None,
        id: str | None = None,  # noqa: A002 - the wire's own word
        key: Hashable = None,
        is_last: bool = False,
    ) -> None:
        self.channel = channel
        self.payload_json = dumps(payload) if payload_json is None else payload_json
        self.seq = seq
        self.id = id
        self.key = key
        self.is_last = is_last
        self._frames: dict[str, bytes] | None = None

    def text(self, form: str) -> bytes:
        """Return the envelope as UTF-8 JSON."""
        end = b"}"
        if form == V1:
            if self.seq is not None:
                end = b',"seq":' + quote(self.seq) + end
            if self.id is not None:
                end = b',"id":' + quote(self.id) + end
        return b"".join((_head(self.channel), self.payload_json, end))  # Adding up would copy a large payload twice.

    def frame(self, form: str) -> bytes:
        """Return the whole frame; the same bytes object for every connection of a form."""
        frames = self._frames
        if frames is None:
            frames = self._frames = {}
        found = frames.get(form)
        if found is None:
            found = frames[form] = self._make_frame(form) if self.key is None else self._make_keyed(form)
        return found

    def _make_keyed(self, form: str) -> KeyedFrame:
        keyed = KeyedFrame(self._make_frame(form))
        keyed.key, keyed.is_last = (self.channel, self.key), self.is_last
        return keyed

    def _make_frame(self, form: str) -> bytes:
        if form in (V1, PLAIN):
            return frame(self.text(form))
        plain = self.frame(form.removesuffix(_COMPRESSED))
        if len(plain) < _WORTH:
            return plain
        return min(plain, frame(deflate(self.text(form.removesuffix(_COMPRESSED))), TEXT | COMPRESSED), key=len)


@functools.lru_cache(maxsize=1024)
def _head(channel: str) -> bytes:
    return b'{"channel":' + quote(channel) + b',"payload":'


def error_message(code: str, id: str | None = None) -> Message:  # noqa: A002
    """Return the message that refuses a request: the code and its fixed sentence."""
    return Message("error", {"code": code, "message": ERRORS[code]}, id=id)
