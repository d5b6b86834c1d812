"""A WebSocket client of the protocol `wsflask.v1`: the handshake, masked frames out, whole messages in."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import ssl
import struct
from typing import Final

from gevent import socket

from ..protocol.codes import SUBPROTOCOL, CloseCode
from ..protocol.frames import CLOSE, CONTINUATION, PING, PONG, TEXT
from .target import Target

__all__ = ["NOT_WSFLASK", "Client", "Failed"]

#: The reason of what answers in a way that wsflask does not.
NOT_WSFLASK: Final = "not wsflask"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Bytes of an answer's head; of a refusal's text; of one read.
_LONGEST_HEAD, _LONGEST_TEXT, _CHUNK = 16_384, 300, 16_384


class Failed(Exception):
    """A connection did not come about, or has ended.

    Args:
        reason: an HTTP status, a close code, or a word of `reasons`.
        detail: what the server has said about it, or the system.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = "".join(character for character in detail if character.isprintable())[:_LONGEST_TEXT]


class Client:
    """One open connection, for one greenlet that reads; all methods may switch.

    Args:
        target: where to connect to.
        cookie: the Cookie header; "": none.

    Raises:
        Failed: the handshake failed.
    """

    __slots__ = ("_at", "_data", "_socket", "received")

    def __init__(self, target: Target, cookie: str) -> None:
        self._data = b""
        self._at = 0
        #: Bytes received since the handshake.
        self.received = 0
        self._socket = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            self._connect(target)
            self._shake_hands(target, cookie)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _failure(error) from error
            raise
        self.received = len(self._data) - self._at

    def _connect(self, target: Target) -> None:
        self._socket.connect(target.address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls is not None:
            self._socket = target.tls.wrap_socket(self._socket, server_hostname=target.host)

    def _shake_hands(self, target: Target, cookie: str) -> None:
        key = base64.b64encode(os.urandom(16))
        self._socket.sendall(_request(target, key, cookie))
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if len(self._data) > _LONGEST_HEAD:
                raise Failed(NOT_WSFLASK, "The answer has no end.")
            self._fill()
        self._at = end + 4
        status, headers = _head(self._data[:end])
        if status != "101":
            raise Failed(status, headers.get("location") or self._text(headers))
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
        if headers.get("sec-websocket-accept") != accept:
            raise Failed(NOT_WSFLASK, "Its Sec-WebSocket-Accept is wrong.")
        if headers.get("sec-websocket-protocol") != SUBPROTOCOL:
            raise Failed(NOT_WSFLASK, f"It does not speak {SUBPROTOCOL}.")

    def _text(self, headers: dict[str, str]) -> str:
        """Return the sentence that wsflask refuses a handshake with."""
        length = headers.get("content-length", "")
        if not headers.get("content-type", "").startswith("text/plain") or not length.isdecimal():
            return ""
        return self._take(int(length)).decode(errors="replace") if int(length) <= _LONGEST_TEXT else ""

    def receive(self) -> bytes:
        """Return the next text message; pings are answered meanwhile.

        Raises:
            Failed: the connection has ended, with its close code or 1006.
        """
        parts = []
        while True:
            first, payload = self._frame()
            opcode = first & 0x0F
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else CloseCode.NO_STATUS
                raise Failed(str(code), payload[2:].decode(errors="replace"))
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode in (TEXT, CONTINUATION):
                parts.append(payload)
                if first & 0x80:
                    return b"".join(parts)
            elif opcode != PONG:
                raise Failed(NOT_WSFLASK, "It sends other frames than text.")

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send one frame of less than 64 KiB, with a mask of its own. Raises Failed when the connection has ended."""
        length, mask = len(payload), os.urandom(4)
        first = 0x80 | opcode
        head = bytes((first, 0x80 | length)) if length < 126 else struct.pack("!BBH", first, 0x80 | 126, length)
        key = (mask * (length // 4 + 1))[:length]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
        try:
            self._socket.sendall(head + mask + masked)
        except OSError as error:
            raise _failure(error) from error

    def say_goodbye(self) -> None:
        """Ask the server to close; `receive` ends with its answer."""
        self.send(struct.pack("!H", CloseCode.NORMAL), CLOSE)

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def _frame(self) -> tuple[int, bytes]:
        first, length = self._take(2)
        if first & 0x70 or length & 0x80:
            raise Failed(NOT_WSFLASK, "Its frames are masked, or have bits that nobody has asked for.")
        if length == 126:
            length = int.from_bytes(self._take(2), "big")
        elif length == 127:
            length = int.from_bytes(self._take(8), "big")
        return first, self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._data) - self._at < count:
            self._fill()
        start, self._at = self._at, self._at + count
        taken = self._data[start : self._at]
        if self._at == len(self._data):
            self._data, self._at = b"", 0
        return taken

    def _fill(self) -> None:
        try:
            chunk = self._socket.recv(_CHUNK)
        except OSError as error:
            raise _failure(error) from error
        if not chunk:
            raise Failed(str(CloseCode.ABNORMAL))
        self._data, self._at = self._data[self._at :] + chunk, 0
        self.received += len(chunk)


def _request(target: Target, key: bytes, cookie: str) -> bytes:
    lines = [
        f"GET {target.path} HTTP/1.1",
        f"Host: {target.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
        f"Origin: {target.origin}",
    ]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _head(data: bytes) -> tuple[str, dict[str, str]]:
    """Return an answer's status and its headers, with their names in lower case."""
    first, *lines = data.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise Failed(NOT_WSFLASK, "It does not speak HTTP.")
    pairs = (line.partition(":") for line in lines)
    return status, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _failure(error: OSError) -> Failed:
    if isinstance(error, ConnectionRefusedError):
        return Failed("refused")
    if isinstance(error, ConnectionError | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failed(str(CloseCode.ABNORMAL))
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failed("certificate", error.verify_message)
    if isinstance(error, ssl.SSLError):
        return Failed("tls", error.reason or "")
    return Failed(errno.errorcode.get(error.errno or 0, "network"), error.strerror or str(error))
