"""What one consumer holds, and how far it has come."""

from __future__ import annotations

import gevent

from tests.harness import MS, PATIENCE
from wsflask.feed import Change, Gap, Subscription
from wsflask.feed.positions import moment_before, numbered


def moment(number: int) -> str:
    return f"{number:020d}"


def change(number: int, count: int = 0) -> Change:
    return Change(numbered(moment(number), count), "I", "gates", number, {})


def new_subscription(backlog: int = 5, start: str = "") -> Subscription:
    return Subscription("test", frozenset({("db", "gates")}), backlog, lambda _: None, start)


def test_the_position_follows_what_is_taken() -> None:
    subscription = new_subscription(start=moment(10))

    positions = [subscription.position]
    subscription.put([change(12), change(14)], moment(15))
    for _ in range(2):
        positions.append(subscription.position)
        subscription.take(0)
    positions.append(subscription.position)

    assert positions == [moment(10), moment(11), moment(13), moment(15)]


def test_the_position_moves_when_nothing_waits() -> None:
    subscription = new_subscription(start=moment(10))

    subscription.put([], moment(20))
    quiet = subscription.position
    subscription.put([change(30)], moment(30))
    subscription.put([], moment(40))

    assert (quiet, subscription.position) == (moment(20), moment(29))


def test_a_moment_of_which_something_waits_is_not_reached() -> None:
    subscription = new_subscription(backlog=10)
    subscription.put([change(7), change(7, 1)], moment(7))

    subscription.take(0)
    before = subscription.position
    subscription.take(0)

    assert (before, subscription.position) == (moment_before(moment(7)), moment(7))


def test_what_is_put_again_is_not_told_again() -> None:
    subscription = new_subscription(backlog=10)
    subscription.put([change(1), change(2)], moment(2))

    subscription.skip_told()
    subscription.put([change(1)], moment(1))
    subscription.put([change(2), change(3)], moment(3))

    assert subscription.take_many(10, 0) == [change(1), change(2), change(3)]
    assert subscription.position == moment(3)


def test_many_are_taken_without_parting_a_moment() -> None:
    subscription = new_subscription(backlog=10)
    subscription.put([change(1), change(2), change(2, 1), change(2, 2), change(3)], moment(3))

    taken = [subscription.take_many(2, 0), subscription.take_many(2, 0), subscription.take_many(2, 0)]

    assert taken == [[change(1), change(2), change(2, 1), change(2, 2)], [change(3)], []]
    assert subscription.statistics()["taken"] == 5


def test_more_than_it_holds_at_once_is_a_gap() -> None:
    subscription = new_subscription(backlog=3)
    subscription.put([change(1)], moment(1))

    subscription.put([change(2), change(3), change(4)], moment(4))
    subscription.put([change(5)], moment(5))

    gap, later = subscription.take_many(10, 0)
    assert isinstance(gap, Gap)
    assert (gap.seq, later) == (moment(4), change(5))
    assert subscription.statistics() == {"waiting": 0, "taken": 2, "dropped": 4, "gaps": 1}


def test_a_gap_of_one_collection_leaves_what_was_before_it() -> None:
    subscription = new_subscription(backlog=10)
    gap = Gap(moment(3), "a collection was changed by drop", "gates")
    subscription.put([change(1)], moment(1))

    subscription.put([change(2), gap, change(4)], moment(4))

    assert subscription.take_many(10, 0) == [change(1), change(2), gap, change(4)]
    assert subscription.statistics()["dropped"] == 0


def test_after_a_loss_positions_may_begin_anew() -> None:
    subscription = new_subscription(backlog=10)
    subscription.put([change(50)], moment(50))

    subscription.lose(Gap(moment(20), "the history is gone"))
    subscription.put([change(21)], moment(21))

    assert [item.seq for item in subscription.take_many(10, 0)] == [moment(20), moment(21)]
    assert subscription.position == moment(21)


def test_one_who_waits_for_a_position_is_woken_when_it_is_reached() -> None:
    subscription = new_subscription(backlog=10)
    consumer = gevent.spawn(subscription.take, PATIENCE)
    gevent.sleep(0)

    subscription.wake_at(moment(30))
    subscription.wake_at(moment(20))
    subscription.put([], moment(19))
    gevent.sleep(5 * MS)
    is_early = consumer.ready()
    subscription.put([], moment(20))
    consumer.join(PATIENCE)

    assert (is_early, consumer.ready(), consumer.value) == (False, True, None)
    assert subscription.position == moment(20)


def test_a_position_that_is_reached_already_wakes_at_once_and_only_once() -> None:
    subscription = new_subscription(start=moment(20))
    consumer = gevent.spawn(subscription.take_many, 10, PATIENCE)
    gevent.sleep(0)

    subscription.wake_at(moment(20))
    consumer.join(PATIENCE)
    other = gevent.spawn(subscription.take_many, 10, PATIENCE)
    gevent.sleep(5 * MS)

    assert (consumer.value, other.ready()) == ([], False)
    subscription.close()
    other.join(PATIENCE)
    assert other.value == []


def test_what_waits_comes_before_the_awaited_position() -> None:
    subscription = new_subscription(backlog=10)
    subscription.put([change(1), change(2)], moment(2))

    subscription.wake_at(moment(2))

    assert [subscription.take(PATIENCE), subscription.take(PATIENCE)] == [change(1), change(2)]
    assert subscription.take(PATIENCE) is None
    assert subscription.position == moment(2)


def test_waking_does_not_end_an_iteration() -> None:
    subscription = new_subscription(backlog=10)
    seen: list[Change | Gap] = []
    consumer = gevent.spawn(lambda: seen.extend(subscription))
    gevent.sleep(0)

    subscription.wake_at("")
    gevent.sleep(0)
    subscription.put([change(1)], moment(1))
    gevent.sleep(0)
    subscription.close()
    consumer.join(PATIENCE)

    assert seen == [change(1)]
