"""The random walk goes a few steps, and sees when the server misbehaves; `make walk` goes far."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from tests.harness import ROOT
from tests.walk.documents import Drawer
from tests.walk.oracle import differs
from tests.walk.recorder import updated

WALK = [sys.executable, "-m", "tests.walk", "--seed", "7", "--clients", "12", "--minutes", "0.2", "--round", "6"]


def walk(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WALK, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.slow
def test_after_a_short_walk_every_client_has_the_rows_of_the_query() -> None:
    ended = walk()

    assert ended.returncode == 0, ended.stderr[-6000:]
    figures = dict(pair.split("=") for pair in ended.stdout.splitlines()[-1].split())
    assert figures["differences"] == figures["leaked"] == "0"
    assert int(figures["rows"]) > 100
    assert int(figures["resumed"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("break_", ["no-right-check", "no-removal"])
def test_a_walk_sees_that_the_server_misbehaves(break_: str) -> None:
    ended = walk("--break", break_)

    assert ended.returncode == 1, ended.stderr[-6000:]
    assert "DIFFERENCE" in ended.stderr


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), ([1], [1, 2]), ({"a": 1}, {"a": 1, "b": None}), ("1", 1)]
)
def test_values_that_json_tells_apart_differ(one: object, other: object) -> None:
    assert differs(one, other)
    assert not differs(one, one)


def test_a_delta_of_the_change_stream_makes_the_next_image() -> None:
    before = {"_id": 1, "a": {"b": [1, {"c": 2}, 3]}, "gone": True}
    delta = {
        "truncatedArrays": [{"field": "a.b", "newSize": 2}],
        "updatedFields": {"a.b.1.c": 5, "a.b.2": 9, "new": None},
        "removedFields": ["gone"],
    }

    assert updated(before, delta) == {"_id": 1, "a": {"b": [1, {"c": 5}, 9]}, "new": None}
    assert before["gone"] is True


def test_no_two_documents_are_drawn_with_one_marker() -> None:
    draw = Drawer(random.Random(1))

    assert len({draw.marker("Order", "secret") for _ in range(100)}) == 100
