"""The JavaScript client in a real browser, against a real server: both its forms."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests import harness
from wsflask.embedded import EmbeddedMongo

# The browser and the server are shared by all tests here, and so are playwright's greenlets.
pytestmark = [pytest.mark.browser, pytest.mark.leaves_greenlets]

FORMS = pytest.mark.parametrize("form", ["module", "classic"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = harness.require_program("chromium", "chromium-browser", "google-chrome")
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def server(mongo: EmbeddedMongo) -> Iterator[harness.WebServer]:
    env = {"WSFLASK_MONGODB_URI": mongo.uri_of("javascript_client")}
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

    os.kill(server.process.pid, signal.SIGSTOP)
    workers = server.workers()
    try:
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        page.evaluate("window.dispatchEvent(new Event('online'))")
        page.wait_for_function("ws.state !== 'open'", timeout=8_000)
    finally:
        for pid in [*workers, server.process.pid]:
            os.kill(pid, signal.SIGCONT)

    page.wait_for_function("ws.state === 'open'")
