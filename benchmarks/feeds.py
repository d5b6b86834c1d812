"""What the feed costs the database with one reader and with many, directly and through Redis.

    python -m benchmarks.feeds [--readers 1,10,50] [--seconds 10] [--rate 200]

It starts a mongod and a redis-server of its own; nothing else should run meanwhile.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent
import mongoengine
from bson import encode
from mongoengine import Document

from wsflask.config import Settings
from wsflask.embedded import EmbeddedMongo
from wsflask.embedded.children import free_port, start_child, stop_child
from wsflask.feed import create_feed
from wsflask.feed.pipeline import pipeline_for, stage_options, told_by
from wsflask.feed.positions import moment_after, position_of, timestamp_of
from wsflask.feed.redis_frames import pack
from wsflask.feed.redis_stream import RedisStream, connect
from wsflask.feed.tail import Tail

SECRET = b"of all workers"
ROOT = Path(__file__).resolve().parent.parent
#: Of the last minute: with other work beside it the delays say nothing.
LOAD = os.getloadavg()[0]


class Gate(Document):
    meta = {"collection": "gates", "strict": False}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--readers", default="1,10,50")
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--follow", nargs=3, metavar=("FEED", "MONGODB", "REDIS"))
    given = options.parse_args()
    if given.follow:
        follow(*given.follow)
        return
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None, prefix="wsflask-bench-")
    port = free_port()
    redis = start_child(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""], output=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        with EmbeddedMongo(folder, oplog_megabytes=500) as mongo:
            assert mongo.pid is not None
            client = mongoengine.connect(host=mongo.uri_of("bench"), uuidRepresentation="standard")
            print(f"{given.rate:g} writes a second, {given.seconds:g} s, 200 bytes each; load {LOAD:.2f} before")
            print("feed   readers  p50 ms  p99 ms  mongod us/write  redis us/write  all readers us/write")
            for readers in map(int, given.readers.split(",")):
                for feed in ("mongo", "redis"):
                    row = measure(feed, readers, client, mongo.uri_of("bench"), url, (mongo.pid, redis.pid), given)
                    print("{:6} {:7} {:7.1f} {:7.1f} {:16.0f} {:15.0f} {:21.0f}".format(*row), flush=True)
            drain(client, url)
    finally:
        stop_child(redis, timeout=5)
        shutil.rmtree(folder, ignore_errors=True)


def measure(
    feed: str, readers: int, client: Any, uri: str, url: str, servers: tuple[int, int], given: Any
) -> tuple[Any, ...]:
    command = [sys.executable, "-m", "benchmarks.feeds", "--follow", feed, uri, url]
    children = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(readers)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        gevent.sleep(2)
        pids = [*servers, *(child.pid for child in children)]
        before = [cpu(pid) for pid in pids]
        written = write(client["bench"]["gates"], given.rate, given.seconds)
        gevent.sleep(0.5)
        spent = [(cpu(pid) - start) * 1e6 / written for pid, start in zip(pids, before, strict=True)]
        delays: list[float] = []
        for child in children:
            told = json.loads(child.communicate("end\n")[0])
            assert told["count"] >= written, (told["count"], written)
            delays += told["delays"]
        delays.sort()
        middle, late = delays[len(delays) // 2] * 1000, delays[int(len(delays) * 0.99)] * 1000
        return feed, readers, middle, late, spent[0], spent[1], sum(spent[2:])
    finally:
        for child in children:
            child.kill()


def cpu(pid: int) -> float:
    """Return the seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(gates: Any, rate: float, seconds: float) -> int:
    began, count = time.monotonic(), 0
    while (now := time.monotonic()) - began < seconds:
        gates.insert_one({"at": now, "x": "x" * 150})
        count += 1
        gevent.sleep(max(began + count / rate - time.monotonic(), 0))
    return count


def follow(kind: str, uri: str, url: str) -> None:
    mongoengine.connect(host=uri, uuidRepresentation="standard")
    feed = create_feed(Settings(feed=kind, redis_url=url), SECRET)
    feed.start()
    subscription = feed.watch(Gate)
    while kind == "redis" and not feed.follows_redis:  # type: ignore[attr-defined]
        gevent.sleep(0.05)
    delays: list[float] = []

    def take() -> None:
        delays.extend(time.monotonic() - change.document["at"] for change in subscription)  # type: ignore[union-attr,index]

    gevent.spawn(take)
    print("ready", flush=True)
    gevent.get_hub().threadpool.apply(sys.stdin.readline)
    print(json.dumps({"count": len(delays), "delays": delays[::10]}), flush=True)
    os._exit(0)


def drain(client: Any, url: str, count: int = 50_000) -> None:
    """Print what the relay and a reader carry when there is more than they can."""
    gates, namespace = client["bench"]["gates"], ("bench", "gates")
    start = position_of(client.admin.command("hello")["lastWrite"]["opTime"]["ts"])
    for _ in range(count // 1000):
        gates.insert_many([{"at": 0.0, "x": "x" * 150} for _ in range(1000)])
    stream = RedisStream(connect(url), SECRET, "bench", client.codec_options, 1 << 30)
    stream.belong_to("drain")
    assert stream.take_lease()
    stream.take_up(None)
    options = stage_options(client.admin.command("hello"))
    after = timestamp_of(moment_after(start))
    tail = Tail(client, "bench", pipeline_for([namespace]), start=after, options=options)
    began, spent, told, since = time.monotonic(), time.process_time(), 0, start
    covered = frozenset({namespace})
    while told < count:
        events = tail.read(100)
        changes = [entry for seq, event in events for entry in told_by(seq, event, covered, tail.options)]
        stream.append(pack(since, covered, changes, tail.options), tail.position, is_quiet=False, replaces=False)
        since = tail.position
        told += len(changes)
    show("the relay", count, began, spent)
    began, spent, told, place = time.monotonic(), time.process_time(), 0, "0-0"
    while told < count:
        for entry in stream.after(place, most=8, wait=None):
            frame = stream.frame(entry, covered)
            place = frame.place
            told += len(frame.told)
    show("a reader", count, began, spent)
    assert len(encode({"at": 0.0, "x": "x" * 150})) < 200


def show(who: str, count: int, began: float, spent: float) -> None:
    seconds, busy = time.monotonic() - began, time.process_time() - spent
    print(f"{who} carries {count / seconds:,.0f} changes/s, at {busy * 1e6 / count:.1f} us each")


if __name__ == "__main__":
    main()
