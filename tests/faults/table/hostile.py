"""Clients that take their time to say anything."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from ..rows import row
from ..stand import Stand
from ..trial import Trial

_COUNT = 30


def _handshake(stand: Stand, number: int) -> bytes:
    host = f"127.0.0.1:{stand.server.port}"
    return (
        f"GET /wsflask/ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Cookie: {stand.fleet.cookie(number)}\r\n\r\n"
    ).encode()


@row(
    "slowloris",
    "slowloris handshakes, one byte a second, a fragment that never ends",
    "dropped within 10 s / 30 s; others connect as before",
)
def crawl(stand: Stand, trial: Trial) -> None:
    port = stand.server.port
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(_COUNT)]
        fragment = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        fragment.sendall(_handshake(stand, 0))
        fragment.recv(1000)
        # The first part of a text message, one byte of its payload, then another part each second.
        fragment.sendall(b"\x01\x81" + os.urandom(4) + b"x")
        text, began = _handshake(stand, 1), time.monotonic()
        ended: dict[int, float] = {}
        fragment_ended = float("inf")
        number = 0
        newcomers: list[str] = []
        limit = 40.0
        while time.monotonic() - began < limit and (len(ended) < _COUNT or fragment_ended == float("inf")):
            for index, each in enumerate(slow):
                if index not in ended and _has_ended(each, text[number : number + 1]):
                    ended[index] = time.monotonic() - began
            part = b"\x00\x81" + os.urandom(4) + b"x"
            if fragment_ended == float("inf") and _has_ended(fragment, part):
                fragment_ended = time.monotonic() - began
            if number == 1:
                tab = stand.fleet.tab(2, 15, stand.port, commands=False)
                before = time.monotonic()
                stand.fleet.open([tab])
                trial.measure("another client is connected after", time.monotonic() - before, at_most=1.5)
                newcomers.append(tab["name"])
            number += 1
            stand.wait(1.0)
            if trial.is_short and len(ended) == _COUNT:
                break
    trial.saw(f"{_COUNT} handshakes came byte by byte, for {number} s", number > 1)
    trial.measure("the last of the slow handshakes was dropped after",
                  max(ended.values()) if len(ended) == _COUNT else float("inf"), at_most=12.0)  # fmt: skip
    if not trial.is_short:
        trial.measure("the fragment that never ends was dropped after", fragment_ended, at_most=32.0)


def _has_ended(opened: socket.socket, data: bytes) -> bool:
    """Send more; return whether the server has ended the connection."""
    try:
        opened.setblocking(False)
        while got := opened.recv(65536):
            if b"\x88" in got[:1]:  # a close frame
                return True
    except BlockingIOError:
        pass
    except OSError:
        return True
    else:
        return True
    try:
        opened.setblocking(True)
        opened.sendall(data)
    except OSError:
        return True
    return False
