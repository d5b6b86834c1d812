"""Streams and commands of the JavaScript client in a real browser, against a real server whose workers are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from pymongo import MongoClient

from tests import harness
from wsflask.embedded import EmbeddedMongo

# The browser and the server are shared by all tests here, and so are playwright's greenlets.
pytestmark = [pytest.mark.browser, pytest.mark.leaves_greenlets]

DATABASE = "javascript_streams"


@pytest.fixture(scope="module")
def server(mongo: EmbeddedMongo) -> Iterator[harness.WebServer]:
    env = {"WSFLASK_MONGODB_URI": mongo.uri_of(DATABASE)}
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo.uri_of(DATABASE)) as client, harness.Servers() as servers:
        # The transaction of a killed worker stays open so long, and with it the command that it was about to apply.
        before = client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=5)["was"]
        try:
            yield servers.gunicorn("tests.apps.client:app", workers=2, env=env)
        finally:
            client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=before)


@pytest.fixture
def context(browser: Browser, server: harness.WebServer) -> Iterator[BrowserContext]:
    """A browser without anybody signed in."""
    context = browser.new_context()
    context.set_default_timeout(120_000)  # workers that start while others work, and waits that grow with each kill
    yield context
    context.close()


def sign_in(context: BrowserContext, server: harness.WebServer, name: str) -> Page:
    page = context.new_page()
    page.goto(f"{server.base_url}/login")
    page.fill("[name=username]", name)
    page.press("[name=username]", "Enter")
    page.wait_for_url(f"{server.base_url}/")
    return page


def open_chat(page: Page, server: harness.WebServer) -> Page:
    """Load the page, and wait until it has heard of both of its streams."""
    page.goto(f"{server.base_url}/chat")
    page.wait_for_function("window.heard?.streams.length >= 2")
    return page


def say(page: Page, *numbers: int) -> list[int]:
    script = "(ns) => Promise.all(ns.map((n) => ws.channel('chat').command({ n }, { timeoutMs: 120_000 })))"
    said: list[int] = page.evaluate(script, list(numbers))
    return said


def kill_workers(server: harness.WebServer) -> None:
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)


def test_a_page_that_is_loaded_again_hears_what_it_missed(context: BrowserContext, server: harness.WebServer) -> None:
    speaker = open_chat(sign_in(context, server, "ann"), server)
    page = open_chat(context.new_page(), server)
    assert page.evaluate("heard.streams.sort()") == ["notifications loaded 0", "publications loaded 0"]
    say(speaker, 1, 2)
    page.wait_for_function("heard.chat.length === 2 && heard.notes.length === 2")

    page.goto("about:blank")
    say(speaker, 3, 4)
    open_chat(page, server)

    assert page.evaluate("heard.streams.sort()") == ["notifications resumed 2", "publications resumed 2"]
    assert page.evaluate("[heard.chat, heard.notes]") == [[3, 4], ["note 3", "note 4"]]
    say(speaker, 5)
    page.wait_for_function("heard.chat.at(-1) === 5 && heard.notes.at(-1) === 'note 5'")
    page.reload()
    page.wait_for_function("window.heard?.streams.length >= 2")
    assert page.evaluate("[heard.chat, heard.notes]") == [[], []]


def test_nothing_is_lost_or_heard_twice_while_workers_are_killed_and_pages_loaded(
    context: BrowserContext, server: harness.WebServer
) -> None:
    speaker = open_chat(sign_in(context, server, "bea"), server)
    listener, traveller = open_chat(context.new_page(), server), open_chat(context.new_page(), server)

    for start in range(100, 160, 20):
        numbers = list(range(start, start + 20))
        first = numbers[:10]
        speaker.evaluate(
            """(ns) => {
              window.said = Promise.all(ns.map((n) => ws.channel("chat").command({ n }, { timeoutMs: 120_000 })));
            }""",
            first,
        )
        kill_workers(server)
        traveller.goto("about:blank")
        assert speaker.evaluate("said") == first
        say(speaker, *numbers[10:])
        open_chat(traveller, server)
    listener.wait_for_function("heard.chat.length === 60 && heard.notes.length === 60")

    spoken = speaker.evaluate("heard.chat")
    assert sorted(spoken) == list(range(100, 160)), "a command was lost, or applied twice"
    assert listener.evaluate("[heard.chat, heard.notes]") == [spoken, [f"note {n}" for n in spoken]]
    traveller.wait_for_function("before.length + heard.chat.length === 60")
    assert traveller.evaluate("[...before, ...heard.chat]") == spoken
    assert "reset" not in str(listener.evaluate("heard.streams") + traveller.evaluate("heard.streams"))


def test_who_signs_in_as_another_in_the_same_tab_begins_anew(
    context: BrowserContext, server: harness.WebServer
) -> None:
    page = open_chat(sign_in(context, server, "cid"), server)
    say(page, 200)
    page.wait_for_function("heard.chat.length === 1 && heard.notes.length === 1")
    context.clear_cookies()
    page.goto(f"{server.base_url}/login")
    page.fill("[name=username]", "dan")
    page.press("[name=username]", "Enter")
    page.wait_for_url(f"{server.base_url}/")

    open_chat(page, server)

    assert page.evaluate("heard.streams.sort()") == ["notifications reset 0", "publications reset 0"]
    assert page.evaluate("[heard.chat, heard.notes]") == [["reset"], []]


def test_marking_as_read_survives_a_killed_worker(context: BrowserContext, server: harness.WebServer) -> None:
    page = open_chat(sign_in(context, server, "eve"), server)
    say(page, 300, 301)
    page.wait_for_function("ws.notifications.unread === 2")

    page.evaluate("() => { window.marked = ws.notifications.markAllRead(); }")
    kill_workers(server)

    assert page.evaluate("marked") == 0
