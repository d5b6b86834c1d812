"""A worker in a process of its own: it prints what its feed tells, and whether it is the relay.

python -m tests.feed_worker MONGODB_URI REDIS_URL COLLECTION
"""

from gevent import monkey

monkey.patch_all()

import json
import sys
import time

import gevent
import mongoengine
from mongoengine import Document

from wsflask.config import Settings
from wsflask.feed.changes import Change
from wsflask.feed.redis import RedisFeed

SECRET = b"of all workers"


def main(mongodb_uri: str, redis_url: str, collection: str) -> None:
    mongoengine.connect(host=mongodb_uri, uuidRepresentation="standard")
    document_class = type("Watched", (Document,), {"meta": {"collection": collection, "strict": False}})
    feed = RedisFeed(Settings(feed="redis", redis_url=redis_url), SECRET)
    feed.start()
    subscription = feed.watch(document_class)
    gevent.spawn(tell, feed)
    for item in subscription:
        kind = item.op if isinstance(item, Change) else "gap"
        say(kind=kind, seq=item.seq, id=item.id if isinstance(item, Change) else None)


def tell(feed: RedisFeed) -> None:
    known = None
    while True:
        if (now := (feed.is_relay, feed.follows_redis)) != known:
            known = now
            say(kind="state", is_relay=now[0], follows_redis=now[1])
        gevent.sleep(0.02)


def say(**line: object) -> None:
    sys.stdout.write(json.dumps({**line, "at": time.monotonic()}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
