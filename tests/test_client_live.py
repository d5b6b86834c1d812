"""Live pages in a real browser: what `ws.live()` does to the elements that a server rendered."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route

from tests import harness

# The browser is shared by all tests here, and so are playwright's greenlets.
pytestmark = [pytest.mark.browser, pytest.mark.leaves_greenlets]

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"

TABLE = """
<table><thead><tr><th>Flight</th></tr></thead>
<tbody id="rows" data-wsflask-live="sealed" data-wsflask-seq="100" data-wsflask-view="v1">
  <tr data-wsflask-id='"a"'><td>A 1</td><td><input></td></tr>
  <tr data-wsflask-id='"b"'><td>B 1</td><td><input></td></tr>
  <tr data-wsflask-id='"c"'><td>C 1</td><td><input></td></tr>
</tbody></table>
"""
LIST = """
<ul id="rows" data-wsflask-live="sealed" data-wsflask-seq="100" data-wsflask-view="v1">
  <li class="head">Flights</li><li class="foot">That is all</li>
</ul>
"""

#: The server's part is played here, by the words that the tests of the client use too.
SCRIPT = """
import { collect, setUpOpen } from "/tests/js/harness.js";
import { subscribed, tell, tellAll } from "/tests/js/views.js";

const world = setUpOpen();
const container = document.getElementById("rows");
const told = [];
for (const event of ["change", "load"]) {
  document.addEventListener(`wsflask:${event}`, ({ target, detail: { op, id, element } }) => {
    told.push([event, target.id, op, id, element?.textContent]);
  });
}
const line = (text) => ` <tr class="line"><td>${text}</td><td><input></td></tr> `.replace(' class="line"', "");
Object.assign(window, { ...world, world, container, told, line, subscribed, tell, tellAll, collect });
Object.assign(window, {
  /** Attach, and be resumed with nothing missed. */
  attach() {
    window.views = world.ws.live();
    for (const view of views) world.server.answer(subscribed(0, { state: "resumed" }));
    return views.length;
  },
  /** Tell of a row and of its html, if it has any. */
  say: (op, id, html, rest) => tell(world.server, op, { _id: id, html }, "101", rest),
  shows: () => [...container.children].map((row) => row.textContent.trim()).join(", "),
  row: (id) => [...container.children].find(({ dataset }) => dataset.wsflaskId === JSON.stringify(id)),
});
"""


def serve(route: Route, html: str) -> None:
    """Answer with the page, its script, or a file of the project, under a policy as strict as it can be."""
    path = urlsplit(route.request.url).path
    if path in ("/", "/page.js"):
        body, kind = (html, "text/html") if path == "/" else (SCRIPT, "text/javascript")
    else:
        body, kind = (harness.ROOT / path[1:]).read_text(), mimetypes.guess_type(path)[0] or ""
    route.fulfill(body=body, content_type=kind, headers={"Content-Security-Policy": POLICY})


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Open a page of these elements, with a client that is connected."""
    context = browser.new_context()
    faults: list[str] = []

    def opened(elements: str) -> Page:
        html = f'<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>{elements}'
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.route("**/*", lambda route: serve(route, html))
        page.goto("http://ui.example/")
        page.wait_for_function("() => window.attach")
        return page

    yield opened
    context.close()
    assert faults == []


@pytest.fixture
def table(open_page: Callable[[str], Page]) -> Page:
    page = open_page(TABLE)
    assert page.evaluate("attach()") == 1
    return page


def play(page: Page, script: str) -> Any:
    """Do something and return what the container shows then."""
    return page.evaluate(f"() => {{ {script}; return shows(); }}")


def test_it_resumes_after_what_the_server_rendered(table: Page) -> None:
    asked = table.evaluate("server.sent[0].payload")

    data = {"live": "sealed", "start_seq": "100", "view": "v1", "rows": ["a", "b", "c"]}
    assert asked == {"action": "subscribe", "data": data}
    assert table.evaluate("container.dataset.wsflaskState") == "live"


def test_a_change_replaces_the_element_of_its_row_alone(table: Page) -> None:
    table.evaluate("() => { window.before = [...container.childNodes]; row('a').querySelector('input').focus(); }")

    assert play(table, "say('U', 'b', line('B 2'))") == "A 1, B 2, C 1"

    same = table.evaluate("[...container.childNodes].map((node, n) => node === before[n])")
    assert same == [True, True, True, False, True, True, True]
    assert table.evaluate("document.activeElement === row('a').querySelector('input')")


