"""The JavaScript client in a real browser, against a real server: both its forms."""

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

DATABASE = "javascript_client"
FORMS = pytest.mark.parametrize("form", ["module", "classic"])


@pytest.fixture(scope="module")
def server(mongo: EmbeddedMongo) -> Iterator[harness.WebServer]:
    env = {"WSFLASK_MONGODB_URI": mongo.uri_of(DATABASE)}
    with harness.Servers() as servers:
        yield servers.gunicorn("tests.apps.client:app", workers=2, env=env)


@pytest.fixture
def ann(browser: Browser, server: harness.WebServer) -> Iterator[BrowserContext]:
    """A browser in which ann is signed in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server.base_url}/login")
    page.fill("[name=username]", "ann")
    page.press("[name=username]", "Enter")
    page.wait_for_url(f"{server.base_url}/")
    yield context
    context.close()


def open_page(context: BrowserContext, server: harness.WebServer, form: str) -> Page:
    page = context.new_page()
    page.goto(f"{server.base_url}/{form}")
    page.wait_for_function("window.ws?.state === 'open'")
    return page


@pytest.fixture
def flights(mongo: EmbeddedMongo) -> Iterator[Any]:
    """The collection of flights, as another program sees it."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo.uri_of(DATABASE)) as client:
        yield client[DATABASE].flights


#: Subscribe, and note how many rows there are at each event.
_FOLLOW = """() => {
  window.view = ws.documents("Flight", { scope: [{ fn: "gate", op: "==", val: "1" }], catalog: { gate: null } });
  window.rows = () => [...view.rows.values()].map(({ _id, gate }) => `${_id} ${gate}`).sort();
  window.sizes = [];
  for (const event of ["change", "load", "reset", "state"]) {
    view.on(event, () => view.state === "loading" || sizes.push(view.rows.size));
  }
}"""


@FORMS
def test_it_connects_to_the_host_of_the_page_by_itself(
    ann: BrowserContext, server: harness.WebServer, form: str
) -> None:
    page = open_page(ann, server, form)

    assert page.evaluate("ws.url") == server.ws_url


@FORMS
def test_a_request_resolves_and_a_refusal_rejects(ann: BrowserContext, server: harness.WebServer, form: str) -> None:
    page = open_page(ann, server, form)

    assert page.evaluate("ws.channel('echo').request({a: 'é'})") == {"you said": {"a": "é"}}
    refused = "ws.notifications.markRead('nonsense').catch(({ name, code, message }) => [name, code, message])"
    assert page.evaluate(refused) == ["WSFlaskError", "bad_data", "The data does not fit the action."]


def test_what_one_tab_says_another_hears(ann: BrowserContext, server: harness.WebServer) -> None:
    here, there = open_page(ann, server, "module"), open_page(ann, server, "classic")
    there.evaluate("() => { window.heard = []; ws.channel('echo').on('message', (said) => heard.push(said)); }")

    here.evaluate("ws.channel('echo').send('hello')")

    there.wait_for_function("heard.length === 1")
    assert there.evaluate("heard") == [{"user": "ann", "said": "hello"}]


