"""One piece of work for all that come at about the same time."""

from __future__ import annotations

import logging

import gevent
import pytest

from tests.harness import wait_until
from wsflask.gather import Gather


@pytest.fixture
def given_up() -> list[int]:
    """Return those whose round was broken off."""
    return []


class Rounds:
    """Work that notes the rounds it is given."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.rounds: list[list[int]] = []
        self._seconds = seconds

    def __call__(self, items: list[int]) -> None:
        self.rounds.append(items)
        gevent.sleep(self._seconds)

    def count(self) -> int:
        return sum(map(len, self.rounds))


def test_who_comes_alone_is_served_at_once(given_up: list[int]) -> None:
    rounds = Rounds()
    gather = Gather("test", rounds, given_up.extend)

    gather.add(1)
    gevent.sleep(0)

    assert rounds.rounds == [[1]]
    gevent.sleep(0.02)


def test_rounds_may_lie_further_apart(given_up: list[int]) -> None:
    rounds = Rounds()
    gather = Gather("test", rounds, given_up.extend, pause=0.1)

    gather.add(1)
    gevent.sleep(0.03)
    for number in (2, 3):
        gather.add(number)
        gevent.sleep(0.01)
    before = list(rounds.rounds)
    wait_until(lambda: rounds.count() == 3)

    assert before == [[1]]
    assert rounds.rounds == [[1], [2, 3]]
    gevent.sleep(0.15)


def test_those_who_come_meanwhile_share_the_next_round_in_their_order(given_up: list[int]) -> None:
    rounds = Rounds(seconds=0.01)
    gather = Gather("test", rounds, given_up.extend)

    gather.add(0)
    gevent.sleep(0.001)
    for number in range(1, 50):
        gather.add(number)
    wait_until(lambda: rounds.count() == 50)

    assert rounds.rounds == [[0], list(range(1, 50))]
    assert given_up == []
    gevent.sleep(0.03)


def test_a_storm_costs_few_rounds(given_up: list[int]) -> None:
    rounds = Rounds()
    gather = Gather("test", rounds, given_up.extend)

    for number in range(200):
        gather.add(number)
        gevent.sleep(0.0005)
    wait_until(lambda: rounds.count() == 200)

    assert len(rounds.rounds) < 50
    gevent.sleep(0.02)


def test_a_round_has_a_limit(given_up: list[int]) -> None:
    rounds = Rounds()
    gather = Gather("test", rounds, given_up.extend, limit=20)

    for number in range(50):
        gather.add(number)
    wait_until(lambda: rounds.count() == 50)

    assert [len(each) for each in rounds.rounds] == [20, 20, 10]
    gevent.sleep(0.02)


def test_a_round_that_fails_is_logged_and_given_up_and_the_next_goes_on(
    given_up: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []

    def work(items: list[int]) -> None:
        if 1 in items:
            raise ValueError("no")
        done.extend(items)

    gather = Gather("test", work, given_up.extend)
    with caplog.at_level(logging.ERROR, "wsflask"):
        gather.add(1)
        gevent.sleep(0)
        gather.add(2)
        wait_until(lambda: done == [2])

    assert "test failed for 1" in caplog.text
    assert given_up == [1]
    gevent.sleep(0.02)


def test_when_its_greenlet_is_killed_its_round_is_given_up_and_the_others_are_served(given_up: list[int]) -> None:
    rounds = Rounds(seconds=0.05)
    workers: list[gevent.Greenlet[..., None]] = []

    def work(items: list[int]) -> None:
        workers.append(gevent.getcurrent())  # type: ignore[arg-type]
        rounds(items)

    gather = Gather("test", work, given_up.extend)
    gather.add(1)
    gevent.sleep(0.01)
    gather.add(2)
    workers[0].kill()

    wait_until(lambda: rounds.rounds == [[1], [2]])
    assert given_up == [1]
    gevent.sleep(0.08)


def test_when_its_greenlet_is_killed_before_it_began_the_next_starts_another(given_up: list[int]) -> None:
    rounds = Rounds()
    gather = Gather("test", rounds, given_up.extend)
    gather.add(1)
    assert gather._task is not None
    gather._task.stop()

    gather.add(2)

    wait_until(lambda: rounds.rounds == [[1, 2]])
    gevent.sleep(0.02)


def test_what_waits_can_be_taken_back(given_up: list[int]) -> None:
    rounds = Rounds()
    gather = Gather("test", rounds, given_up.extend)
    gather.add(1)

    assert gather.withdraw() == [1]
    gevent.sleep(0.02)
    assert rounds.rounds == []