def test_a_row_that_looks_the_same_is_not_touched(table: Page) -> None:
    kept = table.evaluate(
        """() => {
          const b = row("b");
          b.querySelector("input").value = "typed";
          b.querySelector("input").focus();
          say("U", "b", line("B 1"));
          return [b === row("b"), document.activeElement.value];
        }"""
    )

    assert kept == [True, "typed"]


def test_a_row_that_is_told_again_keeps_what_the_page_added(table: Page) -> None:
    table.evaluate("() => { say('U', 'a', line('A 2')); row('a').classList.add('flash'); }")
    table.evaluate("() => { say('U', 'a', line('A 2')); tellAll(server, 'reset', { seq: '200', rows: 1 }); }")

    assert play(table, "say('L', 'a', line('A 2'))") == "A 2"
    assert table.evaluate("row('a').className") == "flash"


def test_rows_come_and_go(table: Page) -> None:
    assert play(table, "say('I', 'd', line('D 1'))") == "A 1, B 1, C 1, D 1"
    assert play(table, "say('D', 'b')") == "A 1, C 1, D 1"
    assert play(table, "say('R', 'a')") == "C 1, D 1"
    assert play(table, "say('I', 'a', line('A 2'))") == "C 1, D 1, A 2"
    assert play(table, "say('R', 'unknown')") == "C 1, D 1, A 2"


def test_rows_of_an_ordered_view_go_to_their_places(table: Page) -> None:
    assert play(table, "say('I', 'x', line('X'), { after: null })") == "X, A 1, B 1, C 1"
    assert play(table, "say('I', 'y', line('Y'), { after: 'b' })") == "X, A 1, B 1, Y, C 1"
    assert play(table, "say('U', 'c', line('C 2'), { after: 'x' })") == "X, C 2, A 1, B 1, Y"
    assert play(table, "say('U', 'x', line('X 2'), { after: 'y' })") == "C 2, A 1, B 1, Y, X 2"


def test_a_row_that_stays_or_only_moves_keeps_its_focus(table: Page) -> None:
    table.evaluate("row('b').querySelector('input').focus()")

    assert play(table, "say('U', 'b', line('B 1'), { after: 'a' })") == "A 1, B 1, C 1"
    assert table.evaluate("document.activeElement === row('b').querySelector('input')")
    assert play(table, "say('U', 'b', line('B 1'), { after: null })") == "B 1, A 1, C 1"
    if table.evaluate("'moveBefore' in Element.prototype"):
        assert table.evaluate("document.activeElement === row('b').querySelector('input')")


def test_a_reset_replaces_all_rows_at_once(table: Page) -> None:
    table.evaluate("() => { window.b = row('b'); tellAll(server, 'reset', { seq: '200', rows: 3 }); }")

    assert play(table, "say('L', 'd', line('D 1')); say('L', 'b', line('B 1'))") == "A 1, B 1, C 1"
    assert play(table, "say('L', 'a', line('A 2'))") == "D 1, B 1, A 2"
    assert table.evaluate("b === row('b')")


def test_what_was_missed_while_the_connection_was_lost_is_put_right(table: Page) -> None:
    table.evaluate("() => { say('U', 'a', line('A 2')); server.end(); }")
    assert table.evaluate("container.dataset.wsflaskState") == "stale"

    table.evaluate("() => { world.comeBack(); world.server.welcome(); }")
    assert table.evaluate("world.server.sent[0].payload.data") == {
        "live": "sealed",
        "start_seq": "101",
        "view": "v1",
        "rows": ["a", "b", "c"],
    }
    answer = "world.server.answer(subscribed(2, { state: 'resumed' })); say('R', 'b'); say('U', 'c', line('C 2'))"
    assert play(table, answer) == "A 2, C 2"


def test_a_page_that_is_too_old_is_loaded_anew(open_page: Callable[[str], Page]) -> None:
    page = open_page(TABLE)
    page.evaluate("() => { ws.live(); server.answer(subscribed(1, { state: 'reset' })); }")

    assert play(page, "say('L', 'z', line('Z'))") == "Z"


def test_what_may_not_be_read_any_more_is_taken_out_of_the_page(table: Page) -> None:
    assert play(table, "tellAll(server, 'end', { code: 'not_found' })") == ""
    assert table.evaluate("[container.dataset.wsflaskState, views[0].error.code]") == ["failed", "not_found"]


