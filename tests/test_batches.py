"""One query for all who ask at the same time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import gevent
import pymongo
import pytest
from gevent.event import Event
from pymongo.errors import AutoReconnect, NetworkTimeout

from tests.harness import ROOT
from tests.harness.basics import MS
from wsflask.batches import Batches


class Database:
    """Answers keys with their doubles, each query when it is let through."""

    def __init__(self) -> None:
        self.queries: list[list[int]] = []
        self.may_answer = Event()
        self.may_answer.set()
        #: Called in each query, with its number.
        self.fails: Callable[[int], None] = lambda number: None

    def find(self, keys: list[int]) -> dict[int, int]:
        self.queries.append(keys)
        number = len(self.queries)
        self.may_answer.wait()
        self.fails(number)
        return {key: 2 * key for key in keys}


def ask_for(batches: Batches[int, Any], keys: range) -> list[gevent.Greenlet[..., Any]]:
    """Have a greenlet ask for each key, until all of them wait."""
    asking = [gevent.spawn(batches.ask, key) for key in keys]
    gevent.sleep(5 * MS)
    return asking


def test_who_comes_alone_is_asked_for_alone() -> None:
    database = Database()
    batches = Batches(database.find, timeout=1)

    answers = [batches.ask(key) for key in (1, 2)]

    assert answers == [{1: 2}, {2: 4}]
    assert database.queries == [[1], [2]]


def test_all_who_can_run_come_into_the_same_query() -> None:
    database = Database()
    batches = Batches(database.find, timeout=1)

    asking = ask_for(batches, range(50))

    assert [each.get()[key] for key, each in enumerate(asking)] == [2 * key for key in range(50)]
    assert database.queries == [list(range(50))]


def test_a_process_that_is_always_busy_does_not_put_the_query_off_for_ever() -> None:
    def work() -> None:
        while True:
            gevent.sleep(0)

    batches = Batches(Database().find, timeout=1)
    busy = gevent.spawn(work)

    answer = batches.ask(1)
    busy.kill()

    assert answer == {1: 2}


def test_all_who_come_during_a_query_share_the_next_one() -> None:
    database = Database()
    batches = Batches(database.find, timeout=1)
    database.may_answer.clear()

    asking = [*ask_for(batches, range(1)), *ask_for(batches, range(1, 50)), *ask_for(batches, range(1, 50))]
    database.may_answer.set()
    answers = [each.get() for each in asking]

    assert database.queries == [[0], list(range(1, 50))]
    assert all(answer is answers[1] for answer in answers[1:])


def test_an_answer_is_from_a_query_that_began_after_the_question() -> None:
    known: set[str] = set()

    def find(keys: list[str]) -> set[str]:
        found = known & set(keys)
        gevent.sleep(5 * MS)  # what is written from here on is not in the answer
        return found

    batches = Batches(find, timeout=1)
    early = gevent.spawn(batches.ask, "a")
    gevent.sleep(MS)
    known.add("a")
    late = gevent.spawn(batches.ask, "a")

    assert (early.get(), late.get()) == (set(), {"a"})


def test_a_query_has_at_most_so_many_keys() -> None:
    database = Database()
    batches = Batches(database.find, timeout=1, limit=20)
    database.may_answer.clear()

    asking = ask_for(batches, range(50))
    database.may_answer.set()
    answers = [each.get() for each in asking]

    assert [len(keys) for keys in database.queries] == [20, 20, 10]
    assert [answer[key] for key, answer in enumerate(answers)] == [2 * key for key in range(50)]


def test_an_error_reaches_all_who_share_the_query_and_nobody_else() -> None:
    database = Database()
    batches = Batches(database.find, timeout=1)
    database.may_answer.clear()

    def fail(number: int) -> None:
        if number == 2:
            raise AutoReconnect("away")

    database.fails = fail
    asking = [*ask_for(batches, range(1)), *ask_for(batches, range(1, 5))]
    database.may_answer.set()
    gevent.joinall(asking)

    assert [type(each.exception) for each in asking] == [type(None), *[AutoReconnect] * 4]
    assert batches.ask(7) == {7: 14}


def test_a_key_that_cannot_be_asked_for_fails_alone() -> None:
    def find(keys: list[int]) -> dict[int, float]:
        return {key: 1 / key for key in keys}

    batches = Batches(find, timeout=1)

    asking = ask_for(batches, range(-2, 3))
    gevent.joinall(asking)

    assert [each.value for each in asking] == [{-2: -0.5}, {-1: -1}, None, {1: 1}, {2: 0.5}]
    assert type(asking[2].exception) is ZeroDivisionError


def test_nobody_waits_longer_than_the_deadline() -> None:
    database = Database()
    batches = Batches(database.find, timeout=30 * MS)
    database.may_answer.clear()

    asking = [*ask_for(batches, range(1)), *ask_for(batches, range(1, 5))]
    gevent.joinall(asking[1:], timeout=1)

    assert [type(each.exception) for each in asking[1:]] == [NetworkTimeout] * 4
    database.may_answer.set()
    assert asking[0].get() == {0: 0}
    assert batches.ask(7) == {7: 14}


def test_a_query_has_what_is_left_of_its_callers_time() -> None:
    left: list[float] = []

    def find(keys: list[int]) -> None:
        left.append(pymongo._csot.remaining() or 0)
        gevent.sleep(20 * MS)

    batches = Batches(find, timeout=1)
    gevent.joinall([*ask_for(batches, range(1)), *ask_for(batches, range(1, 3))], raise_error=True)

    assert len(left) == 2
    assert 1 >= left[0] > left[1] > 0


def test_the_others_are_answered_although_the_greenlet_that_asked_was_killed() -> None:
    database = Database()
    batches = Batches(database.find, timeout=1)
    database.may_answer.clear()

    asking = [*ask_for(batches, range(1)), *ask_for(batches, range(1, 5))]
    asking[1].kill(block=False)
    asking[0].kill()
    gevent.sleep(MS)
    database.may_answer.set()

    assert [each.get()[key] for key, each in enumerate(asking[2:], 2)] == [4, 6, 8]
    assert database.queries == [[0], [2, 3, 4]]


def test_nothing_of_an_answer_is_kept() -> None:
    batches = Batches(Database().find, timeout=1)

    batches.ask(1)

    assert (batches._open, batches._last) == (None, None)


THREADS = textwrap.dedent(
    """
    import threading, time
    from wsflask.batches import Batches
    from wsflask.tasks import is_patched

    assert not is_patched()
    queries, wrong = [], []

    def find(keys):
        queries.append(keys)
        time.sleep(0.002)
        return {key: 2 * key for key in keys}

    batches = Batches(find, timeout=10)

    def work(number):
        for key in range(number, number + 50):
            if batches.ask(key)[key] != 2 * key:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(number * 1000,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(wrong, sum(map(len, queries)), len(queries) < 500)
    """
)


def test_it_works_with_real_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )

    assert (done.stdout, done.stderr) == ("[] 1000 True\n", "")


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_greenlet_leaves_nobody_waiting(count: int) -> None:
    database = Database()
    batches = Batches(database.find, timeout=1)
    database.may_answer.clear()

    asking = ask_for(batches, range(count))
    gevent.killall(asking)
    database.may_answer.set()

    assert batches.ask(7) == {7: 14}
