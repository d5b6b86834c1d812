"""The judge of what was delivered: what it finds, and what it does not hold against anybody."""

from __future__ import annotations

from typing import Any

import pytest

from wsflask.testing.boards import BoardTab, Command, Step, judge_boards
from wsflask.testing.deliveries import Tab, Verdict, Written, judge, latencies


def wrote(token: str, *users: str, at: float = 10.0, lane: str = "a", outcome: Any = "ok") -> Written:
    return Written(token, lane, frozenset(users) or None, outcome, at, at + 0.1)


def tab(*tokens: str, user: str = "ann", name: str = "", **more: Any) -> Tab:
    return Tab(name or f"{user}'s", user, more.pop("since", 1.0), [(20.0, token) for token in tokens], **more)


def found(written: list[Written], *tabs: Tab, until: float = 100.0) -> dict[str, int]:
    verdict = judge(written, tabs, until=until)
    kinds = ("lost", "twice", "order", "leaked")
    return {kind: len(getattr(verdict, kind)) for kind in kinds if getattr(verdict, kind)}


def test_what_surfaced_once_and_in_order_is_right() -> None:
    written = [wrote("1", "ann", at=10), wrote("2", at=11), wrote("3", "ben", at=12)]

    assert found(written, tab("1", "2"), tab("2", "3", user="ben")) == {}


@pytest.mark.parametrize(
    ("tokens", "wrong"),
    [
        (["1"], {"lost": 1}),
        (["1", "2", "1"], {"twice": 1, "order": 1}),
        (["2", "1"], {"order": 1}),
        (["1", "2", "ben's"], {"leaked": 1}),
        (["1", "2", "nobody's"], {"leaked": 1}),
        (["1", "2", "failed"], {"leaked": 1}),
    ],
)
def test_each_kind_of_wrong_is_found(tokens: list[str], wrong: dict[str, int]) -> None:
    written = [wrote("1", "ann"), wrote("2", "ann"), wrote("ben's", "ben", lane="b")]
    written.append(wrote("failed", "ann", lane="c", outcome="failed"))

    assert found(written, tab(*tokens)) == wrong


def test_what_nobody_knows_of_may_surface_once_and_anywhere() -> None:
    written = [wrote("1", "ann", outcome="unknown"), wrote("2", "ann")]

    assert found(written, tab("2")) == found(written, tab("1", "2")) == found(written, tab("2", "1")) == {}
    assert found(written, tab("1", "2", "1")) == {"twice": 1}


def test_two_tabs_of_a_user_see_one_order_whatever_the_lanes() -> None:
    written = [wrote("1", "ann", lane="a"), wrote("2", "ann", lane="b")]

    assert found(written, tab("1", "2"), tab("2", "1", name="other")) == {"order": 1}


def test_what_was_written_before_a_tab_came_or_is_not_due_is_not_owed() -> None:
    written = [wrote("1", "ann", at=10), wrote("2", "ann", at=50)]

    assert found(written, tab("2", since=20.0)) == {}
    assert found(written, tab("1"), until=50.05) == {}


def test_a_reset_excuses_what_was_written_in_its_time_and_nothing_else() -> None:
    written = [wrote("1", "ann", at=10), wrote("2", "ann", at=20), wrote("3", "ann", at=30)]

    assert found(written, tab("1", "3", resets=[(19.0, 21.0)])) == {}
    assert found(written, tab("3", resets=[(19.0, 21.0)])) == {"lost": 1}


def test_latencies_are_those_of_what_was_written_in_a_span() -> None:
    written = {each.token: each for each in (wrote("1", "ann", at=19.0), wrote("2", "ann", at=19.5))}

    assert latencies(written, [tab("1", "2")]) == [0.5, 1.0]
    assert latencies(written, [tab("1", "2")], until=19.2) == [1.0]


# --- clipboards


def board(*steps: Step, shows: list[tuple[int, str]], user: str = "ann") -> BoardTab:
    return BoardTab(f"{user}'s", user, steps, shows)


def judged(commands: list[Command], tabs: list[BoardTab], stored: list[tuple[int, str]]) -> Verdict:
    return judge_boards(commands, tabs, {"ann": stored})


ADDED = Command("ann", "add", "x", "ok")


def test_an_acknowledged_command_is_applied_and_shown() -> None:
    tabs = [board(Step([(1, "x")], []), shows=[(1, "x")])]

    assert judged([ADDED], tabs, [(1, "x")]).is_clean


def test_an_acknowledged_command_that_is_not_stored_is_lost() -> None:
    assert judged([ADDED], [board(shows=[])], []).lost


def test_a_command_applied_twice_is_seen_though_one_entry_was_removed_since() -> None:
    tabs = [board(Step([(1, "x")], []), Step([(2, "x")], [1]), shows=[(2, "x")])]

    assert len(judged([ADDED], tabs, [(2, "x")]).twice) == 1


def test_a_removal_that_was_acknowledged_stays_removed_and_one_of_which_nobody_knows_may_not() -> None:
    removed, unknown = Command("ann", "remove", "x", "ok"), Command("ann", "remove", "x", "unknown")
    tabs = [board(Step([(1, "x")], []), shows=[(1, "x")])]

    assert judged([ADDED, removed], tabs, [(1, "x")]).lost
    assert judged([ADDED, unknown], tabs, [(1, "x")]).is_clean
    assert judged([ADDED, unknown], [board(Step([(1, "x")], []), Step([], [1]), shows=[])], []).is_clean


def test_a_tab_that_goes_back_to_an_earlier_state_is_out_of_order() -> None:
    steps = [Step([(1, "x")], []), Step([], [1]), Step([(1, "x")], [])]

    assert len(judged([ADDED], [board(*steps, shows=[(1, "x")])], [(1, "x")]).order) == 1


def test_states_may_be_skipped() -> None:
    commands = [Command("ann", "add", token, "ok") for token in "abc"]
    tabs = [board(Step([(1, "a"), (2, "b"), (3, "c")], []), shows=[(1, "a"), (2, "b"), (3, "c")])]

    assert judged(commands, tabs, [(1, "a"), (2, "b"), (3, "c")]).is_clean


def test_a_tab_that_shows_another_user_s_entry_or_another_clipboard_at_rest_is_found() -> None:
    foreign = [board(Step([(1, "x")], []), shows=[(1, "x")], user="ben")]

    assert judged([ADDED], foreign, [(1, "x")]).leaked
    assert judged([ADDED], [board(Step([(1, "x")], []), shows=[])], [(1, "x")]).lost
