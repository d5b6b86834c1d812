"""Many signed-in clients in this process: they subscribe to documents, and read what comes."""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import websocket

__all__ = ["Crowd"]

#: What a reply to a subscription has in it, and no other message.
_LOADED = b'"state":"loaded"'
#: Seconds between two signs of life, and until a subscription must have been answered.
_SIGN_OF_LIFE, _PATIENCE = 10.0, 60.0


class Crowd:
    """Open WebSockets; a thread reads them all, so that none is slow, and gives signs of life. A context manager."""

    def __init__(self, port: int, cookies: Iterable[str]) -> None:
        self._port = port
        self._cookies = iter(cookies)
        self._sockets: list[socket.socket] = []
        self._ends: dict[int, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="crowd")
        #: Subscriptions that were asked for, and those that were answered.
        self._asked = self._loaded = 0
        #: Bytes that came.
        self.received = 0

    def __len__(self) -> int:
        return len(self._sockets)

    def connect(self, clients: int) -> None:
        """Open so many more."""
        for _ in range(clients):
            opened = websocket.create_connection(
                f"ws://127.0.0.1:{self._port}/wsflask/ws",
                cookie=next(self._cookies),
                origin=f"http://127.0.0.1:{self._port}",
                subprotocols=["wsflask.v1"],
                timeout=_PATIENCE,
            )
            assert opened.sock is not None
            opened.sock.setblocking(False)
            self._sockets.append(opened.sock)
            self._selector.register(opened.sock, selectors.EVENT_READ)

    def subscribe(self, scopes: Sequence[str], clients: Sequence[int] | None = None) -> None:
        """Subscribe clients to the rows of groups: each of them to each group; return when all are loaded.

        Args:
            clients: their numbers; None: all of them.
        """
        for number in range(len(self._sockets)) if clients is None else clients:
            for group in scopes:
                self.subscribe_one(number, group)
        self.await_loaded()

    def subscribe_one(self, number: int, group: str) -> None:
        """Ask for the rows of a group, without waiting for them."""
        scope = [{"fn": "group", "op": "==", "val": group}]
        self._send(number, {"action": "subscribe", "data": {"class_name": "Row", "data_scope": scope}})
        self._asked += 1

    def await_loaded(self) -> None:
        """Return when every subscription was answered.

        Raises:
            TimeoutError: one was not.
        """
        deadline = time.monotonic() + _PATIENCE
        while self._loaded < self._asked:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._loaded} of {self._asked} subscriptions were answered")
            time.sleep(0.02)

    def _send(self, number: int, payload: Mapping[str, Any]) -> None:
        text = json.dumps({"channel": "documents", "payload": payload, "id": "1"}).encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
        head = bytes([0x81, 0x80 | 126, *len(text).to_bytes(2)]) if len(text) > 125 else bytes([0x81, 0x80 | len(text)])
        self._sockets[number].send(head + mask + masked)

    def _read(self) -> None:
        alive = time.monotonic()
        while not self._is_over.is_set():
            for key, _ in self._selector.select(timeout=0.1):
                self.take(key.fd, key.fileobj)
            if time.monotonic() - alive > _SIGN_OF_LIFE:
                alive = time.monotonic()
                for each in self._sockets:
                    each.send(b"\x89\x80" + os.urandom(4))  # an empty ping

    def take(self, number: int, readable: Any) -> bytes:
        """Read what has come on one socket, and return it; called from the thread that reads."""
        data: bytes = readable.recv(1 << 18)
        if not data:
            self._selector.unregister(readable)
            return data
        self.received += len(data)
        together = self._ends.get(number, b"") + data
        self._loaded += together.count(_LOADED)
        self._ends[number] = together[1 - len(_LOADED) :]
        return data

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._selector.close()
        for each in self._sockets:
            each.close()
