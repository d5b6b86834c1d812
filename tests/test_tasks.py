"""Work beside the caller: patched here, with real threads in a process of its own."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from tests.harness import ROOT, wait_until
from wsflask import tasks
from wsflask.tasks import Supervised, is_patched, spawn, supervise


@pytest.fixture
def supervised() -> Iterator[Callable[..., Supervised]]:
    """Supervise work that is stopped after the test."""
    started: list[Supervised] = []

    def start(function: Callable[[], object], on_restart: Callable[[], object] | None = None) -> Supervised:
        started.append(supervise("test", function, on_restart))
        return started[-1]

    yield start
    for task in started:
        task.stop()


def test_this_process_is_patched() -> None:
    assert is_patched()


def test_work_runs_beside_the_caller_with_its_arguments() -> None:
    seen: list[int] = []

    task = spawn("test", lambda a, b: seen.append(a + b), 1, 2)
    before = list(seen)
    ended = task.join(1)

    assert (before, seen, ended, task.is_alive) == ([], [3], True, False)


def test_an_exception_is_logged_under_the_name_of_the_work(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    spawn("the mill", fail).join(1)

    (record,) = caplog.records
    assert "the mill" in record.getMessage()
    assert record.exc_info


def test_work_that_is_stopped_ends_and_may_be_stopped_twice() -> None:
    task = spawn("test", time.sleep, 60)
    gevent.sleep(0)
    alive = task.is_alive

    task.stop()
    task.stop()

    assert (alive, task.is_alive) == (True, False)


def test_joining_work_that_goes_on_is_false() -> None:
    task = spawn("test", time.sleep, 60)

    assert task.join(0.01) is False
    task.stop()


def test_work_that_stops_itself_goes_on_to_its_end() -> None:
    seen: list[str] = []
    own: list[tasks.Task] = []

    def stop_self() -> None:
        own[0].stop()
        seen.append("done")

    own.append(spawn("test", stop_self))
    own[0].join(1)

    assert seen == ["done"]


def test_supervised_work_that_returns_is_finished(supervised: Callable[..., Supervised]) -> None:
    runs: list[int] = []

    task = supervised(lambda: runs.append(1))

    wait_until(lambda: not task.is_alive)
    assert (runs, task.restarts) == ([1], 0)


def test_supervised_work_that_raises_is_started_again(
    supervised: Callable[..., Supervised], caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []
    restarts: list[int] = []

    def fail_twice() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("broken")

    task = supervised(fail_twice, lambda: restarts.append(len(runs)))

    wait_until(lambda: not task.is_alive)
    assert (len(runs), task.restarts, restarts) == (3, 2, [1, 2])
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 4


def test_a_killed_greenlet_is_back_within_a_second(supervised: Callable[..., Supervised]) -> None:
    running: list[gevent.Greenlet[..., object]] = []

    def work() -> None:
        running.append(gevent.getcurrent())  # type: ignore[arg-type]
        time.sleep(60)

    supervised(work)
    wait_until(lambda: len(running) == 1)
    started = time.monotonic()
    running[0].kill()
    wait_until(lambda: len(running) == 2)

    assert time.monotonic() - started < 10


def test_a_timeout_of_gevent_counts_as_death(supervised: Callable[..., Supervised]) -> None:
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise gevent.Timeout(0)

    task = supervised(work)

    wait_until(lambda: not task.is_alive)
    assert len(runs) == 2


def test_work_that_keeps_dying_is_started_ever_more_slowly(
    supervised: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []

    def longest(low: float, high: float) -> float:
        delays.append(high)
        return 0.0

    def fail() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(random, "uniform", longest)
    supervised(fail)
    wait_until(lambda: len(delays) > 9)

    assert delays[:9] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_supervised_work_that_is_stopped_is_not_started_again(supervised: Callable[..., Supervised]) -> None:
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        time.sleep(60)

    task = supervised(work)
    wait_until(lambda: runs)
    task.stop()
    task.stop()

    assert (task.is_alive, runs) == (False, [1])


def test_supervised_work_can_be_stopped_while_it_waits_to_be_started_again(
    supervised: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    def long(low: float, high: float) -> float:
        waiting.set()
        return 60.0

    def fail() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(random, "uniform", long)
    task = supervised(fail)
    waiting.wait(1)
    started = time.monotonic()
    task.stop()

    assert not task.is_alive
    assert time.monotonic() - started < 10


UNPATCHED = """
import logging, threading, time
from wsflask.tasks import is_patched, spawn, supervise
logging.disable()
assert not is_patched()
names = []
task = spawn("mill", lambda: names.append(threading.current_thread().name))
assert task.join(2) and names == ["mill"], names
assert threading.active_count() == 1
go = threading.Event()
task = spawn("waits", go.wait)
assert not task.join(0.01) and task.is_alive
started = time.monotonic()
task.stop(0.05)
assert time.monotonic() - started < 1
go.set()
assert task.join(2)
runs = []
def work():
    runs.append(1)
    if len(runs) == 1: raise RuntimeError
    if len(runs) == 2: raise SystemExit
    end.wait()
end = threading.Event()
task = supervise("dies", work)
deadline = time.monotonic() + 5
while len(runs) < 3 and time.monotonic() < deadline: time.sleep(0.01)
assert len(runs) == 3 and task.restarts == 2, (runs, task.restarts)
end.set()
task.stop(2)
assert not task.is_alive
assert threading.active_count() == 1, threading.enumerate()
print("fine")
"""


def test_with_real_threads_work_runs_is_joined_and_is_started_again() -> None:
    run = subprocess.run(
        [sys.executable, "-c", UNPATCHED], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (run.stdout.strip(), run.stderr) == ("fine", "")
