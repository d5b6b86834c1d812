"""Who writes and who follows, in processes of their own: each prints the times of what it did as one JSON line."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from pymongo import MongoClient, WriteConcern

__all__ = ["DATABASE_ROWS"]

#: The collection that the application's views show.
DATABASE_ROWS = "row"
#: Batches of documents that are inserted in a second.
_BATCHES = 50


def write(uri: str, rate: str, count: str) -> None:
    """Change one document after the other at a rate, majority each; print when each was begun and acknowledged."""
    with MongoClient[dict[str, Any]](uri) as client:
        rows = client.get_default_database()[DATABASE_ROWS].with_options(write_concern=WriteConcern("majority"))
        ids = [row["_id"] for row in rows.find({"group": "shared"}, {"_id": 1})]
        times = {}
        due = time.monotonic()
        for number in range(int(count)):
            due += 1 / float(rate)
            time.sleep(max(due - time.monotonic(), 0))
            begun = time.monotonic()
            rows.update_one({"_id": ids[number % len(ids)]}, {"$set": {"value": 1000 + number}})
            times[1000 + number] = (begun, time.monotonic())
    print(json.dumps(times))


def follow(uri: str, count: str) -> None:
    """Read a bare change stream until so many updates have come; print when each did."""
    with MongoClient[dict[str, Any]](uri) as client:
        rows = client.get_default_database()[DATABASE_ROWS]
        with rows.watch(full_document="updateLookup", max_await_time_ms=1000) as stream:
            stream.try_next()
            print("ready", flush=True)
            times = {}
            while len(times) < int(count):
                event = stream.next()
                times[event["fullDocument"]["value"]] = time.monotonic()
    print(json.dumps(times))


def insert(uri: str, groups: str, rate: str, seconds: str) -> None:
    """Insert documents of groups by turns at a rate; then one of the group "fence"; print when it was begun."""
    names = groups.split(",")
    size = max(int(float(rate)) // _BATCHES, 1)
    with MongoClient[dict[str, Any]](uri) as client:
        rows = client.get_default_database()[DATABASE_ROWS]
        started = time.monotonic()
        inserted = 0
        while (late := time.monotonic() - started) < float(seconds):
            time.sleep(max(inserted / float(rate) - late, 0))
            batch = [
                {"group": names[number % len(names)], "value": number} for number in range(inserted, inserted + size)
            ]
            rows.insert_many(batch, ordered=False)
            inserted += size
        ended = time.monotonic()
        rows.with_options(write_concern=WriteConcern("majority")).insert_one({"group": "fence", "value": 0})
    print(json.dumps({"inserted": inserted, "seconds": ended - started, "ended": ended}))


if __name__ == "__main__":
    {"write": write, "follow": follow, "insert": insert}[sys.argv[1]](*sys.argv[2:])
