"""A stand: a database, workers, perhaps a proxy in front, tabs and writers; and what is compared at rest."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient

from tests.harness import RedisServer, Servers, WebServer, data_folder
from wsflask.testing import Proxy, ReplicaSet
from wsflask.testing.boards import BoardTab, Command, Step, judge_boards
from wsflask.testing.deliveries import Tab, Verdict, judge

from .app import SETTINGS, TRAPS, URI
from .fleet import Fleet
from .models import groups_of, regions_of, user_name
from .trial import Trial
from .truth import clipboards, rows_by_region, unread_counts
from .writers import Writers

__all__ = ["FULL", "QUICK", "Load", "Needs", "Stand", "was_reset"]

_DATABASE = "faults"
#: What the server resumes: of these nothing may be missing, wherever a client was meanwhile.
STREAMS = frozenset({"notifications", "publications"})
#: Seconds in which everything has to come to rest, and without a word that are a rest.
_TO_REST, _REST = 30.0, 0.7
_ITEMS = 200


@dataclass(frozen=True, slots=True)
class Load:
    """How many there are, and what they do, a second."""

    users: int
    tabs: int
    notifications: float
    publications: float
    commands: float
    items: float
    #: Node processes.
    nodes: int


#: The standard load, and a small one.
FULL = Load(100, 2, 50.0, 20.0, 100.0, 100.0, 2)
QUICK = Load(20, 2, 10.0, 5.0, 20.0, 20.0, 1)


#: Of the database's URI, as docs/deployment.md has them.
_OPTIONS = "serverSelectionTimeoutMS=5000&socketTimeoutMS=20000&connectTimeoutMS=5000&heartbeatFrequencyMS=2000"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a row asks of its stand; rows that ask for the same share one."""

    members: int = 1
    #: Whether tabs come through a proxy.
    proxy: bool = False
    #: Whether there is a Redis.
    redis: bool = False
    #: Settings of the application, as pairs.
    settings: tuple[tuple[str, Any], ...] = ()
    #: Environment of the workers, as pairs.
    env: tuple[tuple[str, str], ...] = ()
    oplog_megabytes: int = 200
    mongod: tuple[str, ...] = ()
    #: Settings of the replica set, as pairs.
    replica_set: tuple[tuple[str, Any], ...] = ()
    #: Whether the row brings its own tabs and load.
    is_empty: bool = False
    #: Further arguments of gunicorn.
    gunicorn: tuple[str, ...] = ()
    workers: int = 2
    #: Names a stand that is not shared.
    alone: str = ""
    #: Called with the folder of the traps, before workers start.
    prepare: Callable[[Path], None] = lambda folder: None


