"""Clipboards compared: what was told of each command, the states that tabs surfaced, and the database; no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .deliveries import Outcome, Verdict

__all__ = ["BoardTab", "Command", "Step", "judge_boards"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a tab gave."""

    user: str
    action: Literal["add", "remove"]
    #: What was added; of a removal, what the entry holds.
    token: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Step:
    """From one state that a tab surfaced to the next: entries (id, token) that are new, and ids that are gone."""

    added: Sequence[tuple[int, str]]
    removed: Sequence[int]


@dataclass(frozen=True, slots=True)
class BoardTab:
    """One tab: its steps in order, and the entries that it shows at rest."""

    name: str
    user: str
    steps: Sequence[Step]
    shows: Sequence[tuple[int, str]]


def judge_boards(
    commands: Iterable[Command], tabs: Sequence[BoardTab], stored: Mapping[str, Sequence[tuple[int, str]]]
) -> Verdict:
    """Compare, at rest. `stored` are the entries of each user in the database.

    A command that was acknowledged is applied, once; one that was refused is not; of others nobody knows. States are
    whole: an entry that comes to be seen is newer than all that were seen, or a tab went back to an earlier state.
    """
    verdict = Verdict()
    ids = _ids(tabs, stored)
    removed: dict[str, Outcome] = {}
    added: dict[str, Command] = {}
    for each in commands:
        if each.action == "add":
            added[each.token] = each
        elif each.outcome != "failed":
            removed[each.token] = "ok" if each.outcome == "ok" else removed.get(each.token, "unknown")
    kept = {token for entries in stored.values() for _, token in entries}
    for token, command in added.items():
        if command.outcome == "ok" and token not in kept and token not in removed:
            verdict.lost.append(f"entry {token} of {command.user} was acknowledged, and is not in the database")
        if command.outcome == "failed" and token in ids:
            verdict.leaked.append(f"entry {token} of {command.user} was refused, and is there")
    for token, numbers in ids.items():
        if len(numbers) > 1:
            verdict.twice.append(f"entry {token} was added {len(numbers)} times: {sorted(numbers)}")
        if token in kept and removed.get(token) == "ok":
            verdict.lost.append(f"the removal of {token} was acknowledged, and it is in the database")
    for tab in tabs:
        verdict.surfaced += len(tab.steps)
        verdict.order += _returns(tab)
        verdict.leaked += _foreign(tab, added)
        wanted = list(stored.get(tab.user, ()))
        if list(tab.shows) != wanted:
            verdict.lost.append(f"{tab.name} shows {list(tab.shows)[-3:]} at rest, the database has {wanted[-3:]}")
    return verdict


def _ids(tabs: Sequence[BoardTab], stored: Mapping[str, Sequence[tuple[int, str]]]) -> dict[str, set[int]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for entries in [*stored.values(), *(step.added for tab in tabs for step in tab.steps)]:
        for number, token in entries:
            found[token].add(number)
    return found


def _returns(tab: BoardTab) -> Iterator[str]:
    newest = 0
    for step in tab.steps:
        for number, token in step.added:
            if number <= newest:
                yield f"{tab.name} went back: entry {number} ({token}) came after {newest}"
        newest = max([newest, *(number for number, _ in step.added)])


def _foreign(tab: BoardTab, added: Mapping[str, Command]) -> Iterator[str]:
    for step in tab.steps:
        for _, token in step.added:
            if token not in added or added[token].user != tab.user:
                yield f"{tab.name} of {tab.user} shows {token}, which is not the user's"
