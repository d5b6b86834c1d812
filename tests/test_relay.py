"""The relay: what other processes ended takes effect in this one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.harness.links import MemoryLink, Recorder
from wsflask.config import Settings
from wsflask.connection import Connection
from wsflask.hub import Hub
from wsflask.identity import Identity
from wsflask.protocol.messages import Message
from wsflask.service import Host
from wsflask.services import relay as relay_module
from wsflask.services.relay import Relay


def test_the_sessions_that_ended_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_REMEMBERED", 3)
    host: Any = SimpleNamespace(hub=Hub())
    relay = Relay(cast(Host, host))

    for session_id in ("a", "b", "c", "a", "d"):
        relay._end(session_id)

    assert [session_id for session_id in "abcde" if relay.has_ended(session_id)] == ["a", "c", "d"]


def test_what_waits_for_a_client_whose_session_has_ended_never_leaves() -> None:
    host: Any = SimpleNamespace(hub=Hub())
    link = MemoryLink()
    link.capacity = 10
    connection = Connection(link, Identity(None, "ada", frozenset(), "a"), "plain", Settings(), Recorder())
    link.owner = connection
    host.hub.add(connection)
    for number in range(3):
        connection.send(Message("echo", number))

    Relay(cast(Host, host))._end("a")
    link.take(10_000)

    assert connection.close_code == 4501
    assert [payload for _, payload in link.frames()[:-1]] == [Message("echo", 0).text("plain")]
