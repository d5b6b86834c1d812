"""Streams against a simulated truth: every client surfaces every message once and in order, or is told `reset`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.streams_world import Client, Entry, History, Worker
from wsflask.feed.positions import moment_of
from wsflask.streams import stream as stream_module
from wsflask.streams.missed import Missed
from wsflask.streams.stream import Stream

ACTIONS = (
    "publish", "publish", "publish", "publish", "tick", "feed", "feed", "feed", "feed", "catch_up", "catch_up",
    "catch_up", "connect", "connect", "connect", "receive", "receive", "receive", "cut", "cut", "ping", "restart",
    "gap", "wait", "roll_over",
)  # fmt: skip
GAMES = 2500


class Game:
    """One history, played by a seed."""

    def __init__(self, seed: int, *, make: Callable[..., Stream[Entry]] = Stream, dedupes: bool = True) -> None:
        self.chance = chance = random.Random(seed)
        self.history = History()
        limits = SimpleNamespace(
            stream_history=chance.choice([2, 5, 1000, 1000]),
            stream_history_bytes=10_000_000,
            stream_reach=chance.choice([25.0, 1000.0, 1000.0]),
            stream_patience=5.0,
            outbox_bytes=chance.choice([1200, 100_000]),
        )
        self._is_nested = False
        self.workers = [Worker(self.history, limits, make, self.events) for _ in range(chance.choice([1, 2, 3]))]
        groups = [frozenset(), frozenset({"crew"}), frozenset({"crew", "staff"})]
        self.clients = [
            Client(chance.choice(["ada", "ben"]), chance.choice(groups), dedupes)
            for _ in range(chance.choice([1, 3, 5]))
        ]

    def play(self, actions: int) -> None:
        for _ in range(actions):
            self.do(self.chance.choice(ACTIONS))
        self.rest()
        for client in self.clients:
            self.check(client)

    def do(self, action: str) -> None:
        getattr(self, f"_{action}")()

    def events(self) -> None:
        """Let other greenlets have their turn."""
        if not self._is_nested:
            self._is_nested = True
            for _ in range(self.chance.choice([0, 1, 3])):
                self.do(self.chance.choice([each for each in ACTIONS if each != "restart"]))
            self._is_nested = False

    # --- what happens

    def _publish(self) -> None:
        some = self.chance.choice
        for_all = (True, frozenset[str](), frozenset[str]())
        kinds = [
            for_all,
            (False, frozenset({"ada"}), frozenset({"staff"})),
            (False, frozenset[str](), frozenset({"crew"})),
        ]
        self.history.publish(*(some(kinds) for _ in range(some([1, 1, 1, 3]))))

    def _tick(self) -> None:
        self.history.tick()

    def _worker(self) -> Worker:
        return self.chance.choice(self.workers)

    def _feed(self) -> None:
        worker = self._worker()
        if not worker.is_feeding:
            worker.is_feeding = True
            worker.feed(self.chance.choice([1, 1, 2, 50]), self.chance)
            worker.is_feeding = False

    def _gap(self) -> None:
        worker = self._worker()
        if not worker.is_feeding and self.chance.random() < 0.3:
            worker.is_feeding = True
            worker.gap(self.chance.choice([0, 1, 3]))
            worker.is_feeding = False

    def _catch_up(self) -> None:
        worker = self._worker()
        if not worker.is_catching_up:
            worker.is_catching_up = True
            worker.catch_up()
            worker.is_catching_up = False

    def _connect(self) -> None:
        client = self.chance.choice(self.clients)
        if client.socket is None:
            client.connect(self._worker())

    def _receive(self) -> None:
        self.chance.choice(self.clients).receive(self.chance.choice([1, 2, 100]))

    def _cut(self) -> None:
        self.chance.choice(self.clients).cut()

    def _ping(self) -> None:
        self._worker().ping()

    def _restart(self) -> None:
        self._worker().start()

    def _wait(self) -> None:
        self.history.clock += self.chance.choice([1.0, 3.0])

    def _roll_over(self) -> None:
        if self.chance.random() < 0.2:
            self.history.first = max(self.history.first, len(self.history.entries) - self.chance.choice([0, 2, 5]))

    # --- the end

    def rest(self) -> None:
        """Let everything come to its end."""
        self._is_nested = True
        for _ in range(60):
            self.history.clock += 1.0
            for worker in self.workers:
                worker.feed(1000, self.chance)
                worker.catch_up()
            for client in self.clients:
                client.receive(1000)
                if client.socket is None:
                    client.connect(self._worker())

    def check(self, client: Client) -> None:
        assert client.socket is not None
        assert client.socket.is_joined, "it was never caught up"
        assert client.socket.holds == 0
        assert client.base is not None
        expected = [entry.number for entry in self.history.entries[client.base :] if entry.is_for(client)]
        assert client.surfaced == expected


@pytest.fixture(autouse=True)
def everybody_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn after each client that is looked after, and after two messages to one."""
    monkeypatch.setattr(stream_module, "_TURN", 1)
    monkeypatch.setattr(stream_module, "_CHUNK", 3)
    monkeypatch.setattr(stream_module, "_NEAR", 5)
    monkeypatch.setattr(stream_module, "_STRETCHES", 1)


