"""Load through nginx, one application host cut off, and what its clients and the others saw."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Self

from pymongo import MongoClient

from tests.faults.fleet import Fleet
from tests.faults.stand import Load, Needs, Stand
from tests.faults.trial import Trial, percentile
from tests.faults.writers import Writers
from wsflask.feed.epoch import COLLECTION as EPOCH
from wsflask.testing.deliveries import Tab, Written, latencies

from .hosts import FRONT, database_uri
from .network import HOSTS, cut, heal

__all__ = ["check"]

_ITEMS = 200


class _Site(Stand):
    """The stand of the fault suite, in front of machines that run already."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.uri = database_uri()
            self.client: MongoClient[Any] = stack.enter_context(MongoClient(self.uri, tz_aware=True))
            self.database = self.client.get_default_database()
            for name in self.database.list_collection_names():
                # Without its epoch it would be another database: a worker that comes back to it resets its clients.
                if name.startswith(("faults_", "wsflask_")) and name != EPOCH:
                    self.database[name].delete_many({})
            self._people()
            _ask_for_pages()
            self.fleet = Fleet(processes=self.load.nodes)
            stack.callback(self.fleet.stop)
            self.writers = Writers(self.uri, seed=self.seed, users=self.load.users)
            stack.callback(self.writers.stop)
            self.writers.fill(_ITEMS)
            self.fleet.open(self.tabs())
            #: What a client resumes after a cut; of another stream it cannot be expected to be whole.
            self.streams = {stream for each in self.fleet.collect() for stream in each["streams"]}
            self.go()
            self._stack = stack.pop_all()
        return self

    def go(self, *, share: float = 1.0) -> None:
        super().go(share=share)
        if "notifications" not in self.streams:
            self.writers.write(notifications=0.0)

    def tabs(self) -> list[dict[str, Any]]:
        address = FRONT.removesuffix(":80")
        where = {"url": f"ws://{address}/wsflask/ws", "origin": f"http://{address}"}
        load = self.load
        return [self.fleet.tab(user, tab, 80, **where) for user in range(load.users) for tab in range(load.tabs)]


def check(load: Load, seconds: float, workers: int, say: Callable[[str], None]) -> tuple[bool, dict[str, float]]:
    """Cut an application host off for so many seconds; return whether all was as it should be, and the figures."""
    trial = Trial("machines", is_short=False, seed=1, say=say)
    say(f"open {load.users * load.tabs} tabs of {load.users} users through nginx")
    with _Site(Needs(), load, 1, say) as site:
        site.wait(3)
        there = {name: _connections(name, workers) for name in ("app1", "app2")}
        say(f"connections of app1: {there['app1']}, of app2: {there['app2']}")
        steady = time.monotonic()
        site.wait(max(5.0, seconds / 3))
        began = time.monotonic()
        say(f"cut app1 off for {seconds:g} s")
        cut(HOSTS["app1"])
        try:
            site.wait(seconds / 2)
            trial.saw("app1 does not answer", not _answers("app1"))
            site.wait(max(began + seconds - time.monotonic(), 0))
        finally:
            heal(HOSTS["app1"])
        healed = time.monotonic()
        say("app1 is back")
        site.wait(max(5.0, seconds / 3))
        site.rest(trial)
        told = site.fleet.collect()
        away = {each["name"] for each in told if _has_lost_its_connection(each, began)}
        others = [each for each in told if each["name"] not in away]
        trial.saw("each host had a third of the clients", min(there.values()) >= sum(there.values()) / 3)
        trial.check(f"{len(away)} tabs lost their connection, app1 had {there['app1']}", len(away) == there["app1"])
        back = [found for each in told if each["name"] in away and (found := _back(each, began)) is not None]
        trial.check(f"{len(away) - len(back)} tabs did not come back", len(back) == len(away))
        early = sum(when < healed for when in back)
        reset = {each["name"] for each in told if any(when > began for _, when, _ in each["resets"])}
        trial.check(f"{len(reset)} tabs were told that they may have missed something", not reset)
        before, during = (_latencies(site, others, *span) for span in ((steady, began), (began, healed)))
    trial.saw("those on app2 got messages before and during the cut", before[1] and during[1])
    # Half of their messages are as quick as before; a few come late while all others come back to the same host.
    trial.check(f"of those on app2 p50 went from {before[0]} to {during[0]} ms", during[0] <= 2 * before[0] + 20)
    trial.check(f"of those on app2 p99 went from {before[1]} to {during[1]} ms", during[1] <= max(2 * before[1], 2000))
    counts = trial.counts()
    commands = [each[2] for one in told for each in one["commands"]]
    figures = {
        "cut_s": round(healed - began, 1),
        "users": load.users,
        "tabs": len(told),
        "workers_each": workers,
        "notifications_per_s": load.notifications,
        "publications_per_s": load.publications,
        "items_per_s": load.items,
        "commands_per_s": load.commands,
        "cut_off": len(away),
        "back_before_heal": early,
        "back_p50_s": round(percentile([when - began for when in back], 0.5), 2),
        "back_p99_s": round(percentile([when - began for when in back], 0.99), 2),
        "others_p50_before_ms": before[0],
        "others_p50_during_ms": during[0],
        "others_p99_before_ms": before[1],
        "others_p99_during_ms": during[1],
        "at_rest_s": round(next(each.value for each in trial.measures if each.name == "at rest after"), 2),
        "commands": len(commands),
        "commands_given_up": commands.count("unknown"),
        "surfaced": trial.verdict.surfaced,
        "reset": len(reset),
        **{name: counts[name] for name in ("lost", "twice", "order", "leaked")},
        "corrupt": len(trial.corrupt),
    }
    return trial.is_green, figures


def _ask_for_pages() -> None:
    """Have nginx know that both hosts answer.

    A host that has failed gets one request each `fail_timeout` until one has been answered to its end, which an open
    WebSocket is not.
    """
    for _ in range(20):
        urllib.request.urlopen(f"http://{FRONT}/", timeout=10).close()


def _connections(name: str, workers: int) -> int:
    """Return how many clients a host has, over its workers: which of them answers is chance."""
    found: dict[int, int] = {}
    deadline = time.monotonic() + 20
    while len(found) < workers and time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://{HOSTS[name].address}:8101/state", timeout=10) as answer:
            state = json.load(answer)
        found[state["pid"]] = state["connections"]
    return sum(found.values())


def _answers(name: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOSTS[name].address}:8101/", timeout=2).close()
    except OSError:
        return False
    return True


def _has_lost_its_connection(told: dict[str, Any], since: float) -> bool:
    return any(state == "waiting" and when > since for when, state, *_ in told["states"])


def _back(told: dict[str, Any], since: float) -> float | None:
    """Return when the tab was greeted again, for the first time since then."""
    return next((when for when, state, *_ in told["states"] if state == "greeted" and when > since), None)


def _latencies(site: _Site, told: list[dict[str, Any]], since: float, until: float) -> tuple[float, float]:
    """Return p50 and p99 of the milliseconds from a write to the tabs."""
    written: dict[str, Written] = {each.token: each for each in site.writers.written("publications")}
    tabs = [Tab(each["name"], each["user"], each["since"], each["messages"]) for each in told]
    found = latencies(written, tabs, since=since, until=until)
    return round(percentile(found, 0.5) * 1000, 1), round(percentile(found, 0.99) * 1000, 1)
