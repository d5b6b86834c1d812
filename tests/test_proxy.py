"""The proxy that misbehaves: it cuts, delays, slows and freezes what goes through it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from wsflask.testing import Faults, Proxy


class Echo:
    """A server that sends back what it gets, and notes it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(opened,)))
            self._threads[-1].start()

    @staticmethod
    def _serve(opened: socket.socket) -> None:
        with opened:
            try:
                while data := opened.recv(65536):
                    opened.sendall(data)
            except OSError:
                pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


def receive(opened: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = opened.recv(65536)
        if not part:
            break
        data += part
    return data


def comes_back(opened: socket.socket, count: int) -> bool:
    """Send so many bytes; return whether all of them come back."""
    try:
        opened.sendall(b"x" * count)
        return len(receive(opened, count)) == count
    except OSError:
        return False


def taken_of(opened: socket.socket, count: int) -> int:
    """Send until nothing more is taken; return how many bytes were."""
    sent = 0
    try:
        while sent < count:
            sent += opened.send(bytes(65536))
    except TimeoutError:
        pass
    return sent


def test_without_faults_bytes_go_through_both_ways(echo: Echo) -> None:
    with Proxy(echo.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as opened:
        opened.sendall(bytes(200_000))

        assert len(receive(opened, 200_000)) == 200_000
        assert proxy.count().open == 1


def test_a_connection_is_cut_in_the_middle_of_what_is_on_its_way(echo: Echo) -> None:
    with Proxy(echo.port, seed=3) as proxy:
        proxy.set(Faults(cut_after=0.2))
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as opened:
            began = time.monotonic()
            while comes_back(opened, 1000):
                pass

            assert 0.15 < time.monotonic() - began < 5
        assert (proxy.count().cuts, proxy.count().midway) == (1, 1)


def test_a_reset_is_seen_as_one(echo: Echo) -> None:
    with Proxy(echo.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as opened:
        opened.sendall(b"x")
        assert opened.recv(1) == b"x"
        proxy.set(Faults(resets=1.0))

        assert proxy.cut() == 1

        with pytest.raises(ConnectionResetError):
            opened.recv(1)
        assert proxy.count().resets == 1


def test_a_frozen_connection_holds_its_bytes_until_it_thaws(echo: Echo) -> None:
    with Proxy(echo.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 0.3) as opened:
        proxy.set(Faults(is_frozen=True))
        opened.sendall(b"x")
        with pytest.raises(TimeoutError):
            opened.recv(1)

        proxy.set(Faults())

        opened.settimeout(10)
        assert opened.recv(1) == b"x"


def test_bytes_come_one_by_one_and_at_a_rate(echo: Echo) -> None:
    with Proxy(echo.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as opened:
        proxy.set(Faults(chunk=1, rate=1000))
        began = time.monotonic()

        opened.sendall(b"x" * 300)

        assert len(receive(opened, 300)) == 300
        assert time.monotonic() - began > 0.25


def test_a_slow_reader_with_small_buffers_stops_its_sender(echo: Echo) -> None:
    with Proxy(echo.port, receive_buffer=4096) as proxy:
        proxy.set(Faults(rate=0))
        with socket.create_connection(("127.0.0.1", proxy.port), 0.5) as opened:
            assert taken_of(opened, 64 << 20) < 16 << 20
