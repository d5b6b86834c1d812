"""The walk: rounds of changes, a rest after each, and every client's rows compared with the oracle."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import gevent
import mongoengine
from pymongo import MongoClient

from benchmarks.cookies import session_cookies
from tests.harness import Servers, WebServer, data_folder
from wsflask.cli.client import Client
from wsflask.cli.target import find_target
from wsflask.embedded import EmbeddedMongo

from .app import BREAK, URI, WITHOUT
from .asking import Asking
from .client import Arrival, Held, Subscription, WalkingClient
from .features import FEATURES, Options
from .judge import Judge
from .oracle import Expected, Oracle, differs
from .people import People
from .posting import post
from .recorder import Recorder
from .shapes import CLASSES
from .writers import Pool, Writer

__all__ = ["Walk"]

_DATABASE = "walk"
#: Seconds without a message that are a rest, and the longest that a rest may be waited for.
_REST, _LONGEST_REST = 1.5, 25.0
_WRITERS = 4
#: Differences that are told in full, and how many messages of each.
_TOLD, _LAST = 5, 4


class Walk:
    """One walk with one seed; a context manager that starts and ends all that takes part.

    Args:
        say: tells what happens.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._rng = random.Random(f"walk {options.seed}")
        self._stack = contextlib.ExitStack()
        self._counts: Counter[str] = Counter()
        self._arrivals: list[Arrival] = []
        self._clients: list[WalkingClient] = []
        self._cookies = session_cookies(options.users)
        #: Rows that were compared at all rests together.
        self.rows = 0
        self.differences = 0
        self.leaked = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = data_folder()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            mongo = EmbeddedMongo(folder, oplog_megabytes=200)
            mongo.start()
            stack.callback(mongo.stop, timeout=0)
            self._connect(stack, mongo.uri_of(_DATABASE))
            self._server = self._serve(stack, mongo.uri_of(_DATABASE))
            self._people_and_documents()
            stack.callback(self._recorder.stop)
            stack.callback(self._stop_clients)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- setting up

    def _connect(self, stack: contextlib.ExitStack, uri: str) -> None:
        mongoengine.disconnect_all()
        client: MongoClient[Any] = mongoengine.connect(host=uri, uuidRepresentation="standard", tz_aware=True)
        stack.callback(mongoengine.disconnect_all)
        self._database = client[_DATABASE]
        # Deletes of these tell the last body; the others' tell the id alone.
        for collection in ("walk_order", "walk_note"):
            self._database.create_collection(collection, changeStreamPreAndPostImages={"enabled": True})

    def _serve(self, stack: contextlib.ExitStack, uri: str) -> WebServer:
        servers = stack.enter_context(Servers())
        left_out = ",".join(sorted(FEATURES.keys() - self._options.features))
        env = {URI: uri, WITHOUT: left_out, BREAK: self._options.breaks}
        return servers.gunicorn("tests.walk.app:app", workers=2, env=env)

    def _people_and_documents(self) -> None:
        options = self._options
        self._people = People(self._database, self._server.base_url, options.users, options.seed, options.features)
        self._recorder = Recorder(self._database)
        self._judge = Judge(self._people, self._recorder)
        self._pool = Pool()
        self._writers = [
            Writer(
                self._database, self._pool, f"{options.seed}.{number}", options.rate / _WRITERS, options.features
            )
            for number in range(_WRITERS)
        ]  # fmt: skip
        self._writers[0].fill(60)
        self._database["walk_fence"].insert_one({"_id": "fence", "number": 0})

    def _start_clients(self) -> None:
        options, target = self._options, find_target(self._server.base_url)
        for number in range(options.clients):
            user = self._people.names[number % options.users]
            asking = Asking(random.Random(f"asking {number} {options.seed}"), options.features, self._an_id)
            self._clients.append(
                WalkingClient(
                    number,
                    user,
                    partial(Client, target, self._cookies[number % options.users]),
                    asking,
                    partial(self._people.now, user),
                    options,
                    self._counts,
                    self._arrivals,
                )
            )

    def _an_id(self, name: str) -> Any:
        ids = self._pool.ids[name]
        return self._rng.choice(ids) if ids else ("P1" if name == "Product" else 1)

    def _stop_clients(self) -> None:
        for client in self._clients:
            client.stop()

    # --- walking

    def run(self) -> bool:
        """Walk; return whether everything was right."""
        options = self._options
        self._start_clients()
        ends = time.monotonic() + options.seconds
        number = 0
        while number == 0 or time.monotonic() + options.round / 2 < ends:
            number += 1
            self._round(min(options.round, max(ends - time.monotonic(), 3.0)))
            self._compare(number)
            if self._recorder.failure:
                raise RuntimeError(f"the recorder stopped: {self._recorder.failure}")
        return not self.differences and not self.leaked

    def summary(self) -> str:
        """Return name=value pairs of what happened."""
        names = ("messages", "resumed", "reset", "moved", "kills")
        counted = " ".join(f"{name}={self._counts[name]}" for name in names)
        return (
            f"rows={self.rows} changes={self._recorder.changes} {counted} "
            f"differences={self.differences} leaked={self.leaked} seed={self._options.seed}"
        )

    def _round(self, seconds: float) -> None:
        for client in self._clients:
            client.walks = True
        tasks = [gevent.spawn(writer.run) for writer in self._writers]
        tasks.append(gevent.spawn(partial(self._trouble, time.monotonic() + seconds)))
        gevent.sleep(seconds)
        for writer in self._writers:
            writer.stop()
        for client in self._clients:
            client.walks = False
        gevent.joinall(tasks, timeout=30, raise_error=True)

    def _trouble(self, ends: float) -> None:
        """Change rights and kill workers, until then."""
        features = self._options.features
        while True:
            gevent.sleep(self._rng.expovariate(2.0))
            if time.monotonic() > ends:
                return
            if "rights" in features and self._rng.random() < 0.7:
                self._people.change_one()
            if "kills" in features and self._rng.random() < 0.03:
                self._kill()

    def _kill(self) -> None:
        workers = self._server.workers()
        if len(workers) == 2:
            self._counts["kills"] += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._rng.choice(workers), signal.SIGKILL)

    # --- at rest

    def _compare(self, number: int) -> None:
        started = time.monotonic()
        self._fence(number)
        is_rest = self._await_rest(number)
        self._recorder.await_quiet()
        oracle = Oracle(self._recorder.current(), self._sorted)
        found = [difference for client in self._clients for difference in self._differences(client, oracle, number)]
        found += [fault for client in self._clients for fault in client.faults]
        leaks = [(leak, arrival) for arrival in self._arrivals for leak in self._judge.leaks(arrival)]
        self._tell(found, leaks)
        more = " ".join(f"{name}={self._counts[name]}" for name in ("cuts", "unavailable", "caught_up", "late"))
        self._say(
            f"round {number}: {self.summary()} {more} rights={self._people.changes} drops={self._recorder.drops} "
            f"rest={time.monotonic() - started:.1f}s{'' if is_rest else ' NO REST'}"
        )
        self._arrivals.clear()
        self._judge.forget()
        for client in self._clients:
            client.faults.clear()

    def _fence(self, number: int) -> None:
        """Write what comes behind everything, and have all clients ask to hear when they have it."""
        active = next(place for place, name in enumerate(self._people.names) if self._people.now(name).is_active)
        headers = {"Cookie": self._cookies[active]}
        position = post(f"{self._server.base_url}/fence/{number}", headers)["WSFlask-Position"]
        assert position, "the answer to a request that wrote has no position"
        for client in self._clients:
            client.caught = {}
            if "positions" in self._options.features:
                client.catch_up(position)

    def _await_rest(self, fence: int) -> bool:
        """Return when everybody has the fence and nothing comes any more; False when that never is."""
        deadline = time.monotonic() + _LONGEST_REST
        while time.monotonic() < deadline:
            latest = max(self._people.changed, *(client.heard for client in self._clients))
            if time.monotonic() - latest > _REST and all(self._is_there(client, fence) for client in self._clients):
                return True
            gevent.sleep(0.1)
        return False

    def _is_there(self, client: WalkingClient, fence: int) -> bool:
        if not self._people.now(client.user).is_active:
            return not client.is_connected
        is_answered = all(each.state not in ("asking", "away") and not each.pending for each in client.everything)
        return is_answered and client.fence.rows.get("fence", {}).get("number") == fence

    def _sorted(self, collection: str, ids: list[Any], keys: list[tuple[str, int]]) -> list[Any]:
        found = self._database[collection].find({"_id": {"$in": ids}}, {"_id": 1}).sort(keys)
        return [document["_id"] for document in found]

    def _differences(self, client: WalkingClient, oracle: Oracle, fence: int) -> Iterator[str]:
        rights = self._people.now(client.user)
        if not rights.is_active:
            if client.is_connected:
                yield f"client {client.number} of {client.user} is connected, who is not active"
            return
        if not client.is_connected or client.fence.rows.get("fence", {}).get("number") != fence:
            yield f"client {client.number} of {client.user} has not come to rest: {_state(client)}"
            return
        for subscription in client.everything:
            expected = oracle.expected(subscription.request, rights)
            self.rows += len(expected.rows)
            found = [
                *self._wrong(subscription, expected, oracle, client),
                *self._late(subscription, expected, oracle, client),
            ]
            for what, identity in found:
                told = [f"client {client.number} {json.dumps(dict(rights.person))} colors={rights.colors}"]
                told += [f"  {subscription.request}", f"  {what}", *self._life(subscription, identity)]
                yield "\n".join(told)

    def _life(self, subscription: Subscription, identity: Any) -> Iterator[str]:
        """Yield the last images of a document, and the last messages of a client: those that name it, and all."""
        collection = CLASSES[subscription.request["class_name"]].collection
        now = time.monotonic()
        for image in self._recorder.images.get((collection, identity), [])[-3:]:
            yield f"    {image.since - now:.1f}s: {image.document}"
        log = list(subscription.log)
        for place, text in enumerate(log):
            names_it = identity is not None and json.dumps(identity) in text
            if names_it or _is_turn(text) or place >= len(log) - _LAST:
                yield f"    {text}"

    def _late(
        self, subscription: Subscription, expected: Expected, oracle: Oracle, client: WalkingClient
    ) -> Iterator[tuple[str, Any]]:
        """Yield what was wrong when the server said that all was there, if the user's rights were at rest then."""
        caught = client.caught.get(subscription)
        if (
            caught is None
            or expected.code
            or len(self._people.during(client.user, caught.moment - _REST, math.inf)) > 1
        ):
            return
        for what, identity in self._wrong_rows(subscription, caught, expected, oracle, client):
            yield f"was caught up, and {what}", identity

    def _wrong(
        self, subscription: Subscription, expected: Expected, oracle: Oracle, client: WalkingClient
    ) -> Iterator[tuple[str, Any]]:
        """Yield what is wrong with a subscription's rows, and the id that it is about."""
        if expected.code == "not_found" and subscription.state == "live":
            # He had the right when he subscribed, and the rows come back with it.
            for identity, row in subscription.rows.items():
                yield f"has a row that he must not have: {row}", identity
        elif subscription.state != "live" or expected.code:
            # Who was refused, and has got the right since then, asks again; he is not told.
            was_changed = self._people.during(client.user, 0, subscription.asked)[-1].until != float("inf")
            if subscription.state != expected.code and not (was_changed and subscription.state != "live"):
                yield f"is {subscription.state}, should be {expected.code or 'live'}", None
        else:
            held = Held(subscription.rows, subscription.order, client.heard)
            yield from self._wrong_rows(subscription, held, expected, oracle, client)

    def _wrong_rows(
        self, subscription: Subscription, held: Held, expected: Expected, oracle: Oracle, client: WalkingClient
    ) -> Iterator[tuple[str, Any]]:
        for identity in expected.rows.keys() - held.rows.keys():
            yield f"lacks the row {expected.rows[identity]}", identity
        for identity, row in held.rows.items():
            wanted = expected.rows.get(identity)
            if wanted is None:
                yield f"has a row too many: {row}", identity
            elif differs(wanted, row):
                yield f"has {row}\n  should have {wanted}", identity
        if expected.order is not None and expected.order != held.order:
            yield f"is in the order {held.order}\n  should be {expected.order}", None

    def _tell(self, found: list[str], leaks: list[tuple[str, Arrival]]) -> None:
        for difference in found[:_TOLD]:
            self._say(f"DIFFERENCE: {difference}")
        for leak, arrival in leaks[:_TOLD]:
            versions = self._people.during(arrival.user, arrival.moment - 5, arrival.moment)
            rights = "; ".join(f"{json.dumps(dict(v.rights.person))} {v.rights.colors}" for v in versions)
            self._say(f"LEAK: {leak}\n  {arrival.text[:500]}\n  {arrival.subscription.request}\n  {rights}")
        self.differences += len(found)
        self.leaked += len(leaks)


def _is_turn(text: str) -> bool:
    """Return whether a line of a log tells of more than one row."""
    return "-> " in text or '"op":' not in text or '"op":"moved"' in text or '"op":"reset"' in text


def _state(client: WalkingClient) -> str:
    states = Counter(f"{each.state}/{each.pending}" for each in client.everything)
    return f"{'connected' if client.is_connected else 'away'} ({client.closed_with}), {dict(states)}"
