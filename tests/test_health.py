"""What clients, and the log, are told when the database does not answer."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import mongoengine
import pytest
from pymongo.errors import AutoReconnect, DuplicateKeyError, NetworkTimeout, OperationFailure, WTimeoutError

from tests.harness.links import MemoryLink, Recorder
from wsflask import outage
from wsflask.config import Settings
from wsflask.connection import Connection
from wsflask.feed.signals import SignalFeed
from wsflask.health import Health
from wsflask.hub import Hub
from wsflask.identity import Identity
from wsflask.live.patience import Patience
from wsflask.tasks import supervise
from wsflask.testing.waiting import wait_until

_log = logging.getLogger("tests.health")


class Ear:
    """A feed that last heard of its database so many seconds ago."""

    silence = 0.0

    @property
    def heard(self) -> float:
        return time.monotonic() - self.silence


def connect(hub: Hub, form: str = "v1") -> Connection:
    link = MemoryLink()
    connection = Connection(link, Identity(None, "ada", frozenset(), "s"), form, Settings(), Recorder())
    link.owner = connection
    hub.add(connection)
    return connection


def told(connection: Connection) -> list[Any]:
    link = connection._link
    assert isinstance(link, MemoryLink)
    connection.flush()
    return [json.loads(payload) for _, payload in link.frames()]


# --- health


def test_clients_are_told_once_when_the_database_is_silent_and_once_when_it_is_not() -> None:
    hub, ear = Hub(), Ear()
    health, tab, plain = Health(hub), connect(hub), connect(hub, "plain")
    feed: Any = ear

    for silence in (0.1, 2.9, 3.1, 60.0, 0.1, 0.1):
        ear.silence = silence
        health.look(feed)

    assert [one["payload"] for one in told(tab)] == [{"degraded": True}, {"degraded": False}]
    assert {one["channel"] for one in told(tab)} == {"health"}
    assert told(plain) == []


def test_who_comes_meanwhile_is_told_and_who_comes_later_is_not() -> None:
    hub, ear = Hub(), Ear()
    health, early, late = Health(hub), connect(hub), connect(hub)
    feed: Any = ear
    ear.silence = 10.0
    health.look(feed)
    hub.remove(late)

    health.entered(early)
    ear.silence = 0.0
    health.look(feed)
    health.entered(late)

    assert len(told(early)) == 3
    assert len(told(late)) == 1


def test_a_feed_that_follows_has_heard_just_now_and_one_that_does_not_never() -> None:
    """The contract's own answer, for feeds that know no better."""
    feed = SignalFeed(Settings())
    before = feed.heard
    feed.start()
    live = feed.heard
    feed.stop()

    assert before == 0.0
    assert time.monotonic() - live < 1


# --- the log


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "tests.health"]


def test_an_outage_is_logged_once_for_each_sentence_and_then_with_a_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("wsflask.outage.time.monotonic", lambda: now)
    for number in range(1000):
        outage.log_outage(_log, "view %d failed", number)
        outage.log_outage(_log, "no user")
    now += 31.0
    outage.log_outage(_log, "view %d failed", 7)

    assert lines(caplog) == ["view 0 failed", "no user", "view 7 failed (and 999 times since it was said last)"]


def test_a_failure_of_the_database_is_a_line_and_every_other_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    found = [
        outage.log_failure(_log, error, "it failed for %s", "ada")
        for error in (NetworkTimeout("secret"), AutoReconnect("secret"), KeyError("bug"), KeyError("bug"))
    ]

    assert found == [True, True, False, False]
    assert lines(caplog) == ["it failed for ada: NetworkTimeout", "it failed for ada", "it failed for ada"]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True, True]


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (WTimeoutError("slow", code=64), True),
        (OperationFailure("stepping down", details={"errorLabels": ["RetryableWriteError"]}), True),
        (DuplicateKeyError("twice"), False),
        (None, False),
    ],
)
def test_what_mongoengine_has_wrapped_counts_if_time_or_a_primary_was_missing(
    cause: Exception | None, *, expected: bool
) -> None:
    wrapped = mongoengine.OperationError("could not save")
    wrapped.__context__ = cause

    assert outage.is_outage(wrapped) is expected


def test_a_task_that_the_database_ended_starts_again_within_a_second_and_without_a_word_each_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[float] = []

    def work() -> None:
        starts.append(time.monotonic())
        if len(starts) < 8:
            raise AutoReconnect("no primary")

    monkeypatch.setattr("wsflask.tasks._OUTAGE", 0.05)
    task = supervise("work", work)
    wait_until(lambda: not task.is_alive)

    assert len(starts) == 8
    assert starts[-1] - starts[0] < 2
    assert [record.getMessage() for record in caplog.records] == ["the task work failed: AutoReconnect"]


# --- patience


@pytest.mark.parametrize(("answers", "expected"), [(True, [5.0, 10.0]), (False, [0.5])])
def test_a_database_that_answers_others_is_waited_for_longer(*, answers: bool, expected: list[float]) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(round(seconds, 1))
        return False

    assert not Patience(5.0, lambda: answers).wait(wait)
    assert waits == expected


def test_patience_is_spent_by_all_that_is_waited_for() -> None:
    patience = Patience(0.1)
    time.sleep(0.06)
    before = patience.left
    time.sleep(0.06)

    assert 0 < before < 0.05
    assert patience.left == 0.0
