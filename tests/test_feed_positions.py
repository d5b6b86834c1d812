"""Positions: text that sorts as the changes came, and is the same everywhere."""

from __future__ import annotations

import pytest
from bson import Timestamp

from wsflask.feed.positions import (
    is_position,
    moment_after,
    moment_before,
    moment_of,
    numbered,
    position_in,
    position_of,
    timestamp_of,
)

TIME = Timestamp(1_795_202_040, 20)


def test_a_position_is_the_cluster_time_as_twenty_digits() -> None:
    assert position_of(TIME) == f"{1_795_202_040 << 32 | 20:020d}"
    assert len(position_of(TIME)) == 20
    assert timestamp_of(position_of(TIME)) == TIME
    assert timestamp_of(position_of(TIME) + ".0007") == TIME


def test_a_token_begins_with_its_position() -> None:
    token = f"82{1_795_202_040:08X}{20:08X}2B022C0100296E5A1004089066FE"

    assert position_in(token) == position_of(TIME)


def test_changes_of_one_moment_are_numbered_so_that_they_sort() -> None:
    moment = position_of(TIME)

    several = [numbered(moment, number) for number in (0, 1, 2, 8999, 9000, 9001, 10_000, 99_999_999)]

    assert several[:3] == [moment, f"{moment}.0001", f"{moment}.0002"]
    assert several == sorted(several)
    assert several[-1] < moment_after(moment)
    assert all(is_position(each) and moment_of(each) == moment for each in several)


def test_moments_have_neighbours() -> None:
    moment = position_of(TIME)

    assert moment_before(moment) < moment < moment_after(moment)
    assert moment_before(moment_after(moment)) == moment
    assert moment_after(position_of(Timestamp(5, 0xFFFFFFFF))) == position_of(Timestamp(6, 0))
    assert moment_before("0" * 20) == "0" * 20


@pytest.mark.parametrize(
    "text",
    ["", "1", "x" * 20, "1" * 19, "1" * 21, "1" * 20 + "\n", "1" * 20 + ".1", "1" * 20 + ".9000", "9" * 20, 5, None],
)
def test_what_has_another_form_is_no_position(text: object) -> None:
    assert not is_position(text)


@pytest.mark.parametrize("text", ["0" * 20, str(2**64 - 1), "0" * 20 + ".0001", "0" * 20 + ".900009000"])
def test_what_has_the_form_is_a_position(text: str) -> None:
    assert is_position(text)
    assert position_of(timestamp_of(text)) == moment_of(text)
