"""The relay: what other processes ended takes effect in this one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from wsflask.hub import Hub
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
