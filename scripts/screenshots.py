"""Take the pictures of the demo that the documentation shows.

    python scripts/screenshots.py [--url http://127.0.0.1:8101] [--to docs/images]

The demo has to run there, freshly seeded; it signs in as the supervisor, empties that user's clipboard and fills it
with two flights and a note. Needs playwright and Chromium (on Debian the package chromium).
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, WebSocketRoute, sync_playwright

SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
SCHEMES = ("light", "dark")


def main() -> None:
    """Take every picture at each size, light and dark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8101")
    parser.add_argument("--to", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for size, options_of_size in SIZES.items():
            for scheme in SCHEMES:
                kind = {**options_of_size, "color_scheme": scheme}
                Shots(browser, options.url, options.to, f"{size}-{scheme}", kind).take_all()
        browser.close()


class Shots:
    """The pictures of one size and colour scheme."""

    def __init__(self, browser: Browser, url: str, folder: Path, suffix: str, options: dict[str, Any]) -> None:
        self._browser = browser
        self._url = url.rstrip("/")
        self._folder = folder
        self._suffix = suffix
        self._options = {**options, "reduced_motion": "reduce"}
        self._websockets: list[WebSocketRoute] = []
        self._is_cut = False

    def take_all(self) -> None:
        """Take them."""
        with self._page() as page:
            page.goto(f"{self._url}/login")
            self._save(page, "login")
            page.get_by_role("button", name="supervisor").click()
            self._wait_for_rows(page)
            page.locator("#carrier").select_option("B6")
            self._wait_for_rows(page)
            self._save(page, "board")
            with self._colleague():
                page.wait_for_selector("#here", state="visible")
                self._save(page, "presence")
            self._take_panels(page)
            self._take_flight(page)
            page.goto(self._url)
            self._wait_for_rows(page)
            self._websockets[-1].send('{"channel": "health", "payload": {"degraded": true}}')
            page.wait_for_selector("#connection[data-state=degraded]")
            self._save(page, "degraded")
            self._cut(page)
            self._save(page, "disconnected")

    @contextmanager
    def _colleague(self) -> Iterator[None]:
        """Have somebody else look at the board."""
        context = self._browser.new_context()
        page = context.new_page()
        page.goto(f"{self._url}/login")
        page.get_by_role("button", name="united").click()
        page.wait_for_selector("#connection[data-state=open]")
        yield
        context.close()

    def _take_flight(self, page: Page) -> None:
        page.locator("#rows [data-status=delayed] .flight a").last.click()
        for field, text in (("remark", "Waiting for the crew"), ("crew-remark", "Captain on duty limit from 21:30.")):
            page.locator(f"#{field}").fill(text)
            page.locator(f"#{field}").press("Enter")
            page.wait_for_selector(".flash")
        page.reload()
        page.wait_for_selector("#connection[data-state=open]")
        page.wait_for_timeout(500)
        self._save(page, "flight")

    def _take_panels(self, page: Page) -> None:
        page.locator("#bell").click()
        page.wait_for_selector("#bell-list li, #bell-empty:not([hidden])")
        page.wait_for_timeout(600)
        self._save(page, "bell")
        page.keyboard.press("Escape")
        page.locator("#clipboard").click()
        if page.locator("#clipboard-flush").is_visible():
            page.locator("#clipboard-flush").click()
            page.wait_for_selector("#clipboard-empty", state="visible")
        page.locator("#clipboard").click()
        for index in (3, 5):
            page.locator("#rows .act button").nth(index).click()
            page.wait_for_timeout(300)
        page.locator("#clipboard").click()
        page.locator("#clipboard-text").fill("Wheelchair for seat 12A, gate agent told")
        page.locator("#clipboard-form button").click()
        page.wait_for_timeout(600)
        self._save(page, "clipboard")
        page.locator("#clipboard").click()

    def _cut(self, page: Page) -> None:
        """Cut the connection, and every one that the page opens after it."""
        self._is_cut = True
        for websocket in self._websockets:
            websocket.close(code=1001)
        page.wait_for_selector("#connection[data-state=waiting]")
        page.wait_for_timeout(200)

    def _opened(self, websocket: WebSocketRoute) -> None:
        if self._is_cut:
            websocket.close(code=1001)
        else:
            websocket.connect_to_server()
            self._websockets.append(websocket)

    def _wait_for_rows(self, page: Page) -> None:
        page.wait_for_selector("#connection[data-state=open]")
        page.wait_for_selector("#board[aria-busy=false]")
        page.wait_for_selector("#rows .act button")
        page.wait_for_timeout(500)

    def _save(self, page: Page, name: str) -> None:
        page.evaluate("document.getElementById('toasts').replaceChildren()")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            print(f"{name}-{self._suffix}: {wide} pixels too wide")
        page.screenshot(path=self._folder / f"{name}-{self._suffix}.png")

    @contextmanager
    def _page(self) -> Iterator[Page]:
        context = self._browser.new_context(**self._options)
        page = context.new_page()
        page.on("pageerror", _say)
        page.route_web_socket("**/*", self._opened)
        yield page
        context.close()


def _say(error: Error) -> None:
    print(f"the page failed: {error}")


if __name__ == "__main__":
    main()
