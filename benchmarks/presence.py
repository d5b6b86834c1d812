"""Count what presence costs: entries written, messages sent, memory. `python -m benchmarks.presence`."""

from gevent import monkey

monkey.patch_all()

import gc
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mongoengine
from pymongo.monitoring import CommandListener

from tests import harness
from tests.harness.stage import Actor, Stage
from wsflask import Presence
from wsflask.documents import PresenceEntry, PresenceLease
from wsflask.embedded import EmbeddedMongo
from wsflask.identity import Identity

MEMBERS, STORM, LINGER = 1000, 10_000, 5.0
COLLECTION = "wsflask_presence"
ABOUT = {"name": "Somebody Else"}
UNLIMITED = {"messages_per_second": 1e6, "message_burst": 10**6, "max_connections": 2 * STORM}


class Commands(CommandListener):
    """Counts bulk writes of entries, and the entries in them."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def started(self, event: Any) -> None:
        steps = event.command.get("updates") or event.command.get("deletes") or ()
        if steps and event.command.get(event.command_name) == COLLECTION:
            self.seen[f"{event.command_name}s"] += 1
            self.seen["entries"] += len(steps)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


class Client(Actor):
    """Counts what it is sent, and looks at nothing."""

    def __init__(self, stage: Stage, name: str) -> None:
        super().__init__()
        self.name = name
        self.messages = self.bytes = 0
        user = SimpleNamespace(get_id=lambda: name, is_authenticated=True, is_active=True, groups=[])
        identity = Identity(user, name, frozenset(), "a session")
        self.connection = stage.server.handler(self, identity=identity, form="v1")
        self.owner = self.connection
        self.connection.start()

    def write(self, data: bytes) -> int:
        self.messages, self.bytes = self.messages + 1, self.bytes + len(data)
        return len(data)

    def join(self) -> None:
        """Join the room of everybody."""
        self.say("presence", {"action": "join", "data": {"room": "", "tab": "1"}}, id="1")


class Count:
    """What happens from now on."""

    def __init__(self, commands: Commands, clients: list[Client]) -> None:
        self._commands, self._clients = commands, clients
        self._before = [(client.messages, client.bytes) for client in clients]
        self._began = time.monotonic()
        commands.seen.clear()

    def say(self, what: str) -> None:
        """Print it."""
        pairs = zip(self._clients, self._before, strict=True)
        gained = [(client.messages - messages, client.bytes - size) for client, (messages, size) in pairs]
        messages, size = sorted(gained)[len(gained) // 2] if gained else (0, 0)
        took = time.monotonic() - self._began
        got = f"a client in the room got {messages} messages, {size} bytes"
        print(f"{what}: {dict(self._commands.seen)}, {got}; {took:.1f} s")


def entries(expected: int, **query: Any) -> Callable[[], bool]:
    """Return whether there are so many entries."""
    return lambda: PresenceEntry.objects(**query).count() == expected


def join_and_leave(commands: Commands) -> None:
    """Have one come and go among many."""
    with Stage(Presence(describe=lambda user: ABOUT, linger=LINGER), **UNLIMITED) as stage:
        clients = [Client(stage, f"user{number:05d}") for number in range(MEMBERS)]
        count = Count(commands, clients)
        for client in clients:
            client.join()
        harness.wait_until(entries(MEMBERS), timeout=60)
        time.sleep(1)
        count.say(f"{MEMBERS} join at once")
        newcomer = Client(stage, "newcomer")
        count, own = Count(commands, clients), Count(Commands(), [newcomer])
        newcomer.join()
        time.sleep(1)
        count.say("one more joins")
        own.say("he himself")
        count = Count(commands, clients)
        newcomer.connection.peer_gone()
        Client(stage, "newcomer").join()
        time.sleep(1)
        count.say("he loses his connection and is back")
        count = Count(commands, clients[1:])
        clients[0].connection.peer_gone()
        time.sleep(LINGER + 2)
        count.say("one does not come back")


def storm(commands: Commands) -> None:
    """Have the clients of a worker that was killed come to this one."""
    PresenceEntry.drop_collection()
    PresenceLease(id="killed", beat=1, patience=60.0).save()
    names = [f"user{number:05d}" for number in range(STORM)]
    fields = {"process": "killed", "about": '{"name":"Somebody Else"}', "data": "{}"}
    PresenceEntry.ensure_indexes()
    PresenceEntry._get_collection().insert_many([{"_id": f"\n1\n{name}", **fields} for name in names])
    before = memory()
    with Stage(Presence(describe=lambda user: ABOUT, linger=LINGER), **UNLIMITED) as stage:
        watcher = Client(stage, "watcher")
        watcher.join()
        time.sleep(1)
        print(f"the roster takes {(memory() - before) // STORM} bytes an entry")
        clients = [Client(stage, name) for name in names]
        count = Count(commands, [watcher])
        for client in clients:
            client.join()
            time.sleep(0)
        harness.wait_until(entries(0, process="killed"), timeout=120)
        time.sleep(1)
        count.say(f"{STORM} of a killed worker come back")


def memory() -> int:
    """Return the resident bytes of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run both against a mongod of its own."""
    folder = harness.data_folder()
    mongo = EmbeddedMongo(folder)
    mongo.start()
    commands = Commands()
    mongoengine.connect(host=mongo.uri_of("presence"), uuidRepresentation="standard", event_listeners=[commands])
    try:
        join_and_leave(commands)
        storm(commands)
    finally:
        mongo.stop(timeout=0)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
