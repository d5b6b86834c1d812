"""A websocket client for tests, which keeps what it was sent and can come back for what it missed."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import websocket

from .places import Places
from .waiting import PATIENCE

__all__ = ["Sockets", "WebSocketClient", "fits"]

Envelope = dict[str, Any]


def fits(value: Any, pattern: Any) -> bool:
    """Return whether a value is the pattern, or an object that has all of the pattern's keys with values that fit."""
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(key in value and fits(value[key], pattern[key]) for key in pattern)
    return bool(value == pattern) and type(value) is type(pattern)


@dataclass
class WebSocketClient:
    """A websocket client without a browser; every message it was sent is kept in `messages`.

    It resumes as the JavaScript client does: after `cut()`, `reconnect()` asks for what was missed, and what was seen
    before is left out.
    """

    url: str
    cookie: str | None = None
    #: None: the server's own; "": none is sent.
    origin: str | None = None
    subprotocols: Sequence[str] = ("wsflask.v1",)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = PATIENCE

    def __post_init__(self) -> None:
        #: All envelopes in the order of their arrival, those already returned by `expect` too.
        self.messages: list[Envelope] = []
        #: Code and reason of the server's close frame; code 1006 after an end without one.
        self.close_code: int | None = None
        self.close_reason = ""
        self._places = Places()
        self._unseen: list[Envelope] = []
        self._socket = self._open()

    def _open(self) -> websocket.WebSocket:
        host = urllib.parse.urlsplit(self.url).netloc
        origin = f"http://{host}" if self.origin is None else self.origin
        return websocket.create_connection(
            self._places.added_to(self.url),
            timeout=self.timeout,
            cookie=self.cookie,
            origin=origin or None,
            suppress_origin=origin == "",
            subprotocols=list(self.subprotocols),
            header=[f"{name}: {value}" for name, value in self.headers.items()],
            enable_multithread=False,
        )

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server has chosen."""
        chosen: str | None = self._socket.getsubprotocol()
        return chosen

    def send(self, channel: str, payload: Any, **envelope: Any) -> None:
        """Send one envelope, such as `send("clipboard", {…}, id="1")`."""
        self.send_text(json.dumps({"channel": channel, "payload": payload, **envelope}))

    def send_text(self, text: str) -> None:
        """Send a text frame as it is."""
        self._socket.send(text)

    def send_bytes(self, data: bytes, opcode: int = websocket.ABNF.OPCODE_BINARY) -> None:
        """Send one frame of another kind."""
        self._socket.send(data, opcode)

    def receive(self, timeout: float | None = None) -> Envelope | None:
        """Return the next envelope, unseen ones first; None: the server has closed, or nothing came."""
        if self._unseen:
            return self._unseen.pop(0)
        return self._read(PATIENCE if timeout is None else timeout)

    def expect(
        self,
        channel: str,
        payload: Any = ...,
        *,
        timeout: float | None = None,
        where: Callable[[Envelope], Any] | None = None,
    ) -> Envelope:
        """Return the next envelope of the channel that fits; others stay for later calls.

        Args:
            payload: what its payload has to be; of an object only the keys that are named here count.
            timeout: seconds to wait; None: 10.
            where: what has to be true of the envelope, besides.

        Raises:
            AssertionError: none came; it tells what came instead.
        """

        def is_wanted(envelope: Envelope) -> bool:
            if envelope["channel"] != channel or (payload is not ... and not fits(envelope["payload"], payload)):
                return False
            return where is None or bool(where(envelope))

        wanted = channel if payload is ... else f"{channel} with {payload!r}"
        return self._find(is_wanted, wanted, timeout)

    def expect_none(self, channel: str, payload: Any = ..., *, timeout: float) -> None:
        """Fail when a message of the channel, that fits, is unseen or arrives within `timeout` seconds."""
        try:
            envelope = self.expect(channel, payload, timeout=timeout)
        except AssertionError:
            return
        raise AssertionError(f"a message that should not be: {envelope}")

    def request(self, channel: str, payload: Any, timeout: float | None = None) -> Envelope:
        """Send a request of protocol v1, and return the envelope of its reply or error."""
        number = f"r{len(self.messages)}-{time.monotonic_ns()}"
        self.send(channel, payload, id=number)
        return self._find(lambda envelope: envelope.get("id") == number, f"reply on {channel}", timeout, unseen=False)

    def expect_close(self, timeout: float | None = None) -> int:
        """Return the server's close code; messages before it are kept."""
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while self.close_code is None and (left := deadline - time.monotonic()) > 0:
            envelope = self._read(left)
            if envelope is not None:
                self._unseen.append(envelope)
        if self.close_code is None:
            raise AssertionError("the server did not close")
        return self.close_code

    def close(self) -> None:
        """Close in good order."""
        self._socket.close(timeout=1)

    def cut(self) -> None:
        """Drop the TCP connection without a close frame."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]

    def reconnect(self, *, url: str | None = None) -> None:
        """Connect again, with the positions of what was seen; `url`: to another server."""
        self.cut()
        self.url = url or self.url
        self.close_code, self.close_reason = None, ""
        self._socket = self._open()

    def _find(
        self, is_wanted: Callable[[Envelope], bool], wanted: str, timeout: float | None, *, unseen: bool = True
    ) -> Envelope:
        for index, seen in enumerate(self._unseen if unseen else ()):
            if is_wanted(seen):
                return self._unseen.pop(index)
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while (left := deadline - time.monotonic()) > 0:
            envelope = self._read(left)
            if envelope is None:
                break
            if is_wanted(envelope):
                return envelope
            self._unseen.append(envelope)
        raise AssertionError(f"no message: {wanted}; close {self.close_code}; unseen: {self._unseen[-5:]}")

    def _read(self, timeout: float) -> Envelope | None:
        deadline = time.monotonic() + timeout
        while self.close_code is None:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                opcode, data = self._socket.recv_data()
            except websocket.WebSocketTimeoutException:
                return None
            except (websocket.WebSocketException, OSError):
                self.close_code = 1006
                return None
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.close_code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
                self.close_reason = bytes(data[2:]).decode()
                return None
            envelope: Envelope = json.loads(data)
            if self._places.take(envelope):
                self.messages.append(envelope)
                return envelope
        return None


class Sockets:
    """The websocket clients that one test has opened."""

    def __init__(self) -> None:
        self._open: list[WebSocketClient] = []

    def connect(self, url: str, **options: Any) -> WebSocketClient:
        """Open a client; the options are those of `WebSocketClient`."""
        client = WebSocketClient(url, **options)
        self._open.append(client)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._open:
            client.cut()