class Stand:
    """All that takes part; a context manager that starts it, with the tabs open and the load on, and ends it."""

    def __init__(self, needs: Needs, load: Load, seed: int, say: Callable[[str], None]) -> None:
        self.needs = needs
        self.load = load
        self.seed = seed
        self.say = say
        self._stack = contextlib.ExitStack()
        self._known: set[str] = set()
        self._surfaced = 0
        self._regions = {user_name(number): regions_of(number) for number in range(load.users)}
        self._groups = {user_name(number): groups_of(number) for number in range(load.users)}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = data_folder()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.traps = Path(tempfile.mkdtemp(prefix="traps-", dir=folder))
            needs = self.needs
            self.mongo = stack.enter_context(
                ReplicaSet(
                    folder,
                    members=needs.members,
                    oplog_megabytes=needs.oplog_megabytes,
                    arguments=needs.mongod,
                    settings=dict(needs.replica_set),
                )
            )
            self.uri = f"{self.mongo.uri_of(_DATABASE)}&{_OPTIONS}"
            self.client: MongoClient[Any] = stack.enter_context(MongoClient(self.uri, tz_aware=True))
            self.database = self.client[_DATABASE]
            self._people()
            servers = stack.enter_context(Servers())
            pairs = dict(needs.settings)
            if needs.redis:
                self.redis = stack.enter_context(RedisServer())
                pairs["WSFLASK_REDIS_URL"] = self.redis.url
            settings = "\n".join(f"{name}={value}" for name, value in pairs.items())
            more = {name: value.replace("{traps}", str(self.traps)) for name, value in needs.env}
            self._env = {URI: self.uri, TRAPS: str(self.traps), SETTINGS: settings, **more}
            needs.prepare(self.traps)
            self.server = servers.gunicorn(
                "tests.faults.app:app", workers=needs.workers, env=self._env, arguments=needs.gunicorn
            )
            self.servers = servers
            if needs.proxy:
                self.proxy = stack.enter_context(Proxy(self.server.port, seed=self.seed))
            self.fleet = Fleet(processes=self.load.nodes)
            stack.callback(self.fleet.stop)
            self.writers = Writers(self.uri, seed=self.seed, users=self.load.users)
            stack.callback(self.writers.stop)
            self.writers.fill(_ITEMS)
            if not needs.is_empty:
                self.fleet.open(self.tabs())
                self.go()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _people(self) -> None:
        people = [
            {"_id": name, "regions": self._regions[name], "teams": self._groups[name], "active": True}
            for name in self._regions
        ]
        self.database["faults_person"].insert_many(people)

    @property
    def port(self) -> int:
        """Where tabs connect."""
        return self.proxy.port if self.needs.proxy else self.server.port

    def tabs(self) -> list[dict[str, Any]]:
        """Return the options of the standard load's tabs."""
        load = self.load
        return [self.fleet.tab(user, tab, self.port) for user in range(load.users) for tab in range(load.tabs)]

    def enter_context(self, manager: Any) -> Any:
        """Enter a context that ends with the stand."""
        return self._stack.enter_context(manager)

    # --- load

    def go(self, *, share: float = 1.0) -> None:
        """Put the load on, or a share of it."""
        load = self.load
        self.writers.write(notifications=share * load.notifications, items=share * load.items)
        self.writers.write(publications=share * load.publications if self.writers.keeps else 0.0)
        self.fleet.drive(share * load.commands)

    def halt(self) -> None:
        """Take the load off."""
        self.writers.stop_writing()
        self.fleet.drive(0)

    @staticmethod
    def wait(seconds: float) -> None:
        """Let time pass, under load."""
        time.sleep(seconds)

    # --- workers

    def workers(self) -> list[int]:
        """Return the process ids of gunicorn's workers."""
        return self.server.workers()

    def kill_worker(self) -> int:
        """Kill a worker (SIGKILL); return its process id."""
        pid = self.workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_workers(self, *, without: int = 0, timeout: float = 20.0) -> list[int]:
        """Return the workers when there are as many as there should be. May switch."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = self.workers()
            if len(found) >= self.needs.workers and without not in found:
                return found
            time.sleep(0.02)
        raise TimeoutError(f"there are {len(found)} workers")

    def states(self, server: WebServer | None = None) -> dict[int, dict[str, Any]]:
        """Ask until every worker has told its state; return them by process id."""
        found: dict[int, dict[str, Any]] = {}
        deadline = time.monotonic() + 20.0
        while len(found) < self.needs.workers and time.monotonic() < deadline:
            with urllib.request.urlopen(f"{(server or self.server).base_url}/state", timeout=10) as answer:
                state = json.load(answer)
            found[state["pid"]] = state
        return found

    # --- at rest

    def rest(self, trial: Trial, *, since: float = 0.0, may_reset: bool = False) -> None:
        """Take the load off, and wait until everything is as it should be; judge. May switch.

        Args:
            since: when the trial began.
            may_reset: whether tabs may be told that something may be missing, which excuses that it is.
        """
        self.halt()
        started = time.monotonic()
        deadline = started + _TO_REST
        wrong = self._differences()
        while wrong and time.monotonic() < deadline:
            time.sleep(0.3)
            wrong = self._differences()
        quiet = time.monotonic()
        trial.measure("at rest after", quiet - started, at_most=_TO_REST)
        time.sleep(_REST)
        wrong = self._differences()
        verdict = Verdict(lost=[f"at rest: {text}" for text in wrong])
        verdict.add(self.judge(until=quiet))
        self._tell(trial, verdict)
        reset = [] if may_reset else was_reset(self.fleet.collect(), since)
        trial.check(f"{len(reset)} tabs were told that something may be missing: {reset[:4]}", not reset)

    def judge(self, *, until: float) -> Verdict:
        """Compare all that was written with all that surfaced."""
        told = self.fleet.collect()
        verdict = Verdict()
        for kind, key in (("notifications", "arrivals"), ("publications", "messages")):
            tabs = [
                Tab(
                    each["name"], each["user"], each["since"] or until, each[key],
                    _excused(each, kind),
                )
                for each in told
            ]  # fmt: skip
            verdict.add(judge(self.writers.written(kind), tabs, until=until, what=kind.rstrip("s")))
        boards = [
            BoardTab(
                each["name"], each["user"],
                [Step([(number, token) for number, token in added], removed) for _, added, removed in each["steps"]],
                [(number, token) for number, token in each["shows"]],
            )
            for each in told if each["steps"]
        ]  # fmt: skip
        commands = [
            Command(each["user"], action, token, outcome)
            for each in told
            for action, token, outcome, *_ in each["commands"]
        ]
        verdict.add(judge_boards(commands, boards, clipboards(self.database, self._regions)))
        found = self.fleet.faults()
        verdict.leaked += found["leaked"]
        verdict.order += found["order"]
        return verdict

    def _tell(self, trial: Trial, verdict: Verdict) -> None:
        """Note what is new since the last time."""
        for kind in ("lost", "twice", "order", "leaked"):
            new = [text for text in getattr(verdict, kind) if text not in self._known]
            self._known.update(new)
            getattr(trial.verdict, kind).extend(new)
            for text in new[:5]:
                trial.say(f"  {kind.upper()}: {text[:300]}")
            if len(new) > 5:
                trial.say(f"  {kind.upper()}: and {len(new) - 5} more")
        trial.verdict.surfaced += max(verdict.surfaced - self._surfaced, 0)
        self._surfaced = verdict.surfaced

    def tell_corrupt(self, trial: Trial) -> None:
        """Note frames that were none, since the last time."""
        trial.corrupt += [text for text in self.fleet.faults()["corrupt"] if text not in self._known]
        self._known.update(trial.corrupt)
        for text in trial.corrupt[:3]:
            trial.say(f"  CORRUPT: {text[:200]}")

    def _differences(self) -> list[str]:
        """Return what tabs show that the database does not say."""
        rows, unread = rows_by_region(self.database), unread_counts(self.database, self._groups)
        boards = clipboards(self.database, self._regions)
        wrong = []
        tabs = self.fleet.rest()
        here: dict[str, set[str]] = {}
        for tab in tabs:
            if tab["room"] and tab["state"] == "open":
                here.setdefault(tab["room"], set()).add(tab["name"])
        for tab in tabs:
            name, user = tab["name"], tab["name"].partition("/")[0]
            if tab["state"] != "open" or tab.get("view", "live") != "live":
                wrong.append(f"{name} is {tab['state']}, its view {tab.get('view')} {tab.get('error') or ''}")
                continue
            if tab["unread"] != unread.get(user, 0):
                wrong.append(f"{name} says {tab['unread']} unread, the database {unread.get(user, 0)}")
            if tab["rows"] is not None:
                wanted: dict[str, int] = {}
                for region in self._regions.get(user, ()):
                    wanted |= rows.get(region, {})
                if tab["rows"] != wanted:
                    wrong.append(f"{name} has other rows than the query: {_first_difference(tab['rows'], wanted)}")
            if tab["room"] and (other := _other_members(tab, here[tab["room"]])):
                wrong.append(f"{name} is shown others in {tab['room']} than are there: {other[:4]}")
            if tab["pending"]:
                wrong.append(f"{name} waits for {tab['pending']} commands")
            if tab["board"] is not None and [tuple(each) for each in tab["board"]] != boards.get(user, []):
                wrong.append(f"{name} shows another clipboard than the database")
        return wrong

    def set_regions(self, user: str, regions: list[str]) -> None:
        """Change which regions a user may read. May switch."""
        self.fleet.rights(user, regions, is_begun=True)
        self.database["faults_person"].update_one({"_id": user}, {"$set": {"regions": regions}})
        self.fleet.rights(user, regions, is_begun=False)
        self._regions[user] = regions

    def tidy(self) -> None:
        """Close the tabs that a row has opened beside those of the load."""
        usual = {tab["name"] for tab in self.tabs()} if not self.needs.is_empty else set()
        self.fleet.close([name for name in self.fleet.names if name not in usual])


def was_reset(told: list[dict[str, Any]], since: float) -> list[str]:
    """Return the tabs that the server has told, since then, that something may be missing."""
    return [str(each["name"]) for each in told if any(end >= since for _, end, _ in each["resets"])]


def _excused(told: dict[str, Any], stream: str) -> list[tuple[float, float]]:
    """Return the spans of which the server said that something may be missing."""
    return [(start, end) for start, end, name in told["resets"] if name == stream]


def _other_members(tab: dict[str, Any], there: set[str]) -> list[str]:
    """Return the tabs, and the users, of whom it is shown that they are there or not, wrongly."""
    users = {name.partition("/")[0] for name in there}
    return sorted(set(tab["here"]) ^ there) + sorted(set(tab["users"]) ^ users)


def _first_difference(shown: dict[str, int], wanted: dict[str, int]) -> str:
    for key in sorted(shown.keys() | wanted.keys()):
        if shown.get(key) != wanted.get(key):
            return f"of item {key} it has version {shown.get(key)}, should have {wanted.get(key)}"
    return ""
