"""Many clients at once: connect them, keep them answering, ping, and let them go."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from ..errors import ConfigError
from ..services.notifier import Notifier
from .answers import PING, PONG, channel_and_payload, error_code, messages_per_second
from .client import Client, Failed
from .figures import Figures
from .reasons import sentence
from .target import Target

__all__ = ["Load", "Plan"]

#: Seconds for a connection to be welcomed; for the last pings to be answered; for the server's goodbyes.
_WELCOME, _ANSWER, _GOODBYE = 20.0, 2.0, 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do."""

    connections: int
    #: Connects a second.
    rate: float
    #: Seconds with pings, once all are connected.
    duration: float
    #: Pings a second, over all connections.
    pings: float


class _Tab:
    """A connection that was welcomed."""

    __slots__ = ("asked", "begun", "client", "has_notifications", "is_open")

    def __init__(self, client: Client, begun: float) -> None:
        self.client = client
        self.begun = begun
        #: When the ping was sent that has no answer yet; 0: there is none.
        self.asked = 0.0
        self.has_notifications = False
        self.is_open = True


class Load:
    """One run, made once; `figures` grows meanwhile.

    Args:
        target: where to connect to.
        plan: how much to do.
        cookies: Cookie headers, used in turn; none: nobody is signed in.
    """

    def __init__(self, target: Target, plan: Plan, cookies: Sequence[str]) -> None:
        self.figures = Figures()
        #: Connections that are open now.
        self.open = 0
        self.plan = plan
        self._target = target
        self._cookies = itertools.cycle(cookies or [""])
        self._tabs: deque[_Tab] = deque()
        self._greenlets: list[gevent.Greenlet[..., Any]] = []
        self._begun = time.perf_counter()
        self._undecided = 0
        self._all_decided = Event()
        self._first_failure: Failed | None = None
        self._per_connection = float("inf")
        self._is_over = False

    def run(self) -> None:
        """Do it all. May switch, and takes as long as the plan says.

        Raises:
            ConfigError: not even the first connection came about.
        """
        begun = time.perf_counter()
        try:
            self._connect()
            self._ping()
        finally:
            self.figures.seconds = time.perf_counter() - begun
            self._part()

    # --- connects

    def _connect(self) -> None:
        self._start_one()
        self._all_decided.wait()
        if self._first_failure is not None:
            raise ConfigError(sentence(self._first_failure, self._target))
        self._begun = time.perf_counter()
        for number in range(1, self.plan.connections):
            gevent.sleep(max(0.0, self._begun + number / self.plan.rate - time.perf_counter()))
            self._start_one()
        self._all_decided.wait()
        self.figures.pings_allowed = len(self.figures.welcome) * self._per_connection

    def _start_one(self) -> None:
        self._undecided += 1
        self._all_decided.clear()
        self._greenlets.append(gevent.spawn(self._live, next(self._cookies)))

    def _decided(self) -> None:
        self._undecided -= 1
        if not self._undecided:
            self._all_decided.set()

    def _live(self, cookie: str) -> None:
        """Be one connection, from its connect to its end."""
        try:
            tab = self._enter(cookie)
        except Failed as failed:
            self.figures.failed[failed.reason] += 1
            self._first_failure = self._first_failure or failed
            return
        finally:
            self._decided()
        try:
            while True:
                self._take(tab, tab.client.receive())
        except Failed as failed:
            if not self._is_over:
                self.figures.lost[failed.reason] += 1
        finally:
            self.open -= 1
            tab.is_open = False
            tab.client.close()

    def _enter(self, cookie: str) -> _Tab:
        begun = time.perf_counter()
        with gevent.Timeout(_WELCOME, Failed("timeout")):
            client = Client(self._target, cookie)
            try:
                self.figures.handshake.add(time.perf_counter() - begun)
                self._per_connection = min(self._per_connection, messages_per_second(client.receive()))
            except BaseException:
                client.close()
                raise
        now = time.perf_counter()
        self.figures.welcome.add(now - begun)
        self.figures.connect_seconds = now - self._begun
        tab = _Tab(client, begun)
        self._count(client)
        self._tabs.append(tab)
        self.open += 1
        return tab

    # --- messages

    def _take(self, tab: _Tab, text: bytes) -> None:
        if self._is_over:
            return
        self._count(tab.client)
        channel, payload = channel_and_payload(text)
        if channel == "pong":
            if tab.asked:
                self.figures.pings.add(time.perf_counter() - tab.asked)
                tab.asked = 0.0
        elif channel == "ping":
            tab.client.send(PONG)
        elif channel == "error":
            self.figures.refused[error_code(payload)] += 1
            tab.asked = 0.0
        elif channel == Notifier.channel and not tab.has_notifications:
            tab.has_notifications = True
            self.figures.notifications.add(time.perf_counter() - tab.begun)

    def _count(self, client: Client) -> None:
        self.figures.messages += 1
        self.figures.bytes += client.received
        client.received = 0

    # --- pings

    def _ping(self) -> None:
        begun = time.perf_counter()
        try:
            self._ping_until(begun + self.plan.duration)
        finally:
            self.figures.ping_seconds = time.perf_counter() - begun
        last = time.perf_counter() + _ANSWER
        while time.perf_counter() < last and any(tab.asked and tab.is_open for tab in self._tabs):
            gevent.sleep(0.02)

    def _ping_until(self, end: float) -> None:
        due = time.perf_counter()
        while self.open and (now := time.perf_counter()) < end:
            if not self.plan.pings:
                gevent.sleep(min(0.2, end - now))
                continue
            self._ping_one()
            due += 1 / min(self.plan.pings, max(self.open, 1) * self._per_connection)
            gevent.sleep(max(0.0, min(due, end) - time.perf_counter()))

    def _ping_one(self) -> None:
        """Ping the next connection in turn, so that each sends its equal part and none more than it may."""
        while not self._tabs[0].is_open:
            self._tabs.popleft()
        tab = self._tabs[0]
        self._tabs.rotate(-1)
        if tab.asked:
            self.figures.pings_skipped += 1
            return
        tab.asked = time.perf_counter()
        self.figures.pings_sent += 1
        try:
            tab.client.send(PING)
        except Failed:
            pass  # Its own greenlet reads why.

    # --- the end

    def _part(self) -> None:
        self._is_over = True
        for tab in self._tabs:
            if tab.is_open:
                try:
                    tab.client.say_goodbye()
                except Failed:
                    pass  # It is gone already.
        gevent.joinall(self._greenlets, timeout=_GOODBYE)
        gevent.killall(self._greenlets)
