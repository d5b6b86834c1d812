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
        with gate.turn(5.0) as is_in:
            assert is_in
            inside.append(number)
            most = max(most, len(inside))
            seen.append(number)
            gevent.sleep(0.01)
            inside.remove(number)

    gevent.joinall([gevent.spawn(come, number) for number in range(9)], raise_error=True)

    assert seen == list(range(9))
    assert most == 2
    assert len(gate) == 0


def test_who_has_waited_for_too_long_gives_up_and_keeps_nobody_from_a_place() -> None:
    gate = Gate(1)
    told: list[bool] = []

    def come(timeout: float) -> None:
        with gate.turn(timeout) as is_in:
            told.append(is_in)

    with gate.turn(1.0):
        late, patient = gevent.spawn(come, 0.02), gevent.spawn(come, 5.0)
        late.join()
        assert told == [False]
    patient.join()

    assert told == [False, True]
    with gate.turn(0.0) as is_in:
        assert is_in


def test_who_is_killed_while_waiting_takes_no_place() -> None:
    gate = Gate(1)

    def come() -> None:
        with gate.turn(5.0):
            raise AssertionError

    with gate.turn(1.0):
        waiter = gevent.spawn(come)
        assert wait_until(lambda: len(gate) == 1)
        waiter.kill()

    with gate.turn(0.0) as is_in:
        assert is_in
