"""The greenlets that handle what arrives."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from tests.harness import wait_until
from wsflask.transport.crew import Crew

WORD: contextvars.ContextVar[str] = contextvars.ContextVar("word")


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew()
    yield made
    made.stop()


def test_work_is_done_in_order_when_the_caller_waits(crew: Crew) -> None:
    done: list[int] = []
    for number in range(1000):
        crew.run(lambda number=number: done.append(number))  # type: ignore[misc]

    assert done == []
    wait_until(lambda: len(done) == 1000)
    assert done == sorted(done)


def test_work_that_does_not_wait_shares_a_greenlet(crew: Crew) -> None:
    seen: list[object] = []
    for _ in range(100):
        crew.run(lambda: seen.append(gevent.getcurrent()))

    wait_until(lambda: len(seen) == 100)
    assert len(set(seen)) == 1


def test_work_that_waits_holds_nobody_up(crew: Crew) -> None:
    gate, done = Event(), []
    for _ in range(50):
        crew.run(lambda: gate.wait() and None)
    crew.run(lambda: done.append(1))

    wait_until(lambda: done == [1])
    assert not gate.is_set()
    gate.set()


def test_the_loop_is_served_between_many_pieces_of_work(crew: Crew) -> None:
    """A timer that is due fires long before 100,000 pieces are done."""
    done: list[int] = []
    fired: list[int] = []
    for _ in range(100_000):
        crew.run(lambda: done.append(1))
    gevent.get_hub().loop.timer(0.0).start(lambda: fired.append(len(done)))

    wait_until(lambda: len(done) == 100_000)
    assert fired
    assert fired[0] < 5000


def test_a_failure_is_logged_and_costs_only_its_own_piece(crew: Crew, caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    with caplog.at_level(logging.ERROR, "wsflask"):
        crew.run(lambda: 1 / 0)  # type: ignore[arg-type]
        crew.run(lambda: done.append(1))
        wait_until(lambda: done == [1])

    assert "ZeroDivisionError" in caplog.text


def test_a_killed_greenlet_is_replaced(crew: Crew) -> None:
    workers: list[gevent.Greenlet[..., None]] = []
    done: list[int] = []

    def wait() -> None:
        workers.append(gevent.getcurrent())  # type: ignore[arg-type]
        gevent.sleep(60)

    crew.run(wait)
    wait_until(lambda: workers)
    workers[0].kill()
    crew.run(lambda: done.append(1))

    wait_until(lambda: done == [1])


def test_a_piece_of_work_sees_no_context_variable_of_another(crew: Crew) -> None:
    seen: list[str] = []
    crew.run(lambda: WORD.set("first") and None)
    crew.run(lambda: seen.append(WORD.get("nothing")))

    wait_until(lambda: seen)
    assert seen == ["nothing"]


def test_idle_greenlets_beyond_a_few_end(crew: Crew) -> None:
    gate = Event()
    for _ in range(200):
        crew.run(lambda: gate.wait() and None)
    gevent.sleep(0.01)
    gate.set()
    gevent.sleep(0.05)

    assert len(crew._idle) <= 8