def test_other_children_than_rows_stay_where_they_are(open_page: Callable[[str], Page]) -> None:
    page = open_page(LIST)
    page.evaluate("attach()")

    assert play(page, "say('I', 'a', '<li>A</li>', { after: null })") == "Flights, That is all, A"
    assert play(page, "say('I', 'b', '<li>B</li>', { after: null })") == "Flights, That is all, B, A"
    assert play(page, "say('R', 'a'); say('R', 'b')") == "Flights, That is all"


def test_keys_may_be_anything(open_page: Callable[[str], Page]) -> None:
    page = open_page(
        """<ul id="rows" data-wsflask-live="sealed"><li data-wsflask-id='{"n": 1}'>1</li><li data-wsflask-id="7">7</li>
        <li data-wsflask-id='"__proto__"'>p</li></ul>"""
    )
    page.evaluate("attach()")
    page.evaluate("() => { server.answer(subscribed(3)); for (const id of [{n: 1}, 7, '__proto__']) say('L', id); }")

    assert play(page, "say('U', { n: 1 }, '<li>one</li>'); say('D', 7)") == "one, p"
    assert play(page, "say('U', '__proto__', '<li>P</li>')") == "one, P"


def test_events_tell_the_page_what_changed(table: Page) -> None:
    table.evaluate("told.length = 0")

    play(table, "say('U', 'a', line('A 2')); say('D', 'b'); say('I', 'd', line('D'))")
    play(table, "tellAll(server, 'reset', { seq: '200', rows: 0 })")

    assert table.evaluate("told") == [
        ["change", "rows", "U", "a", "A 2"],
        ["change", "rows", "D", "b", "B 1"],
        ["change", "rows", "I", "d", "D"],
        ["load", "rows", None, None, None],
    ]


def test_scripts_in_a_row_do_not_run(table: Page) -> None:
    html = "<tr><td>&lt;b&gt;<img src=x onerror='window.ran = 1'><script>window.ran = 2</script></td></tr>"

    table.evaluate("(html) => say('U', 'a', html)", html)

    assert table.evaluate("[row('a').textContent, window.ran]") == ["<b>window.ran = 2", None]


def test_a_template_that_renders_nothing_shows_no_row(table: Page) -> None:
    assert play(table, "say('U', 'a', '  ')") == "B 1, C 1"
    assert play(table, "say('U', 'a', line('A 3'))") == "B 1, C 1, A 3"


def test_a_row_whose_template_failed_is_left_as_it_is(table: Page) -> None:
    assert play(table, "say('U', 'a', null); say('I', 'd', null); say('U', 'b', line('B 2'))") == "A 1, B 2, C 1"


def test_attaching_twice_is_attaching_once(table: Page) -> None:
    same = table.evaluate("[ws.live()[0] === views[0], ws.live(container)[0] === views[0], server.sent.length]")

    assert same == [True, True, 1]


def test_a_view_that_is_closed_leaves_the_page_as_it_is(table: Page) -> None:
    table.evaluate("views[0].close()")

    assert play(table, "say('U', 'a', line('A 2'))") == "A 1, B 1, C 1"
    assert table.evaluate("container.dataset.wsflaskState") == "closed"
    assert table.evaluate("[ws.live()[0] === views[0], server.sent.at(-1).payload.action]") == [False, "subscribe"]


def test_the_same_view_in_two_places_is_one_for_the_server(open_page: Callable[[str], Page]) -> None:
    again = TABLE.replace('id="rows"', 'id="again"').replace('data-wsflask-seq="100"', 'data-wsflask-seq="105"')
    page = open_page(TABLE + again)
    page.evaluate("() => { window.views = ws.live(); window.asked = [...server.sent]; }")

    # Row c is deleted before the client connects: each request is answered with that.
    page.evaluate(
        """() => asked.forEach((to) => {
          server.answer(subscribed(1, { state: "resumed" }), { to });
          say("R", "c");
        })"""
    )
    play(page, "say('U', 'a', line('A 2'))")

    both = "[...document.querySelectorAll('tbody')].map(({ children }) => [...children].map((row) => row.textContent))"
    assert page.evaluate(both) == [["A 2", "B 1"], ["A 2", "B 1"]]
    assert page.evaluate("views.map((view) => [view.state, view.rows.size])") == [["live", 2], ["live", 2]]
