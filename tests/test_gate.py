"""A few at a time, the others in the order in which they came."""

from __future__ import annotations

import gevent

from tests.harness import wait_until
from wsflask.gate import Gate


def test_more_than_there_are_places_wait_in_the_order_in_which_they_came() -> None:
    gate, seen, most = Gate(2), [], 0
    inside: list[int] = []

    def come(number: int) -> None:
        nonlocal most
        turn = gate.enter(5.0)
        assert turn
        inside.append(number)
        most = max(most, len(inside))
        seen.append(number)
        gevent.sleep(0.01)
        inside.remove(number)
        turn.end()
        turn.end()  # gives no second place

    gevent.joinall([gevent.spawn(come, number) for number in range(9)], raise_error=True)

    assert seen == list(range(9))
    assert most == 2
    assert len(gate) == 0


def test_who_has_waited_for_too_long_gives_up_and_keeps_nobody_from_a_place() -> None:
    gate = Gate(1)
    told: list[bool] = []

    def come(timeout: float) -> None:
        turn = gate.enter(timeout)
        told.append(turn is not None)
        if turn:
            turn.end()

    first = gate.enter(1.0)
    late, patient = gevent.spawn(come, 0.02), gevent.spawn(come, 5.0)
    late.join()
    assert told == [False]
    assert first
    first.end()
    patient.join()

    assert told == [False, True]
    assert gate.enter(0.0)


def test_who_is_killed_while_waiting_takes_no_place() -> None:
    gate = Gate(1)
    first = gate.enter(1.0)
    waiter = gevent.spawn(gate.enter, 5.0)
    assert wait_until(lambda: len(gate) == 1)
    waiter.kill()
    assert first
    first.end()

    assert gate.enter(0.0)


def test_who_is_killed_in_the_moment_in_which_it_is_its_turn_gives_the_place_back() -> None:
    gate = Gate(1)
    first = gate.enter(1.0)
    waiter = gevent.spawn(gate.enter, 5.0)
    assert wait_until(lambda: len(gate) == 1)
    waiter.kill(block=False)  # it hears of this first,
    assert first
    first.end()  # and has been called by then
    waiter.join()

    assert gate.enter(0.0)
