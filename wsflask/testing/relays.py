"""The process of a proxy: python -m wsflask.testing.relays PORT TARGET SEED RECEIVE_BUFFER."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from collections import Counter
from typing import Any

from .proxy import Faults

__all__: list[str] = []

#: Bytes read at once, and seconds after its time in which a connection waits for bytes to be cut through.
_READ, _GRACE = 64 * 1024, 0.25
#: Seconds between two looks whether a frozen connection may go on.
_LOOK = 0.02
_RESET = struct.pack("ii", 1, 0)


class _Proxy:
    def __init__(self, target: int, seed: int, receive_buffer: int) -> None:
        self.target = target
        self.seed = seed
        self.receive_buffer = receive_buffer
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        self.relays: set[_Relay] = set()
        self.rng = random.Random(f"proxy {seed}")

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        relay = _Relay(self, self.counts["connections"])
        self.relays.add(relay)
        try:
            await relay.run(reader, writer)
        finally:
            self.relays.discard(relay)

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["do"] == "set":
            self.faults = Faults(**message["faults"])
            for relay in self.relays:
                relay.begin_life()
        elif message["do"] == "cut":
            chosen = [relay for relay in sorted(self.relays, key=id) if self.rng.random() < message["share"]]
            for relay in chosen:
                relay.cut()
            return {"cut": len(chosen)}
        elif message["do"] == "point":
            self.target = message["target"]
        names = ("connections", "cuts", "resets", "midway", "bytes")
        return {name: self.counts[name] for name in names} | {"open": len(self.relays)}


class _Relay:
    """One connection, both ways."""

    def __init__(self, proxy: _Proxy, number: int) -> None:
        self._proxy = proxy
        self._rng = random.Random(f"{proxy.seed} {number}")
        self._writers: list[asyncio.StreamWriter] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._is_over = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]
        upstream = socket.socket()
        upstream.setblocking(False)
        small = self._proxy.receive_buffer
        if small:
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, small)
            for each in (upstream, writer.get_extra_info("socket")):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, small)
        try:
            await asyncio.get_running_loop().sock_connect(upstream, ("127.0.0.1", self._proxy.target))
            up_reader, up_writer = await asyncio.open_connection(sock=upstream, limit=small or _READ)
        except OSError:
            upstream.close()
            self._end(writer, is_reset=True)
            return
        self._writers.append(up_writer)
        for each in self._writers:
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if small:
                each.transport.set_write_buffer_limits(small)
        self.begin_life()
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, is_down=False), self._pump(up_reader, writer, is_down=True)
            )
        finally:
            self._stop_timer()
            for each in self._writers:
                self._end(each)

    def begin_life(self) -> None:
        """Count the connection's life from now."""
        self._stop_timer()
        life = self._proxy.faults.cut_after
        if life is not None and not self._is_over:
            self._timer = asyncio.get_running_loop().call_later(life, self._due)

    def cut(self) -> None:
        """End both sides."""
        if self._is_over:
            return
        self._is_over = True
        self._stop_timer()
        is_reset = self._rng.random() < self._proxy.faults.resets
        self._proxy.counts["resets" if is_reset else "cuts"] += 1
        for writer in self._writers:
            self._end(writer, is_reset=is_reset)

    def _due(self) -> None:
        self._is_due = True
        self._timer = asyncio.get_running_loop().call_later(_GRACE, self.cut)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_down: bool) -> None:
        try:
            while not self._is_over:
                await self._thaw(is_down=is_down)
                data = await reader.read(min(_READ, self._proxy.receive_buffer or _READ))
                await self._thaw(is_down=is_down)
                if not data or self._is_over:
                    break
                if self._proxy.faults.delay[1]:
                    await asyncio.sleep(self._rng.uniform(*self._proxy.faults.delay))
                if self._is_due:
                    place = self._rng.randrange(len(data) + 1)
                    self._proxy.counts["midway"] += 1
                    await self._hand_on(data[:place], writer, is_down=is_down)
                    self.cut()
                    return
                await self._hand_on(data, writer, is_down=is_down)
        except OSError:
            pass
        # One side has ended: so does the other, when it has got what was on its way.
        self._is_over = True
        for each in self._writers:
            self._end(each)

    async def _hand_on(self, data: bytes, writer: asyncio.StreamWriter, *, is_down: bool) -> None:
        while data and not self._is_over:
            await self._thaw(is_down=is_down)
            faults = self._proxy.faults
            rate = faults.rate if is_down else None
            size = faults.chunk or len(data)
            if rate:
                size = min(size, max(int(rate / 10), 1))
            writer.write(data[:size])
            self._proxy.counts["bytes"] += min(size, len(data))
            data = data[size:]
            await writer.drain()
            if rate:
                await asyncio.sleep(size / rate)
            elif faults.chunk:
                await asyncio.sleep(0)

    async def _thaw(self, *, is_down: bool) -> None:
        while not self._is_over and (self._proxy.faults.is_frozen or (is_down and self._proxy.faults.rate == 0)):
            await asyncio.sleep(_LOOK)

    @staticmethod
    def _end(writer: asyncio.StreamWriter, *, is_reset: bool = False) -> None:
        sock = writer.get_extra_info("socket")
        if is_reset and sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        else:
            writer.close()


async def _main(port: int, target: int, seed: int, receive_buffer: int) -> None:
    proxy = _Proxy(target, seed, receive_buffer)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await asyncio.start_server(proxy.accept, "127.0.0.1", port, backlog=4096, limit=receive_buffer or _READ)
    while line := await lines.readline():
        sys.stdout.write(json.dumps(proxy.answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:5])))
