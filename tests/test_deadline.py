"""What a client asks is answered in one time, whatever it has to wait for."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest

from tests.harness import Database
from tests.harness.stage import Actor, Stage
from wsflask.deadline import asked_at, ended, seconds_left
from wsflask.errors import Refusal
from wsflask.service import Service
from wsflask.services.clipboard import Clipboard
from wsflask.testing.waiting import wait_until


class Slow(Service):
    """Takes as long as it is told, and answers how long it might have waited for the database."""

    channel = "slow"

    def on_message(self, ws: Any, user: Any, message: Any) -> Any:
        left = seconds_left(5.0)
        gevent.sleep(message["seconds"])
        return left


class Till(Service):
    """Applies commands that take as long as they are told."""

    channel = "till"

    def on_message(self, ws: Any, user: Any, message: Any) -> Any:
        return self.once(ws, message, lambda: gevent.sleep(message["seconds"]))


def answers(actor: Actor, count: int) -> dict[str, Any]:
    """Return what answered which request, when there are so many."""
    return wait_until(  # type: ignore[no-any-return]
        lambda: len(found := {each["id"]: each["payload"] for each in list(actor.envelopes) if "id" in each}) >= count
        and found
    )


def test_all_of_the_time_is_left_where_nobody_has_asked() -> None:
    assert seconds_left(5.0) == 5.0


def test_what_was_waited_for_since_the_client_asked_is_gone() -> None:
    token = asked_at(time.monotonic() - 3.0)
    try:
        assert seconds_left(5.0) == pytest.approx(1.75, abs=0.1)  # a twentieth is for the way back
        with pytest.raises(Refusal):
            seconds_left(3.5)  # one tenth of the time is too short to begin
    finally:
        ended(token)
    assert seconds_left(5.0) == 5.0


def test_messages_that_a_client_sends_at_once_share_their_time(database: Database) -> None:
    with Stage(Slow) as stage:
        actor = stage.connect("ada")
        for number in range(3):
            actor.say("slow", {"seconds": 0.3}, id=f"m{number}")
        found = answers(actor, 3)
        gevent.sleep(0.1)
        actor.say("slow", {"seconds": 0.0}, id="later")
        later = answers(actor, 4)["later"]

    assert [found[f"m{number}"] for number in range(3)] == pytest.approx([4.75, 4.45, 4.15], abs=0.15)
    assert later == pytest.approx(4.75, abs=0.05)


def test_a_command_waits_for_others_of_its_user_no_longer_than_it_may(database: Database) -> None:
    with Stage(Clipboard, database_timeout=0.5) as stage:
        actor = stage.connect("ada")
        actor.wait("clipboard", 1)
        service: Any = stage.server.services[0]
        for lock in service._store._locks:
            lock.acquire()
        began = time.monotonic()
        for number in range(3):
            actor.say("clipboard", {"action": "clipboard_add", "data": number}, id=f"m{number}")
        found = answers(actor, 3)
        taken = time.monotonic() - began
        for lock in service._store._locks:
            lock.release()

        assert {answer["code"] for answer in found.values()} == {"unavailable"}
        assert 0.4 < taken < 1.0  # some of the time was left for the database
        assert actor.ask("clipboard", {"action": "clipboard_add", "data": 9})["channel"] == "clipboard"


def test_repeats_of_a_command_wait_for_it_no_longer_than_they_may(database: Database) -> None:
    with Stage(Till, database_timeout=0.5) as stage:
        stage.connect("ada").say("till", {"cmd_id": "c1", "seconds": 2.0}, id="first")
        wait_until(lambda: stage.server.services[0]._ledger._under_way)
        actor = stage.connect("ada")
        began = time.monotonic()
        for number in range(3):
            actor.say("till", {"cmd_id": "c1", "seconds": 0.0}, id=f"m{number}")
        found = answers(actor, 3)

        assert {answer["code"] for answer in found.values()} == {"unavailable"}
        assert 0.4 < time.monotonic() - began < 1.0
