"""Notifier, clipboard and presence in a process without gevent's patches: real threads for every socket and service."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.harness import ROOT, Database, RedisServer, require_program

SCRIPT = textwrap.dedent(
    """
    import sys, threading, mongoengine
    from tests.harness import wait_until
    from tests.harness.stage import Stage
    from wsflask.documents import Notification, unread_count
    from wsflask.services.clipboard import Clipboard
    from wsflask.services.notifier import Notifier
    from wsflask.tasks import is_patched

    assert not is_patched()
    mongoengine.connect(host=sys.argv[1], uuidRepresentation="standard")
    with Stage(Notifier, Clipboard, messages_per_second=10_000, message_burst=10_000) as stage:
        tabs = [stage.connect("ada" if number % 2 else "bob") for number in range(6)]

        def work(number, tab):
            for count in range(10):
                Notifier.notify(Notification(message=f"{number}.{count}", everyone=True))
                entries = tab.ask("clipboard", {"action": "add", "data": f"{number}.{count}"})["payload"]
                assert f"{number}.{count}" in [entry["data"] for entry in entries], entries
                if count % 3 == 0:
                    tab.ask("notifications", {"action": "mark_all_read"})

        threads = [threading.Thread(target=work, args=each) for each in enumerate(tabs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, tab in enumerate(tabs):
            unread = unread_count("ada" if number % 2 else "bob")
            wait_until(lambda: tab.on("notifications")[-1]["unread"] == unread)
            wait_until(lambda: len(tab.on("clipboard")[-1]) == 30)
            labels = [each["last"]["label"] for each in tab.on("notifications") if "last" in each]
            assert len(labels) == len(set(labels))
    mongoengine.disconnect_all()
    print("done")
    """
)


PRESENCE = textwrap.dedent(
    """
    import sys, threading, mongoengine
    from tests.harness import wait_until
    from tests.harness.stage import Stage
    from wsflask import Presence
    from wsflask.tasks import is_patched

    assert not is_patched()
    mongoengine.connect(host=sys.argv[1], uuidRepresentation="standard")
    settings = {"redis_url": sys.argv[2]} if len(sys.argv) > 2 else {}
    ask = {"action": "join", "data": {"room": "", "tab": "1"}}
    with Stage(Presence(linger=0.5), **settings) as one, Stage(Presence(linger=0.5), **settings) as other:
        ada, bob = one.connect("ada"), other.connect("bob")
        for actor in (ada, bob):
            assert "you" in actor.ask("presence", ask)["payload"]
        wait_until(lambda: "bob" in str(ada.texts) and "ada" in str(bob.texts))
        bob.leave()
        wait_until(lambda: any(payload.get("left") == ["bob"] for payload in ada.on("presence")))
    wait_until(lambda: not [each for each in threading.enumerate() if "presence" in each.name])
    mongoengine.disconnect_all()
    print("done")
    """
)


@pytest.mark.parametrize("is_redis", [False, True])
def test_presence_keeps_its_promises_with_real_threads(
    database: Database, redis_server: RedisServer, is_redis: bool
) -> None:
    if is_redis:
        require_program("redis-server")
    command = [sys.executable, "-c", PRESENCE, database.uri, *([redis_server.url] if is_redis else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)

    assert (done.stdout, done.stderr) == ("done\n", "")


def test_they_keep_their_promises_with_real_threads(database: Database) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, database.uri], capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
    )

    assert (done.stdout, done.stderr) == ("done\n", "")
