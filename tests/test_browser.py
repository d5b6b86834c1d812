"""The demo in a real browser: two windows are two users, gunicorn has two workers, the database is real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute

from tests import harness
from wsflask.demo import seed

pytestmark = [pytest.mark.browser, pytest.mark.leaves_greenlets]

#: Longest time until a person sees what happened, in milliseconds.
SOON = 10_000


@pytest.fixture
def desk(database: harness.Database, servers: harness.Servers) -> harness.WebServer:
    """The demo with its replay halted: only the tests move the board."""
    seed()
    database.client[database.name].demo_clock.update_many({}, {"$set": {"speed": 0}})
    env = {"WSFLASK_MONGODB_URI": database.uri, "SECRET_KEY": "k" * 32, "WSFLASK_DEMO_SPEED": "0"}
    return servers.gunicorn("wsgi:app", workers=2, env=env)


@pytest.fixture
def window(browser: Browser, desk: harness.WebServer) -> Iterator[Callable[[str], Page]]:
    """Open a window of its own (cookies too) for a user, on the live board."""
    contexts = []

    def open_window(username: str) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{desk.base_url}/login")
        page.fill("#username", username)
        page.fill("#password", username)
        page.click(".login-card button[type=submit]")
        live(page)
        return page

    yield open_window
    for context in contexts:
        context.close()


def live(page: Page) -> None:
    page.wait_for_selector("#connection[data-state=open]", timeout=SOON)
    page.wait_for_selector("#board[aria-busy=false] #rows tr", timeout=SOON)


def tab(page: Page) -> Page:
    """Open a second tab of the same user."""
    second = page.context.new_page()
    second.goto(page.url)
    live(second)
    return second


def shows(page: Page, selector: str, text: str, timeout: float = SOON) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent.trim() === text",
        arg=[selector, text],
        timeout=timeout,
    )


def notify(database: harness.Database, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "wsflask", "notify", "--mongodb-uri", database.uri, *arguments],
        check=True,
        capture_output=True,
        cwd=harness.ROOT,
        timeout=30,
    )


def test_a_change_by_another_program_moves_the_board_of_those_who_may_see_it(
    window: Callable[[str], Page], database: harness.Database
) -> None:
    supervisor, united = window("supervisor"), window("united")
    flights = database.client[database.name].demo_flights
    supervisor_id = supervisor.locator("#rows tr").first.get_attribute("data-id")
    united_id = united.locator("#rows tr").first.get_attribute("data-id")

    flights.update_many({"_id": {"$in": [supervisor_id, united_id]}}, {"$set": {"gate": "Z99"}})

    shows(supervisor, f"tr[data-id='{supervisor_id}'] .gate", "Z99")
    shows(united, f"tr[data-id='{united_id}'] .gate", "Z99")
    carriers = united.locator("#rows .flight a").all_text_contents()
    assert {text.split()[0] for text in carriers} == {"UA"}


def test_a_notification_from_another_process_appears_in_both_tabs_of_its_user_alone(
    window: Callable[[str], Page], database: harness.Database
) -> None:
    united, jetblue = window("united"), window("jetblue")
    second = tab(united)
    started = time.monotonic()

    notify(database, "--to", "user:united", "Gate change at Newark")
    written = time.monotonic()
    for page in (united, second):
        shows(page, "#bell-count", "1", timeout=SOON)

    assert time.monotonic() - written < 1.0, f"the command itself took {written - started:.2f} s"
    assert jetblue.locator("#bell-count").is_hidden()


def test_reading_in_one_tab_clears_the_bell_of_the_other(
    window: Callable[[str], Page], database: harness.Database
) -> None:
    united = window("united")
    second = tab(united)
    notify(database, "--to", "user:united", "One")
    shows(second, "#bell-count", "1")

    united.click("#bell")
    united.wait_for_selector("#bell-list li.unread")
    united.click("#bell-all")

    second.wait_for_selector("#bell-count", state="hidden", timeout=SOON)
    united.wait_for_selector("#bell-list li:not(.unread)")


def test_the_clipboard_follows_the_user_to_the_other_tab_and_flags_what_is_gone(
    window: Callable[[str], Page], database: harness.Database
) -> None:
    united = window("united")
    second = tab(united)
    flight_id = united.locator("#rows tr").first.get_attribute("data-id")

    united.click(f"tr[data-id='{flight_id}'] button[data-clip]")
    second.click("#clipboard")
    second.wait_for_selector("#clipboard-list li[data-kind=flight]", timeout=SOON)
    database.client[database.name].demo_flights.delete_one({"_id": flight_id})

    second.wait_for_selector("#clipboard-list li[data-kind=missing]", timeout=SOON)
    united.wait_for_selector(f"tr[data-id='{flight_id}']", state="detached", timeout=SOON)


@pytest.mark.slow
def test_a_killed_worker_is_survived_and_the_board_shows_the_truth(
    window: Callable[[str], Page], desk: harness.WebServer, database: harness.Database
) -> None:
    page = window("supervisor")
    flights = database.client[database.name].demo_flights
    flight_id = page.locator("#rows tr").first.get_attribute("data-id")

    for number, worker in enumerate(desk.workers()):
        os.kill(worker, signal.SIGKILL)
        flights.update_one({"_id": flight_id}, {"$set": {"gate": f"Q{number}"}})
        shows(page, f"tr[data-id='{flight_id}'] .gate", f"Q{number}", timeout=2 * SOON)

    live(page)


def test_signing_out_in_one_tab_is_seen_in_the_other_at_once(window: Callable[[str], Page]) -> None:
    united = window("united")
    second = tab(united)

    united.click("[popovertarget=user-panel]")
    united.click("#user-panel button[type=submit]")
    second.wait_for_selector("#connection[data-state=signed-out]", timeout=SOON)

    assert second.locator("#banner").is_visible()
    assert united.url.endswith("/login")


@pytest.mark.slow
def test_a_lost_server_is_shown_and_its_return_too(
    window: Callable[[str], Page], desk: harness.WebServer, servers: harness.Servers, database: harness.Database
) -> None:
    page = window("supervisor")
    env = {"WSFLASK_MONGODB_URI": database.uri, "SECRET_KEY": "k" * 32, "WSFLASK_DEMO_SPEED": "0"}

    desk.stop()
    page.wait_for_selector("#connection[data-state=waiting]", timeout=SOON)
    servers.gunicorn("wsgi:app", workers=2, env=env, port=desk.port)

    page.wait_for_selector("#connection[data-state=open]", timeout=4 * SOON)


def test_a_server_without_its_database_is_shown_and_its_return_too(window: Callable[[str], Page]) -> None:
    page = window("supervisor")
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/*", pass_on)
    page.reload()
    live(page)
    sockets[-1].send('{"channel": "health", "payload": {"degraded": true}}')
    page.wait_for_selector("#connection[data-state=degraded]", timeout=SOON)
    assert "The database is away" in page.locator("#banner").inner_text()
    sockets[-1].send('{"channel": "health", "payload": {"degraded": false}}')
    page.wait_for_selector("#connection[data-state=open]", timeout=SOON)

    assert page.locator("#banner").count() == 0


def test_the_filter_changes_what_is_live(window: Callable[[str], Page], database: harness.Database) -> None:
    page = window("supervisor")

    page.select_option("#origin", "JFK")
    page.wait_for_function(
        "[...document.querySelectorAll('#rows .from')].every((cell) => cell.textContent.trim() === 'JFK')", timeout=SOON
    )
    live(page)
    flight_id = page.locator("#rows tr").first.get_attribute("data-id")
    database.client[database.name].demo_flights.update_one({"_id": flight_id}, {"$set": {"origin": "LGA"}})

    page.wait_for_selector(f"tr[data-id='{flight_id}']", state="detached", timeout=SOON)


def test_the_pages_have_no_errors(window: Callable[[str], Page]) -> None:
    page = window("united")
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.reload()
    live(page)
    page.click("#rows .flight a >> nth=0")
    page.wait_for_selector("#connection[data-state=open]", timeout=SOON)

    assert problems == []
