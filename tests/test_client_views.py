"""Views of documents in a real browser, against a real server: windows, one's own writes, live pages."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from playwright.sync_api import Browser, BrowserContext, Page
from pymongo import MongoClient

from tests import harness
from wsflask.embedded import EmbeddedMongo

# The browser and the server are shared by all tests here, and so are playwright's greenlets.
pytestmark = [pytest.mark.browser, pytest.mark.leaves_greenlets]

DATABASE = "javascript_views"
#: Keys by the letter in which they end.
IDS = {letter: ObjectId(letter.zfill(24)) for letter in "abcdef"}


@pytest.fixture(scope="module")
def server(mongo: EmbeddedMongo) -> Iterator[harness.WebServer]:
    env = {"WSFLASK_MONGODB_URI": mongo.uri_of(DATABASE)}
    with harness.Servers() as servers:
        yield servers.gunicorn("tests.apps.client:app", workers=2, env=env)


@pytest.fixture
def flights(mongo: EmbeddedMongo) -> Iterator[Any]:
    """The collection of flights, as another program sees it: a to f at gates 10 to 15."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo.uri_of(DATABASE)) as client:
        found: Any = client[DATABASE].flights
        found.delete_many({})
        found.insert_many(
            [{"_id": key, "flight": letter.upper(), "gate": str(10 + n)} for n, (letter, key) in enumerate(IDS.items())]
        )
        yield found


@pytest.fixture
def context(browser: Browser, server: harness.WebServer, flights: Any) -> Iterator[BrowserContext]:
    """A browser in which ann is signed in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server.base_url}/login")
    page.fill("[name=username]", "ann")
    page.press("[name=username]", "Enter")
    page.wait_for_url(f"{server.base_url}/")
    page.close()
    yield context
    context.close()


def open_page(context: BrowserContext, server: harness.WebServer, name: str = "module") -> Page:
    page = context.new_page()
    page.goto(f"{server.base_url}/{name}")
    page.wait_for_function("window.ws?.state === 'open'")
    return page


def wait_for_rows(page: Page, rows: str) -> None:
    page.wait_for_function("(rows) => view.list.map(({ _id, gate }) => _id.at(-1) + gate).join(' ') === rows", arg=rows)


def first(flights: Any, limit: int = 3) -> str:
    """Return what a window has to show."""
    return " ".join(
        str(one["_id"])[-1] + one["gate"] for one in flights.find().sort([("gate", 1), ("_id", 1)]).limit(limit)
    )


def test_a_window_shows_the_first_rows_in_order_whatever_moves(
    context: BrowserContext, server: harness.WebServer, flights: Any
) -> None:
    page = open_page(context, server)
    page.evaluate("() => { window.view = ws.documents('Flight', { fields: ['gate'], orderBy: 'gate', limit: 3 }); }")
    wait_for_rows(page, "a10 b11 c12")
    moves = random.Random(4)

    for round_ in range(20):
        for _ in range(5):
            key, gate = moves.choice([*IDS.values()]), str(moves.randint(10, 40))
            if moves.random() < 0.2:
                flights.delete_one({"_id": key})
            else:
                flights.update_one({"_id": key}, {"$set": {"gate": gate}}, upsert=True)
        if round_ % 10 == 5:
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
        wait_for_rows(page, first(flights))

    assert page.evaluate("[view.orderBy, view.limit]") == [["gate"], 3]


def test_what_a_page_wrote_is_shown_once_it_has_caught_up(context: BrowserContext, server: harness.WebServer) -> None:
    page = open_page(context, server)

    stale = page.evaluate(
        """async () => {
          const id = "a".padStart(24, "0");
          const views = [ws.documents("Flight"), ws.documents("Flight", { scope: { flight: "A" }, fields: ["gate"] })];
          await Promise.all(views.map(({ ready }) => ready));
          const stale = [];
          for (let n = 100; n < 150; n += 1) {
            const response = await fetch(`/gates/${id}`, { method: "POST", body: String(n) });
            if (!response.headers.has("WSFlask-Position")) throw new Error("no position");
            await ws.caughtUp(response);
            for (const { rows } of views) if (rows.get(id).gate !== String(n)) stale.push([n, rows.get(id).gate]);
          }
          return stale;
        }"""
    )

    assert stale == []


def test_the_changes_of_a_view_are_iterated(context: BrowserContext, server: harness.WebServer, flights: Any) -> None:
    page = open_page(context, server)
    page.evaluate(
        """async () => {
          window.found = [];
          window.view = ws.documents("Flight", { scope: { gate: { in: ["10", "20"] } }, fields: ["gate"] });
          await view.ready;
          (async () => {
            for await (const { op, id, row, previous } of view) found.push([op, id.at(-1), row?.gate, previous?.gate]);
            found.push("over");
          })();
        }"""
    )

    for count, (flight, gate) in enumerate([("a", "20"), ("b", "20"), ("a", "30")], 1):
        flights.update_one({"_id": IDS[flight]}, {"$set": {"gate": gate}})
        # A change that comes late shows the document as it is by then: two of one document may show as one.
        page.wait_for_function(f"found.length === {count}")
    page.evaluate("view.close()")

    page.wait_for_function("found.length === 4")
    assert page.evaluate("JSON.stringify(found)") == (
        '[["U","a","20","10"],["I","b","20",null],["R","a",null,"20"],"over"]'
    )


def test_a_live_page_goes_on_from_what_the_server_rendered(
    context: BrowserContext, server: harness.WebServer, flights: Any
) -> None:
    page = open_page(context, server, "live")
    shown = "[...document.querySelectorAll('tbody tr')].map(({ textContent }) => textContent).join(' ')"
    assert page.evaluate(shown) == "A10 B11 C12"
    page.wait_for_function("views[0].state === 'live'")
    page.evaluate("() => { window.a = document.querySelector('tbody tr'); window.loads = 0; }")
    page.evaluate("document.addEventListener('wsflask:load', () => { loads += 1; })")

    flights.update_one({"_id": IDS["f"]}, {"$set": {"gate": "105"}})
    page.wait_for_function(f"{shown} === 'A10 F105 B11'")
    flights.update_one({"_id": IDS["f"]}, {"$set": {"flight": "<b>F</b>"}})
    page.wait_for_function(f"{shown} === 'A10 <b>F</b>105 B11'")
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    flights.delete_one({"_id": IDS["b"]})

    page.wait_for_function(f"{shown} === 'A10 <b>F</b>105 C12'")
    assert page.evaluate("[a === document.querySelector('tbody tr'), loads]") == [True, 0]
