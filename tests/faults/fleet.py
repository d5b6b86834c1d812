"""The tabs of all users: Node processes that run the real client."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.cookies import session_cookies
from tests.harness import ROOT, require_program
from wsflask.testing.talking import TalkingChild

from .models import regions_of, room_of, user_name

__all__ = ["Fleet"]

_PATIENCE = 90.0
#: Tabs of a user that are in a room.
_IN_ROOMS = 2


class Fleet:
    """Tabs by name, in one Node process or several.

    Args:
        origin: of the pages: the host that the tabs connect to.
    """

    def __init__(self, *, processes: int = 1) -> None:
        node = require_program("node")
        command = [node, "--max-old-space-size=3000", "tests/faults/clients.mjs"]
        self._nodes = [TalkingChild(command, cwd=ROOT) for _ in range(processes)]
        self._node_of: dict[str, TalkingChild] = {}
        self._cookies: list[str] = []

    def cookie(self, number: int) -> str:
        """Return the Cookie header of a user."""
        if number >= len(self._cookies):
            self._cookies = session_cookies(max(200, number + 1))
        return self._cookies[number]

    def tab(self, number: int, tab: int, port: int, **options: Any) -> dict[str, Any]:
        """Return the options of one tab of one user; the first two of each are in a room, with about twenty others."""
        url, origin = f"ws://127.0.0.1:{port}/wsflask/ws", f"http://127.0.0.1:{port}"
        found = {"name": f"{user_name(number)}/{tab}", "user": user_name(number), "url": url, "origin": origin}
        room = room_of(number) if tab < _IN_ROOMS else None
        usual: dict[str, Any] = {"cookie": self.cookie(number), "regions": regions_of(number), "view": {}, "room": room}
        return {**found, **usual, **options}

    def open(self, tabs: Sequence[dict[str, Any]], *, every: float = 0.0, is_awaited: bool = True) -> None:
        """Open tabs, and return when each has been greeted and has its rows. May switch."""
        for number, node in enumerate(self._nodes):
            own = [tab for index, tab in enumerate(tabs) if index % len(self._nodes) == number]
            self._node_of.update({tab["name"]: node for tab in own})
            node.ask(do="open", tabs=own, every=every)
        if is_awaited:
            self.await_states(lambda states: sum(states.values()) >= len(self._node_of) and _are_ready(states))

    def states(self) -> Counter[str]:
        """Return how many tabs are in which state: of the connection, and of the view; "?" has not been greeted."""
        found: Counter[str] = Counter()
        for node in self._nodes:
            found.update(node.ask(do="states"))
        return found

    def await_states(self, condition: Callable[[Counter[str]], object], *, timeout: float = _PATIENCE) -> None:
        """Return when the tabs are in such states. May switch.

        Raises:
            TimeoutError: they are not.
        """
        deadline = time.monotonic() + timeout
        while not condition(states := self.states()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout:.0f} s the tabs are {dict(states)}")
            time.sleep(0.1)

    def await_ready(self, *, timeout: float = _PATIENCE) -> None:
        """Return when every tab is connected, greeted, and its view live. May switch."""
        self.await_states(_are_ready, timeout=timeout)

    def drive(self, rate: float) -> None:
        """Have the tabs give so many clipboard commands a second, all together."""
        for node in self._nodes:
            node.ask(do="drive", rate=rate / len(self._nodes))

    def rest(self) -> list[dict[str, Any]]:
        """Return what each tab shows now."""
        return [tab for node in self._nodes for tab in node.ask(do="rest")]

    def is_open(self, name: str) -> bool:
        """Return whether a tab is connected."""
        return bool(self._node_of[name].ask(do="rest", names=[name])[0]["state"] == "open")

    def collect(self) -> list[dict[str, Any]]:
        """Return all that each tab has surfaced."""
        return [tab for node in self._nodes for tab in node.ask(do="collect")]

    def faults(self) -> dict[str, list[str]]:
        """Return what the processes themselves have seen going wrong, by kind."""
        found: dict[str, list[str]] = {}
        for node in self._nodes:
            for kind, texts in node.ask(do="faults").items():
                found.setdefault(kind, []).extend(texts)
        return found

    def all(self, do: str, names: Iterable[str] | None = None, **options: Any) -> None:
        """Have tabs do something: all, or those of these names."""
        if names is None:
            for node in self._nodes:
                node.ask(do=do, **options)
            return
        wanted = list(names)
        for node in self._nodes:
            own = [name for name in wanted if self._node_of[name] is node]
            if own:
                node.ask(do=do, names=own, **options)

    def rights(self, user: str, regions: list[str], *, is_begun: bool) -> None:
        """Note that a user's rights are being changed, or have been."""
        names = [name for name in self._node_of if name.startswith(f"{user}/")]
        self.all("rights", names, regions=regions, isBegun=is_begun)

    def close(self, names: Iterable[str]) -> None:
        """Close tabs and forget them."""
        gone = list(names)
        self.all("close", gone)
        for name in gone:
            del self._node_of[name]

    def one(self, do: str, name: str, **options: Any) -> Any:
        """Have one tab do something; return its answer."""
        return self._node_of[name].ask(do=do, name=name, **options)

    @property
    def names(self) -> list[str]:
        """The names of all tabs."""
        return list(self._node_of)

    def kill(self) -> None:
        """Kill the processes (SIGKILL): their tabs are gone without a word."""
        for node in self._nodes:
            os.kill(node.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the processes."""
        for node in self._nodes:
            node.stop()


def _are_ready(states: Counter[str]) -> bool:
    return all(state in ("open/live", "open/none") for state in states)
