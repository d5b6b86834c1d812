"""A simulated truth for streams: a history, workers that follow it late and are killed, clients that come and go."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from wsflask.feed.base import HistoryLost
from wsflask.feed.positions import moment_before, moment_of, numbered
from wsflask.protocol.messages import Message
from wsflask.streams.history import Stretch
from wsflask.streams.place import Place
from wsflask.streams.stream import Stream

__all__ = ["Client", "Entry", "History", "Socket", "Worker"]

NAME = "publications"


@dataclass(frozen=True)
class Entry:
    """One message that was ever published."""

    number: int
    seq: str
    everyone: bool
    users: frozenset[str]
    groups: frozenset[str]

    def is_for(self, client: Client) -> bool:
        return self.everyone or client.user_id in self.users or not self.groups.isdisjoint(client.groups)


class History:
    """Everything that was published, and how far back the database still tells of it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        #: What is before the entry with this number can not be told any more.
        self.first = 0
        self.epoch = 1
        self.clock = 0.0
        self._moment = 1

    @property
    def position(self) -> str:
        return f"{self._moment << 32:020d}"

    def tick(self) -> None:
        """Let the database's time go on without a message."""
        self._moment += 1

    def publish(self, *recipients: Any) -> None:
        """Publish in one transaction."""
        self.tick()
        for number, (everyone, users, groups) in enumerate(recipients):
            entry = Entry(len(self.entries), numbered(self.position, number), everyone, users, groups)
            self.entries.append(entry)

    def between(self, since: str, until: str, most: int) -> Stretch[Entry]:
        if self.first and since < self.entries[self.first - 1].seq:
            raise HistoryLost("rolled over")
        found = [(e.seq, e, 100) for e in self.entries if since < e.seq and moment_of(e.seq) <= moment_of(until)]
        if len(found) <= most:
            return Stretch(found, moment_of(until))
        end = moment_before(found[most][0])
        if end <= moment_of(since):
            raise HistoryLost("too much at one moment")
        return Stretch([each for each in found if moment_of(each[0]) <= end], end)


class Socket:
    """A connection as a stream sees it; what is sent waits for its client."""

    form = "v1"

    def __init__(self, client: Client, worker: Worker) -> None:
        self.user_id, self.groups = client.user_id, client.groups
        self.client, self.worker = client, worker
        self.resume = {} if client.place is None else {NAME: client.place}
        self.is_open = True
        self.is_joined = False
        self.holds = 0
        #: Messages on their way, with the number of entries that their worker had taken.
        self.waiting: list[tuple[Message, int]] = []

    @property
    def waiting_bytes(self) -> int:
        return 100 * len(self.waiting)

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        assert self.holds >= 0

    def send(self, message: Message) -> None:
        if self.is_open:
            self.waiting.append((message, self.worker.taken))
            self.is_open = self.waiting_bytes <= self.worker.limits.outbox_bytes

    def join(self) -> None:
        assert not self.is_joined
        self.is_joined = True


@dataclass
class Client:
    """A page: it surfaces messages, drops what it has, and remembers its place."""

    user_id: str
    groups: frozenset[str]
    dedupes: bool = True
    socket: Socket | None = None
    place: Place | None = None
    #: Numbers of the entries it surfaced since it was told to begin (anew), and with which number that was.
    surfaced: list[int] = field(default_factory=list)
    base: int | None = None
    states: list[str] = field(default_factory=list)
    missed: int = 0

    def connect(self, worker: Worker) -> None:
        self.socket = Socket(self, worker)
        worker.enter(self.socket)

    def cut(self) -> None:
        """Lose the connection, with all that is on its way."""
        if self.socket is not None:
            self.socket.is_open = False
            self.socket.worker.forget(self.socket)
            self.socket = None

    def receive(self, most: int) -> None:
        """Take some of what is on its way."""
        socket = self.socket
        if socket is None:
            return
        for message, taken in socket.waiting[:most]:
            payload = json.loads(message.payload_json)
            if message.channel == "stream":
                self._told(payload, message.seq or "", taken)
            elif message.channel == "ping":
                assert self.place is not None
                self.place = Place(self.place.epoch, max(self.place.seq, message.seq or ""))
            else:
                self._surface(payload, message.seq or "")
        del socket.waiting[:most]
        if not socket.is_open:
            self.cut()

    def _told(self, payload: dict[str, Any], seq: str, taken: int) -> None:
        state, epoch = payload["state"], payload["epoch"]
        self.states.append(state)
        if state == "resumed":
            assert self.place is not None
            self.missed += payload["missed"]
            self.place = Place(epoch, max(self.place.seq, seq))
        else:
            assert state == "reset" or self.place is None, "loaded, though the client had a place"
            self.base, self.surfaced = taken, []
            self.place = Place(epoch, seq)

    def _surface(self, number: int, seq: str) -> None:
        assert self.place is not None
        if self.dedupes and seq <= self.place.seq:
            return
        self.surfaced.append(number)
        self.place = Place(self.place.epoch, seq)


