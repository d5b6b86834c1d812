"""What a subscriber is sent first: the rows, or what differs from those it has."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterator

from ..protocol.messages import Message
from .before import Before
from .subscriber import Subscriber
from .view import Emission, Loaded, Row, View

__all__ = ["Greeting"]


class Greeting:
    """The first messages for those who wait for a view; the ones for who has nothing are encoded once for all.

    Of a load all but the last have an empty position: nobody can go on from the middle.

    Args:
        view: its rows are known.
        loaded: the rows, in order; None: they are not needed, for who is greeted has them.
        position: where they are.
    """

    def __init__(self, view: View, loaded: Loaded | None, position: str) -> None:
        self._view = view
        self._loaded = loaded or Loaded({})
        self._known: Container[Hashable] = view if loaded is None else loaded.rows
        self._position = position

    def greet(self, subscriber: Subscriber, before: Before | None) -> None:
        """Have the subscriber sent what it lacks.

        Args:
            before: what it has already; None: nothing that would be known.
        """
        start_seq = ""
        if before is not None and before.is_enough(self._known):
            if subscriber.start_seq:
                subscriber.state = "resumed"
            if subscriber.held is not None:  # who does not say what it holds cannot go on from the middle either
                start_seq = subscriber.start_seq
            messages = self._encoded([*before.gone(self._known), *self._emissions(before.op_for)], start_seq)
        else:
            subscriber.is_reset = subscriber.is_reset or (before is not None and not subscriber.is_awaited)
            messages = list(self._all())
        count, position = len(messages), start_seq if messages else self._position
        if subscriber.is_reset:
            messages.insert(0, self._view.notice("reset", position, rows=count))
        if subscriber.moved_from:
            messages.insert(0, self._view.moved_notice(subscriber.moved_from, position))
        subscriber.begin(messages, position)

    def _all(self) -> list[Message]:
        known = self._loaded.messages
        if known is None or known[0] != self._position:
            known = self._position, self._encoded(list(self._emissions(lambda key, row: "L")))
            self._loaded.messages = known
        return known[1]

    def _emissions(self, op_for: Callable[[Hashable, Row], str]) -> Iterator[Emission]:
        after, is_ordered = b"null", self._view.query.order is not None
        for key, row in self._loaded.rows.items():
            op = op_for(key, row)
            if op:
                yield Emission(op, row.body, after if is_ordered else None)
            after = row.id

    def _encoded(self, emissions: list[Emission], start_seq: str = "") -> list[Message]:
        """Return the messages; whoever has not got the last one goes on from where it was."""
        last = len(emissions) - 1
        return [
            self._view.message(self._position if number == last else start_seq, emission)
            for number, emission in enumerate(emissions)
        ]
