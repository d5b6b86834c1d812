"""Clients that take their time to say anything."""

from __future__ import annotations

import contextlib
import socket
import time

from ..rows import row
from ..stand import Stand
from ..trial import Trial

_COUNT = 30
#: Seconds between two looks whether a connection has ended; seconds by which the server may be late.
_LOOK, _LATE = 0.1, 0.25
#: Masked by zeros: another mask would make it a byte that is no UTF-8, and that ends a connection at once.
_LETTER = b"\x81\0\0\0\0x"
_WHY = "the server looks once a second whose time will be over; the test looks ten times"


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
        fragment = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
        fragment.sendall(_handshake(stand, 0))
        status = fragment.recv(1000).partition(b"\r\n")[0].decode()
        trial.check(f"a handshake was answered {status}", " 101 " in status)
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(_COUNT)]
        # The first part of a text message, one byte of its payload, then another part each second.
        fragment.sendall(b"\x01" + _LETTER)
        text, began = _handshake(stand, 1), time.monotonic()
        ended: dict[int, float] = {}
        fragment_ended = float("inf")
        number = 0
        limit = 40.0
        sent = opened = connected = 0.0
        tab = stand.fleet.tab(2, 15, stand.port, commands=False)
        while time.monotonic() - began < limit and (len(ended) < _COUNT or fragment_ended == float("inf")):
            # A byte a second; whether it has ended is looked at oftener.
            is_due = time.monotonic() - sent >= 1.0
            byte = text[number : number + 1] if is_due else b""
            for index, each in enumerate(slow):
                if index not in ended and _has_ended(each, byte):
                    ended[index] = time.monotonic() - began
            part = b"\x00" + _LETTER if is_due else b""
            if fragment_ended == float("inf") and _has_ended(fragment, part):
                fragment_ended = time.monotonic() - began
            if number == 1 and is_due:
                opened = time.monotonic()
                stand.fleet.open([tab], is_awaited=False)
            if opened and not connected and stand.fleet.is_open(tab["name"]):
                connected = time.monotonic()
            if is_due:
                sent, number = time.monotonic(), number + 1
            stand.wait(_LOOK)
            if trial.is_short and len(ended) == _COUNT and connected:
                break
    trial.saw(f"{_COUNT} handshakes came byte by byte, for {number} s", number > 1)
    trial.measure("another client is connected after", (connected or float("inf")) - opened, at_most=1.0)
    dropped = max(ended.values()) if len(ended) == _COUNT else float("inf")
    trial.measure("the last of the slow handshakes was dropped after", dropped, at_most=10.0)
    if not trial.is_short:
        late = 30.0 + _LATE
        trial.saw(f"the fragment grew for {fragment_ended:.0f} s", fragment_ended > 20)
        trial.measure("the fragment that never ends was dropped after", fragment_ended, at_most=late, why=_WHY)


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
        if data:
            opened.sendall(data)
    except OSError:
        return True
    return False
