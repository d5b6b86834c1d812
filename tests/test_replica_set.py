"""A replica set that fails: its primary steps down, is killed, is frozen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.harness import data_folder
from wsflask.testing import ReplicaSet


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    folder = data_folder()
    with ReplicaSet(folder) as started:
        yield started
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_primary_that_steps_down_or_is_killed_has_a_successor_and_a_frozen_member_thaws(
    replica_set: ReplicaSet,
) -> None:
    first, term = replica_set.await_primary(), replica_set.term()
    replica_set.step_down(60)
    second = replica_set.await_primary(other_than=first)
    assert replica_set.term() > term

    replica_set.freeze(first)
    assert replica_set.is_frozen(first)
    replica_set.thaw(first)
    assert not replica_set.is_frozen(first)

    replica_set.stop_all()
    assert replica_set.primary() is None
    replica_set.start_all()
    assert replica_set.await_primary() in {0, 1, 2}
    assert second != first
