"""One write to each of many sockets, in C and in Python alike."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from wsflask.transport import sends

Send = Callable[[list[int], list[bytes]], list[tuple[int, int]]]
FORMS = [pytest.param(sends.send_each_in_python, id="python"), pytest.param(sends.send_each, id="installed")]


@pytest.fixture(params=FORMS)
def send_each(request: pytest.FixtureRequest) -> Send:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(3)]
    for ours, theirs in made:
        ours.setblocking(False)
        theirs.settimeout(5)
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def test_each_gets_its_own(send_each: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    behind = send_each([ours.fileno() for ours, _ in pairs], [b"one", b"two", b"three"])

    assert behind == []
    assert [theirs.recv(100) for _, theirs in pairs] == [b"one", b"two", b"three"]


def test_a_full_socket_is_told_and_the_others_go_on(
    send_each: Send, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    full = pairs[1][0]
    try:
        while True:
            full.send(b"x" * 65536)
    except BlockingIOError:
        pass

    behind = send_each([ours.fileno() for ours, _ in pairs], [b"one", b"two", b"three"])

    assert behind == [(1, 0)]
    assert pairs[2][1].recv(100) == b"three"


def test_what_is_taken_in_part_is_told(send_each: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    ours, theirs = pairs[0]
    large = bytes(10_000_000)

    ((index, sent),) = send_each([ours.fileno()], [large])

    assert index == 0
    assert 0 < sent < len(large)
    assert theirs.recv(10) == bytes(10)


def test_a_peer_that_is_gone_is_told(send_each: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    pairs[0][1].close()

    behind = send_each([ours.fileno() for ours, _ in pairs], [b"one", b"two", b"three"])

    assert behind == [(0, -1)]


def test_a_descriptor_that_is_none_is_told(send_each: Send) -> None:
    assert send_each([-1], [b"x"]) == [(0, -1)]


def test_nothing_to_send_is_nothing(send_each: Send) -> None:
    assert send_each([], []) == []


def test_as_many_chunks_as_descriptors_are_wanted(send_each: Send) -> None:
    with pytest.raises(ValueError, match=r"."):
        send_each([-1], [])


def test_other_types_are_refused(send_each: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    with pytest.raises(TypeError):
        send_each([pairs[0][0].fileno()], ["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        send_each(["x"], [b"x"])  # type: ignore[list-item]
