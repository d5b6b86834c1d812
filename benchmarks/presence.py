"""Count what presence costs: entries written, messages sent, memory. `python -m benchmarks.presence [--redis]`."""

from gevent import monkey

monkey.patch_all()

import argparse
import gc
import os
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mongoengine
from pymongo.monitoring import CommandListener

from tests import harness
from tests.harness.stage import Actor, Stage
from tests.presence_shelves import MongoShelf, RedisShelf, Shelf, lease_of
from wsflask import Presence
from wsflask.documents import PresenceEntry
from wsflask.embedded import EmbeddedMongo
from wsflask.identity import Identity
from wsflask.services.presence.redis_calls import Calls
from wsflask.services.presence.redis_frames import id_of
from wsflask.services.presence.store import Entry, Key

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


def count_calls(commands: Commands) -> None:
    """Count what is written into Redis, as the commands of MongoDB are."""
    original = Calls.write

    def write(calls: Calls, lease: str, mine: Any, taken: Any, kept: Any, gone: Any) -> bool:
        commands.seen["calls"] += 1
        commands.seen["entries"] += len(taken) + len(kept) + len(gone)
        return original(calls, lease, mine, taken, kept, gone)

    Calls.write = write  # type: ignore[method-assign]


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


def staged(shelf: Shelf) -> Stage:
    """Return a worker."""
    return Stage(Presence(describe=lambda user: ABOUT, linger=LINGER), **UNLIMITED, **shelf.settings)


def join_and_leave(commands: Commands, shelf: Shelf) -> None:
    """Have one come and go among many."""
    with staged(shelf) as stage:
        harness.wait_until(shelf.leases)
        clients = [Client(stage, f"user{number:05d}") for number in range(MEMBERS)]
        count = Count(commands, clients)
        for client in clients:
            client.join()
        harness.wait_until(lambda: len(shelf.owners()) == MEMBERS, timeout=60)
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


def storm(commands: Commands, shelf: Shelf) -> None:
    """Have the clients of a worker that was killed come to this one."""
    shelf.lose()
    killed = lease_of("killed")
    shelf.put_lease(killed, 60.0)
    names = [f"user{number:05d}" for number in range(STORM)]
    lay_in(shelf, killed, [("", name, "1") for name in names])
    before = memory()
    with staged(shelf) as stage:
        watcher = Client(stage, "watcher")
        watcher.join()
        time.sleep(1)
        print(f"the roster takes {(memory() - before) // STORM} bytes an entry")
        clients = [Client(stage, name) for name in names]
        count = Count(commands, [watcher])
        for client in clients:
            client.join()
            time.sleep(0)
        harness.wait_until(lambda: not shelf.count(killed), timeout=120)
        time.sleep(1)
        count.say(f"{STORM} of a killed worker come back")


def lay_in(shelf: Shelf, lease: str, keys: list[Key]) -> None:
    """Lay in the entries of a worker."""
    about = '{"name":"Somebody Else"}'
    if isinstance(shelf, RedisShelf):
        for start in range(0, len(keys), 1000):
            kept = [(id_of(key), shelf.frames.pack(Entry(key, lease, about, "{}"))) for key in keys[start:][:1000]]
            Calls.write(shelf.calls, lease, [], kept, [], [])
        used = sum(shelf.client.memory_usage(key, samples=0) or 0 for key in shelf.client.keys(f"*{shelf.name}*"))
        print(f"Redis takes {used // len(keys)} bytes an entry, with the log")
    else:
        PresenceEntry.ensure_indexes()
        fields = {"process": lease, "about": about, "data": "{}"}
        PresenceEntry._get_collection().insert_many([{"_id": id_of(key), **fields} for key in keys])


def memory() -> int:
    """Return the resident bytes of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run both against a mongod, and perhaps a redis-server, of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", action="store_true", help="keep the entries in Redis")
    is_redis = parser.parse_args().redis
    folder = harness.data_folder()
    mongo = EmbeddedMongo(folder)
    mongo.start()
    commands = Commands()
    mongoengine.connect(host=mongo.uri_of("presence"), uuidRepresentation="standard", event_listeners=[commands])
    try:
        with ExitStack() as stack:
            shelf: Shelf = MongoShelf(harness.RedisServer())
            if is_redis:
                count_calls(commands)
                shelf = RedisShelf(stack.enter_context(harness.RedisServer()))
                shelf.secret = Stage().server.secret
            join_and_leave(commands, shelf)
            storm(commands, shelf)
            shelf.close()
    finally:
        mongo.stop(timeout=0)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
