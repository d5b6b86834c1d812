"""What writers were told and what tabs surfaced, compared: lost, twice, out of order, leaked; no I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Outcome", "Tab", "Verdict", "Written", "judge", "latencies"]

#: What a writer was told: it is written, it is not, or nobody knows.
Outcome = Literal["ok", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Written:
    """One message, as its writer knows of it. Times are seconds on the monotonic clock."""

    token: str
    #: Messages of one lane were written one after another.
    lane: str
    #: Ids of users; None: everyone.
    to: frozenset[str] | None
    outcome: Outcome
    began: float
    ended: float

    def is_for(self, user: str) -> bool:
        """Return whether the user is meant."""
        return self.to is None or user in self.to


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab, and what it has surfaced: time and token of each, in the order in which the page saw them."""

    name: str
    user: str
    #: When it was first connected and greeted; what was written before need not surface.
    since: float
    surfaced: Sequence[tuple[float, str]]
    #: Spans of time of which it was told that messages may be lost.
    resets: Sequence[tuple[float, float]] = ()


@dataclass(slots=True)
class Verdict:
    """What was wrong, in sentences."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    #: Messages that surfaced.
    surfaced: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.lost or self.twice or self.order or self.leaked)

    def add(self, other: Verdict) -> None:
        """Take over what another says."""
        self.lost += other.lost
        self.twice += other.twice
        self.order += other.order
        self.leaked += other.leaked
        self.surfaced += other.surfaced


def judge(written: Iterable[Written], tabs: Sequence[Tab], *, until: float, what: str = "message") -> Verdict:
    """Compare what was written with what surfaced.

    Every message that was told to be written, after the tab was greeted, surfaces once in each tab of whom it is for.
    Messages of a lane come in its order, those of one user in one order in all his tabs. A message of which nobody
    knows whether it was written may surface, once; in which place of its lane is open, since it may have been written
    after its successor.

    Args:
        until: what was told to be written before this time has to have surfaced.
    """
    by_token = {each.token: each for each in written}
    lanes: defaultdict[str, list[Written]] = defaultdict(list)
    for each in by_token.values():
        lanes[each.lane].append(each)
    place = {each.token: number for lane in lanes.values() for number, each in enumerate(lane)}
    verdict = Verdict()
    first_of: dict[str, Tab] = {}
    for tab in tabs:
        tokens = [token for _, token in tab.surfaced]
        seen = Counter(tokens)
        verdict.surfaced += len(tokens)
        verdict.lost += [
            f"{what} {each.token} for {tab.user} never surfaced in {tab.name}" for each in _owed(by_token, tab, until)
            if each.token not in seen
        ]  # fmt: skip
        verdict.twice += [
            f"{what} {token} surfaced {count} times in {tab.name}" for token, count in seen.items() if count > 1
        ]
        verdict.leaked += [f"{what} {token} {fault} {tab.name}" for token, fault in _strange(by_token, tab, seen)]
        verdict.order += _disorder(tokens, by_token, place, f"{what} %s came after %s of its lane in {tab.name}")
        first = first_of.setdefault(tab.user, tab)
        if first is not tab:
            verdict.order += _differences(first, tab, what)
    return verdict


def latencies(
    written: Mapping[str, Written], tabs: Iterable[Tab], *, since: float = 0.0, until: float = float("inf")
) -> list[float]:
    """Return the seconds from each write to each tab, of what was begun to be written in this span, sorted."""
    return sorted(
        when - written[token].began
        for tab in tabs
        for when, token in tab.surfaced
        if token in written and since <= written[token].began < until
    )


def _owed(by_token: Mapping[str, Written], tab: Tab, until: float) -> Iterator[Written]:
    for each in by_token.values():
        is_owed = each.outcome == "ok" and each.is_for(tab.user) and each.began > tab.since and each.ended < until
        if is_owed and not any(each.ended >= start and each.began <= end for start, end in tab.resets):
            yield each


def _strange(by_token: Mapping[str, Written], tab: Tab, tokens: Iterable[str]) -> Iterator[tuple[str, str]]:
    for token in tokens:
        each = by_token.get(token)
        if each is None:
            yield token, "was written by nobody, and surfaced in"
        elif not each.is_for(tab.user):
            yield token, "is for others than"
        elif each.outcome == "failed":
            yield token, "was told not to be written, and surfaced in"


def _disorder(
    tokens: Iterable[str], by_token: Mapping[str, Written], place: Mapping[str, int], sentence: str
) -> Iterator[str]:
    latest: dict[str, str] = {}
    for token in tokens:
        each = by_token.get(token)
        if each is None or each.outcome != "ok":
            continue
        before = latest.get(each.lane)
        if before is not None and place[before] > place[token]:
            yield sentence % (token, before)
        else:
            latest[each.lane] = token


def _differences(first: Tab, tab: Tab, what: str) -> Iterator[str]:
    """Yield where two tabs of a user saw the same messages in another order."""
    place = {token: number for number, (_, token) in enumerate(first.surfaced)}
    latest, before = -1, ""
    for _, token in tab.surfaced:
        number = place.get(token)
        if number is None:
            continue
        if number < latest:
            yield f"{what} {token} came after {before} in {tab.name}, and before it in {first.name}"
        else:
            latest, before = number, token
