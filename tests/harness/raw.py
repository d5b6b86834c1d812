"""A websocket client by hand: frames as bytes, so that it can break every rule."""

from __future__ import annotations

import base64
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Self

from wsflask.testing.waiting import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def client_frame(
    payload: bytes, opcode: int = TEXT, *, final: bool = True, mask: bytes | None = b"\x37\xfa\x21\x3d", rsv: int = 0
) -> bytes:
    """Return one frame as a client sends it; without a mask when `mask` is None."""
    masked = 0 if mask is None else 0x80
    length = len(payload)
    head = bytes([(0x80 if final else 0) | rsv | opcode])
    if length < 126:
        head += bytes([masked | length])
    elif length < 65536:
        head += bytes([masked | 126]) + struct.pack("!H", length)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", length)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def client_close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame as a client sends it."""
    return client_frame(b"" if code is None else struct.pack("!H", code) + reason, CLOSE)


def server_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the whole frames in a server's bytes as (opcode, payload), and the rest; fail on a corrupt one."""
    found = []
    position = 0
    while len(data) - position >= 2:
        first, second = data[position], data[position + 1]
        assert first & 0x80, f"a fragment or garbage at {position}: {data[position : position + 16]!r}"
        assert first & 0x7F in (TEXT, CLOSE, PING, PONG), f"garbage at {position}: {data[position : position + 16]!r}"
        assert not second & 0x80, f"a masked frame at {position}"
        length, head = second, 2
        if length == 126:
            length, head = int.from_bytes(data[position + 2 : position + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(data[position + 2 : position + 10], "big"), 10
        end = position + head + length
        if end > len(data):
            break
        found.append((first & 0x0F, data[position + head : end]))
        position = end
    return found, data[position:]


def handshake_request(
    port: int,
    *,
    cookie: str | None = None,
    method: str = "GET",
    version: str = "HTTP/1.1",
    path: str = "/wsflask/ws",
    headers: Mapping[str, str | None] | None = None,
) -> bytes:
    """Return the bytes of a handshake; a header of `headers` replaces one, or takes it out with None."""
    fields: dict[str, str | None] = {
        "Host": f"127.0.0.1:{port}",
        "Origin": f"http://127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Cookie": cookie,
        **(headers or {}),
    }
    lines = [f"{method} {path} {version}", *(f"{k}: {v}" for k, v in fields.items() if v is not None)]
    return "\r\n".join([*lines, "", ""]).encode()


class RawClient:
    """A TCP connection to a web server."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        #: What has arrived and was not returned yet.
        self.rest = b""

    def open(self, port: int, cookie: str | None, *, subprotocols: Sequence[str] = (), then: bytes = b"") -> bytes:
        """Do the handshake, send `then` as soon as the answer is read; return the answer's head."""
        offered = ", ".join(subprotocols) or None
        self.socket.sendall(handshake_request(port, cookie=cookie, headers={"Sec-WebSocket-Protocol": offered}))
        head = self.read_head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.socket.sendall(then)
        return head

    def ask(self, port: int, path: str = "/wsflask/ws") -> None:
        """Begin a handshake; `read_head` returns the answer."""
        self.socket.sendall(handshake_request(port, path=path))

    def read_head(self) -> bytes:
        """Return an answer's head, to the empty line."""
        while b"\r\n\r\n" not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                break
            self.rest += data
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        return head

    def read_frames(self, count: int, timeout: float = PATIENCE) -> list[tuple[int, bytes]]:
        """Return the next `count` frames, or fewer when the peer ends."""
        deadline = time.monotonic() + timeout
        frames: list[tuple[int, bytes]] = []
        parts = self.rest
        while len(frames) < count:
            found, parts = server_frames(parts)
            frames += found
            if len(frames) >= count:
                break
            self.socket.settimeout(max(deadline - time.monotonic(), 0.01))
            data = self.socket.recv(1 << 20)
            if not data:
                break
            parts += data
        assert len(frames) <= count or count == 0, f"more frames than expected: {frames[count:]}"
        self.rest = parts
        return frames

    def read_to_end(self, timeout: float = PATIENCE) -> bytes:
        """Return all bytes up to the end of the connection; fail when it does not end."""
        deadline = time.monotonic() + timeout
        parts = [self.rest]
        self.rest = b""
        while True:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                break
            if not data:
                break
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Close the TCP connection."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
