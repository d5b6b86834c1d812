"""A plain websocket client that keeps what it was sent."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import websocket

from .basics import PATIENCE


@dataclass
class WebSocketClient:
    """A websocket client without a browser; every message it was sent is kept in `messages`."""

    url: str
    cookie: str | None = None
    #: None: the server's own; "": none is sent.
    origin: str | None = None
    subprotocols: Sequence[str] = ("wsflask.v1",)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = PATIENCE

    def __post_init__(self) -> None:
        #: All envelopes in the order of their arrival, those already returned by `expect` too.
        self.messages: list[dict[str, Any]] = []
        #: Code and reason of the server's close frame; code 1006 after an end without one.
        self.close_code: int | None = None
        self.close_reason = ""
        self._unseen: list[dict[str, Any]] = []
        host = urllib.parse.urlsplit(self.url).netloc
        origin = f"http://{host}" if self.origin is None else self.origin
        self._socket = websocket.create_connection(
            self.url,
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

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Return the next envelope, unseen ones first; None: the server has closed, or nothing came."""
        if self._unseen:
            return self._unseen.pop(0)
        return self._read(PATIENCE if timeout is None else timeout)

    def expect(
        self,
        channel: str,
        timeout: float | None = None,
        *,
        where: Callable[[dict[str, Any]], Any] | None = None,
    ) -> dict[str, Any]:
        """Return the next envelope of `channel` for which `where(envelope)` is true; others stay."""
        for index, seen in enumerate(self._unseen):
            if seen["channel"] == channel and (where is None or where(seen)):
                return self._unseen.pop(index)
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while (left := deadline - time.monotonic()) > 0:
            envelope = self._read(left)
            if envelope is None:
                break
            if envelope["channel"] == channel and (where is None or where(envelope)):
                return envelope
            self._unseen.append(envelope)
        raise AssertionError(f"no message on {channel}; close {self.close_code}; unseen: {self._unseen[-5:]}")

    def expect_none(self, channel: str, timeout: float) -> None:
        """Fail when a message of `channel` is unseen or arrives within `timeout` seconds."""
        try:
            envelope = self.expect(channel, timeout)
        except AssertionError:
            return
        raise AssertionError(f"a message that should not be: {envelope}")

    def request(self, channel: str, payload: Any, timeout: float | None = None) -> Any:
        """Send a request of protocol v1, and return the envelope of its reply or error."""
        number = f"r{len(self.messages)}-{time.monotonic_ns()}"
        self.send(channel, payload, id=number)
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while (left := deadline - time.monotonic()) > 0:
            envelope = self._read(left)
            if envelope is None:
                break
            if envelope.get("id") == number:
                return envelope
            self._unseen.append(envelope)
        raise AssertionError(f"no reply on {channel}; close {self.close_code}; unseen: {self._unseen[-5:]}")

    def expect_close(self, timeout: float | None = None) -> int:
        """Return the server's close code; messages before it are kept."""
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while self.close_code is None and (left := deadline - time.monotonic()) > 0:
            envelope = self._read(left)
            if envelope is not None:
                self._unseen.append(envelope)
        assert self.close_code is not None, "the server did not close"
        return self.close_code

    def close(self) -> None:
        """Close in good order."""
        self._socket.close(timeout=1)

    def cut(self) -> None:
        """Drop the TCP connection without a close frame."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]

    def _read(self, timeout: float) -> dict[str, Any] | None:
        if self.close_code is not None:
            return None
        self._socket.settimeout(max(timeout, 0.001))
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
        envelope: dict[str, Any] = json.loads(data)
        self.messages.append(envelope)
        return envelope


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
