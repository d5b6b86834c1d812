"""Several runs of pytest share the test files: each takes the next that none has taken yet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path

import pytest

__all__ = ["run_share"]

#: Begun first, since they take minutes: what is left in the end is short.
_LONG = ("test_faults.py", "test_outage.py", "test_deploys.py", "test_presence_workers.py", "test_server.py")

_Module = list[pytest.Item]


def run_share(session: pytest.Session, folder: Path) -> None:
    """Run the tests of those files that this run is the first to claim, by an empty file of that name in the folder."""
    modules = [list(items) for _, items in groupby(session.items, key=lambda item: item.path)]
    waiting = iter(sorted(modules, key=lambda items: items[0].path.name not in _LONG))
    module = _next_of(waiting, folder)
    while module is not None:
        for item, following in pairwise(module):
            _run(session, item, following)
        upcoming = _next_of(waiting, folder)  # what modules share ends when nothing follows
        _run(session, module[-1], upcoming[0] if upcoming is not None else None)
        module = upcoming


def _next_of(waiting: Iterator[_Module], folder: Path) -> _Module | None:
    for items in waiting:
        try:
            (folder / items[0].path.name).touch(exist_ok=False)
        except FileExistsError:
            continue
        return items
    return None


def _run(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
