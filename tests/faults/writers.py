"""The writers of a stand: a process for each kind of thing that is written."""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

from tests.harness import ROOT
from wsflask.testing.deliveries import Written
from wsflask.testing.talking import TalkingChild

from .models import groups_of, user_name

__all__ = ["Writers"]

_KINDS = ("notifications", "publications", "items")


class Writers:
    """Processes that write, and know what they were told."""

    def __init__(self, uri: str, *, seed: int, users: int) -> None:
        command = [sys.executable, "-m", "tests.faults.writer"]
        self._children = {
            kind: TalkingChild(
                [*command, kind, uri, str(seed), str(users)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
            )
            for kind in _KINDS
        }  # fmt: skip
        self._members: dict[str, list[str]] = {}
        for number in range(users):
            for group in groups_of(number):
                self._members.setdefault(group, []).append(user_name(number))
        self._rates: dict[str, float] = {}
        #: Whether a publication can be kept, so that who was away gets it.
        self.keeps = bool(self._children["publications"].ask(do="state")["keeps"])

    def fill(self, count: int) -> None:
        """Insert items."""
        self._children["items"].ask(do="fill", count=count)

    def write(self, *, size: int = 0, **rates: float) -> None:
        """Write at these rates a second from now on: notifications, publications, items; others stay as they are.

        Args:
            size: bytes more in each.
        """
        for kind, rate in rates.items():
            self._children[kind].ask(do="write", rate=rate, size=size)

    def flood(self, kind: str, users: list[str]) -> None:
        """Write everything of a kind for these users together; none: as usual again."""
        self._children[kind].ask(do="flood", users=users)

    def stop_writing(self) -> None:
        """Write nothing; writes under way go on to their end."""
        self.write(notifications=0.0, publications=0.0, items=0.0)

    def written(self, kind: str) -> list[Written]:
        """Return all that was written, with what was told of it."""
        found = []
        for token, lane, users, groups, outcome, began, ended in self._children[kind].ask(do="collect"):
            to = None if users is None and not groups else frozenset([*(users or ()), *self._of(groups)])
            found.append(Written(token, lane, to, outcome, began, ended or time.monotonic()))
        return found

    def are_idle(self) -> bool:
        """Return whether no write is under way."""
        return all(each[6] for kind in _KINDS for each in self._children[kind].ask(do="collect"))

    def longest_stall(self, since: float) -> float:
        """Return the longest time since then in which nothing was written, over all kinds that write, in seconds."""
        longest = 0.0
        for kind in _KINDS:
            ends: list[float] = sorted(self._children[kind].ask(do="recent", since=since))
            moments = [since, *ends, time.monotonic()]
            longest = max([longest, *(later - before for before, later in itertools.pairwise(moments))])
        return longest

    def count(self, kind: str) -> int:
        """Return how much was written."""
        return int(self._children[kind].ask(do="state")["written"])

    def _of(self, groups: Any) -> list[str]:
        return [user for group in groups for user in self._members.get(group, ())]

    def stop(self) -> None:
        """End the processes."""
        for child in self._children.values():
            child.stop(timeout=1.0)