def play(games: int, **options: Any) -> list[Client]:
    clients: list[Client] = []
    for seed in range(games):
        game = Game(seed, **options)
        game.play(60)
        clients += game.clients
    return clients


def test_every_client_surfaces_every_message_once_and_in_order_or_is_told_reset() -> None:
    clients = play(GAMES)

    states = Counter(state for client in clients for state in client.states)
    assert min(states["loaded"], states["resumed"], states["reset"]) > GAMES // 4, states
    assert sum(client.missed for client in clients) > GAMES


class WithoutResume(Stream[Entry]):
    """Says that the client has everything."""

    def _look_up(self, comers: Any) -> None:
        for comer in comers:
            comer.todo, comer.end, comer.groups = iter(()), self.position, comer.ws.groups


class WithoutLock(Stream[Entry]):
    """Has a client join though something was added after what it missed was looked up."""

    def _is_at_end(self, comer: Any) -> bool:
        return True


class WithoutSilence(Stream[Entry]):
    """Takes a lost place for a place."""

    def _join(self, comer: Any, state: str) -> bool:
        return super()._join(comer, "resumed" if state == "reset" else state)


class SkipsParts(Stream[Entry]):
    """Takes a part of the past for all of it."""

    def _assign(self, comers: Any, entries: Any, end: str, stretch: Any) -> None:
        super()._assign(comers, entries, end if stretch is None else self.position, stretch)


class OfMoments(Stream[Entry]):
    """Forgets that a moment has several messages."""

    def begin(self, position: str) -> None:
        super().begin(position)
        self._journal.floor = moment_of(position)


@pytest.mark.parametrize(
    "mutation",
    [
        {"make": WithoutResume}, {"make": WithoutLock}, {"make": WithoutSilence}, {"make": OfMoments},
        {"make": SkipsParts}, {"dedupes": False},
    ],
    ids=["resume", "lock", "reset", "moments", "parts", "dedupe"],
)  # fmt: skip
def test_the_truth_tells_when_a_part_is_taken_out(mutation: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        play(GAMES, **mutation)


def test_the_work_grows_with_what_is_missed_not_with_who_comes() -> None:
    """Of 2,000 messages to one user each, 2,000 clients look at their own."""
    seen = 0

    class Counted(frozenset[str]):
        def __and__(self, other: Any) -> Any:
            nonlocal seen
            seen += 1
            return super().__and__(other)

    items = [
        (f"{n:020d}", SimpleNamespace(everyone=False, users=Counted({f"u{n}"}), groups=Counted()), 1)
        for n in range(2000)
    ]
    missed: Missed[Any] = Missed(items, lambda item: item, {f"u{n}" for n in range(2000)}, frozenset())

    found = [len(list(missed.of(f"u{n}", frozenset(), ""))) for n in range(2000)]

    assert found == [1] * 2000
    assert seen == 2 * 2000