def test_a_hundred_requests_at_once_stay_below_the_rate(ann: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(ann, server, "module")

    done = page.evaluate(
        """async () => {
          const channel = ws.channel("notifications");
          const asked = Array.from({ length: 100 }, () => channel.request({ action: "list" }));
          const answers = await Promise.allSettled(asked);
          return answers.filter(({ status }) => status === "fulfilled").length;
        }"""
    )

    assert done == 100


def test_the_clipboard_is_the_same_in_both_tabs(ann: BrowserContext, server: harness.WebServer) -> None:
    here, there = open_page(ann, server, "module"), open_page(ann, server, "classic")

    entries = here.evaluate("ws.clipboard.flush().then(() => ws.clipboard.add({ n: 1 }))")

    assert [(entry["kind"], entry["data"]) for entry in entries] == [("data", {"n": 1})]
    for page in (here, there):
        page.wait_for_function("ws.clipboard.entries.length === 1")
        assert page.evaluate("ws.clipboard.entries") == entries
    assert there.evaluate("ws.clipboard.remove(ws.clipboard.entries[0].id)") == []


@FORMS
def test_a_command_that_nobody_waits_for_any_more_is_seen_all_the_same(
    ann: BrowserContext, server: harness.WebServer, form: str
) -> None:
    page = open_page(ann, server, form)
    page.evaluate("ws.clipboard.flush()")

    asked = "ws.channel('clipboard').request({ action: 'clipboard_add', data: 'late' }, { timeoutMs: 0 })"
    code = page.evaluate(f"{asked}.catch((error) => error.code)")

    assert code == "timeout"
    page.wait_for_function("ws.clipboard.entries.length === 1")
    assert page.evaluate("ws.clipboard.entries[0].data") == "late"


def test_a_view_follows_the_database_through_killed_workers(
    ann: BrowserContext, server: harness.WebServer, flights: Any
) -> None:
    flights.delete_many({})
    flights.insert_many([{"_id": "a", "gate": "1"}, {"_id": "b", "gate": "1"}, {"_id": "c", "gate": "2"}])
    page = open_page(ann, server, "module")
    page.evaluate(_FOLLOW)

    assert page.evaluate("view.ready.then(() => rows())") == ["a 1", "b 1"]
    flights.update_many({}, {"$set": {"gate": "1"}})
    page.wait_for_function("rows().join() === 'a 1,b 1,c 1'")
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    flights.update_one({"_id": "a"}, {"$set": {"gate": "2"}})
    flights.delete_one({"_id": "b"})

    page.wait_for_function("rows().join() === 'c 1'")
    page.wait_for_function("view.state === 'live'")
    assert page.evaluate("sizes.every((size) => size > 0)"), "the rows flashed"


def test_a_view_that_is_refused_fails(ann: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(ann, server, "module")

    assert page.evaluate("ws.documents('User').ready.catch(({ code }) => code)") == "not_found"


def test_killed_workers_are_survived(ann: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(ann, server, "module")
    page.evaluate("() => { window.states = []; ws.on('state', ({ state }) => states.push(state)); }")

    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)

    page.wait_for_function("states.includes('waiting') && ws.state === 'open'")
    assert page.evaluate("ws.channel('echo').request(1)") == {"you said": 1}


def test_a_server_that_restarts_says_goodbye(ann: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(ann, server, "module")
    page.evaluate("() => { window.codes = []; ws.on('state', ({ code }) => code && codes.push(code)); }")

    server.signal(signal.SIGHUP)

    page.wait_for_function("codes.length > 0 && ws.state === 'open'")
    assert page.evaluate("codes[0]") == 1012


def test_who_signs_out_is_closed_for_good(ann: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(ann, server, "module")
    page.evaluate("() => { window.ends = []; ws.on('closed', ({ code }) => ends.push(code)); }")

    ann.request.post(f"{server.base_url}/logout", headers={"Origin": server.base_url})

    page.wait_for_function("ends.length > 0")
    assert page.evaluate("[ws.state, ends]") == ["closed", [4501]]
    assert page.evaluate("ws.open()") is None
    page.wait_for_function("ends.length > 1")
    assert page.evaluate("[ws.state, ends]") == ["closed", [4501, 4501]]


def test_a_network_that_was_away_is_noticed_by_the_page(ann: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(ann, server, "module")

    harness.freeze(server.process.pid)
    workers = server.workers()
    try:
        for worker in workers:
            harness.freeze(worker)
        page.evaluate("window.dispatchEvent(new Event('online'))")
        page.wait_for_function("ws.state !== 'open'", timeout=8_000)
    finally:
        for pid in [*workers, server.process.pid]:
            harness.thaw(pid)

    page.wait_for_function("ws.state === 'open'")