class Worker:
    """A process: a stream, the connections, and how far it has read the history."""

    def __init__(
        self, history: History, limits: SimpleNamespace, make: Callable[..., Stream[Entry]], events: Callable[[], None]
    ) -> None:
        self.past, self.limits, self._make, self._events = history, limits, make, events
        self.sockets: list[Socket] = []
        #: Whether its feed, or those who wait, are being looked after at this moment: there is one greenlet for each.
        self.is_feeding = self.is_catching_up = False
        self.start()

    def start(self) -> None:
        """Begin at the present, as a new process."""
        for socket in self.sockets:
            socket.is_open = False
        self.sockets = []
        #: How many entries were added, and the number of the next that the feed brings.
        self.taken = self.next = len(self.past.entries)
        self.stream = self._make(NAME, self, threading.RLock(), self.limits, lambda: None,
                                 pause=self._events, now=lambda: self.past.clock)  # fmt: skip
        self.is_begun = False

    def begin(self) -> None:
        if not self.is_begun:
            self.is_begun = True
            self.taken = self.next = len(self.past.entries)
            self.stream.go_on(self.past.position, self._hand_on, self._up_to_date)

    def enter(self, socket: Socket) -> None:
        self.sockets.append(socket)
        self.stream.enter(socket, socket.join)  # type: ignore[arg-type]

    def forget(self, socket: Socket) -> None:
        if socket in self.sockets:
            self.sockets.remove(socket)

    def feed(self, moments: int, chance: random.Random) -> None:
        """Take what happened at the next few moments; perhaps the feed tells the last one again."""
        self.begin()
        entries = self.past.entries
        if self.next and chance.random() < 0.2:
            self._hand_on(entries[self.next - 1].seq, entries[self.next - 1], 100)
        for _ in range(moments):
            if self.next == len(entries):
                self.stream.reach(self.past.position)
                return
            moment = moment_of(entries[self.next].seq)
            while self.next < len(entries) and moment_of(entries[self.next].seq) == moment:
                self.next += 1
                self._hand_on(entries[self.next - 1].seq, entries[self.next - 1], 100)
            self.stream.reach(moment)

    def gap(self, skipped: int) -> None:
        """Have the feed lose some entries, and say so."""
        self.begin()
        entries = self.past.entries
        moment = self.stream.reached
        for _ in range(skipped):
            if self.next < len(entries):
                moment = moment_of(entries[self.next].seq)
                while self.next < len(entries) and moment_of(entries[self.next].seq) == moment:
                    self.next += 1
        told = self.stream.go_on(moment, self._hand_on, self._up_to_date)
        self.taken = self.next
        for ws in told:  # they were told of what was taken before
            socket: Any = ws
            socket.waiting[-1] = (socket.waiting[-1][0], self.next)

    def ping(self) -> None:
        """Tell who is up to date how far the stream has come."""
        for socket in self.sockets:
            if socket.is_joined:
                socket.send(Message("ping", {}, seq=self.stream.reached))

    def catch_up(self) -> None:
        self.stream.catch_up()
        for socket in self.sockets[:]:
            if not socket.is_open:
                self.forget(socket)

    def _hand_on(self, seq: str, entry: Entry, size: int) -> None:
        if not self.stream.add(seq, entry, size):
            return
        self.taken = entry.number + 1
        first = self._up_to_date()[::2]
        self._tell(first, seq, entry)
        self._events()  # who joins now has it already, and gets it once more
        self._tell([socket for socket in self._up_to_date() if socket not in first], seq, entry)

    def _tell(self, sockets: Sequence[Socket], seq: str, entry: Entry) -> None:
        for socket in sockets:
            if entry.is_for(socket.client):
                socket.send(self.message(socket, seq, entry))

    def _up_to_date(self) -> list[Any]:
        return [socket for socket in self.sockets if socket.is_joined and socket.is_open]

    # --- what the stream asks

    def channels(self) -> list[str]:
        return ["chat"]

    def epoch(self, user_id: str) -> str:
        return f"{user_id} {self.past.epoch}"

    def addressed(self, item: Entry) -> Entry:
        return item

    def message(self, ws: Any, seq: str, item: Entry) -> Message:
        return Message("chat", item.number, seq=seq)

    def history(self, since: str, until: str) -> Stretch[Entry]:
        self._events()
        found = self.past.between(since, until, self.limits.stream_history)
        self._events()
        return found

    def awaits(self, position: str) -> None:
        pass

    def is_behind(self, position: str) -> bool:
        return False

    def turn_away(self, connections: Iterable[Any]) -> None:
        for ws in connections:
            ws.is_open = False

    def lost(self, ws: Any) -> None:
        pass
