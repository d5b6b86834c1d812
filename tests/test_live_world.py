"""Live views against a simulated truth: whatever happens, at rest every client shows what the query finds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live_world import ORDERED, UNORDERED, Database, Page, Worker, settle, truth
from wsflask.config import Settings

ACTIONS = (
    "insert", "update", "update", "update", "delete", "transaction", "tick", "feed", "feed", "feed", "read", "answer",
    "connect", "join", "join", "join", "receive", "flush", "flush", "cut", "cut", "judge",
)  # fmt: skip
IDS = 4


class Run:
    """One history: workers, pages, and what happens to them, all told by numbers."""

    def __init__(self, seed: int, choices: Any, *, exact: bool, history: int, kinds: Any) -> None:
        self.chance = random.Random(seed)
        self.database = Database()
        for identity in range(0, IDS, 2):
            self.do("insert", identity)
        options = Settings(view_history=history, database_timeout=1000.0)
        self.workers = [Worker(self.database, options, exact=exact, late=4) for _ in range(2)]
        self.pages = [Page(choices, tells_rows=tells) for tells in kinds]

    def do(self, action: str, number: int) -> None:
        getattr(self, f"_{action}")(number)
        settle()

    def _document(self) -> dict[str, Any]:
        choice = self.chance.choice
        status, owner = choice(["open", "open", "shut"]), choice(["ann", "ann", "ben"])
        return {"status": status, "total": choice([1, 2]), "owner": owner}

    def _insert(self, number: int) -> None:
        self.database.write(("I", number % IDS, self._document()))

    def _update(self, number: int) -> None:
        self.database.write(("U", number % IDS, self._document()))

    def _delete(self, number: int) -> None:
        self.database.write(("D", number % IDS, None))

    def _transaction(self, number: int) -> None:
        first, second = number % IDS, number // IDS
        choose = self.chance.choice
        self.database.write(*((choose("IUD"), identity, self._document()) for identity in (first, second, first)))

    def _tick(self, number: int) -> None:
        self.database.tick()

    def _worker(self, number: int) -> Worker:
        return self.workers[number % len(self.workers)]

    def _page(self, number: int) -> Page:
        return self.pages[number % len(self.pages)]

    def _feed(self, number: int) -> None:
        self._worker(number).feed(1 + number // 2 % 3, self.chance)

    def _gap(self, number: int) -> None:
        self._worker(number).gap([None, "world_ticket"][number // 2 % 2])

    def _read(self, number: int) -> None:
        worker = self._worker(number)
        for request in worker.requests:
            if request.loaded is None:
                worker.read(request, self.chance)
                return

    def _answer(self, number: int) -> None:
        worker = self._worker(number)
        for request in worker.requests:
            if request.loaded is not None:
                worker.answer(request)
                return

    def _connect(self, number: int) -> None:
        page = self._page(number)
        if page.worker is None:
            page.connect(self._worker(number // len(self.pages)), self.chance)

    def _join(self, number: int) -> None:
        """Come, and get all rows."""
        self.do("connect", number)
        for worker in range(len(self.workers)):
            self.do("read", worker)
            self.do("answer", worker)
        self._flush(number)

    def _flush(self, number: int) -> None:
        self._page(number).receive(1000)

    def _receive(self, number: int) -> None:
        self._page(number).receive(1 + number // len(self.pages) % 4)

    def _cut(self, number: int) -> None:
        self._page(number).cut()

    def _judge(self, number: int) -> None:
        self._page(number).judge(number // len(self.pages))

    def _judge_again(self, number: int) -> None:
        self._page(number).judge_again()

    def rest(self) -> None:
        """Let all that is under way come to its end."""
        for _ in range(10):
            for worker in self.workers:
                worker.feed(worker.lag, self.chance)
                for request in worker.requests[:]:
                    if request.loaded is None:
                        worker.read(request, self.chance)
                    worker.answer(request)
            settle()
            for index, page in enumerate(self.pages):
                page.receive(10_000)
                if not page.ws.is_open:
                    page.cut()
                if page.worker is None:
                    page.connect(self.workers[index % 2], self.chance)
            settle()

    def end(self) -> None:
        for page in self.pages:
            page.cut()
        self.rest_of_loads()

    def rest_of_loads(self) -> None:
        for worker in self.workers:
            while worker.requests:
                for request in worker.requests[:]:
                    if request.loaded is None:
                        worker.read(request, self.chance)
                    worker.answer(request)
                settle()


steps = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 11)), min_size=5, max_size=60)


def play(seed: int, actions: Any, choices: Any, **options: Any) -> None:
    run = Run(seed, choices, **options)
    try:
        for action, number in actions:
            run.do(action, number)
        run.rest()
        for page in run.pages:
            assert page.shown() == truth(page.query, run.database)
    finally:
        run.end()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 99),
    steps,
    st.lists(st.booleans(), min_size=1, max_size=3),
    st.sampled_from([UNORDERED, ORDERED]),
    st.booleans(),
    st.sampled_from([2, 5, 1000]),
)
def test_at_rest_every_page_shows_what_the_query_finds(
    seed: int, actions: Any, kinds: Any, choices: Any, exact: bool, history: int
) -> None:
    play(seed, actions, choices, exact=exact, history=history, kinds=kinds)


@pytest.mark.parametrize("choices", [UNORDERED, ORDERED], ids=["rows", "windows"])
def test_after_long_walks_every_page_shows_what_the_query_finds(choices: Any) -> None:
    for seed in range(300):
        chance = random.Random(seed)
        actions = [(chance.choice([*ACTIONS, "gap", "judge_again"]), chance.randrange(12)) for _ in range(80)]
        kinds = [chance.random() < 0.7 for _ in range(3)]
        play(seed, actions, choices, exact=chance.random() < 0.7, history=chance.choice([2, 5, 1000]), kinds=kinds)
