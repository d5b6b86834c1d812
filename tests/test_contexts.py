"""The application context of a hook: its own, whether anybody listens to its end or not."""

from __future__ import annotations

import contextvars

import flask
import gevent
import pytest
from flask import Flask, current_app, g

from wsflask.contexts import Contexts

WORD: contextvars.ContextVar[str] = contextvars.ContextVar("word")


@pytest.fixture(params=["unwatched", "watched"])
def app(request: pytest.FixtureRequest) -> Flask:
    made = Flask("app")
    if request.param == "watched":
        made.teardown_appcontext(lambda _: None)
    return made


def test_a_hook_has_the_application_and_gives_its_result(app: Flask) -> None:
    assert Contexts(app).run(lambda left, right: (current_app.name, left, right), 1, 2) == ("app", 1, 2)


def test_each_call_has_a_g_of_its_own(app: Flask) -> None:
    contexts = Contexts(app)

    def note(word: str) -> list[str]:
        before = sorted(g)
        g.setdefault(word, word)
        return [*before, g.get(word)]

    assert contexts.run(note, "one") == ["one"]
    assert contexts.run(note, "two") == ["two"]


def test_calls_that_wait_beside_one_another_keep_their_own_g(app: Flask) -> None:
    contexts = Contexts(app)

    def note(word: str) -> str:
        g.word = word
        gevent.sleep(0.001)
        return str(g.word)

    calls = [gevent.spawn(contexts.run, note, word) for word in "abc"]

    assert [call.get() for call in calls] == ["a", "b", "c"]


def test_context_variables_neither_come_in_nor_go_out(app: Flask) -> None:
    contexts = Contexts(app)
    WORD.set("outside")

    seen = contexts.run(lambda: (WORD.get("nothing"), WORD.set("inside"))[0])

    assert seen == "nothing"
    assert WORD.get() == "outside"


def test_an_exception_comes_out(app: Flask) -> None:
    with pytest.raises(ZeroDivisionError):
        Contexts(app).run(lambda: 1 / 0)


def test_nothing_is_left_behind(app: Flask) -> None:
    Contexts(app).run(lambda: None)

    assert not flask.has_app_context()


def test_a_request_context_inside_is_the_application_s(app: Flask) -> None:
    def visit() -> str:
        with app.test_request_context("/page"):
            g.word = "page"
            return flask.request.path + str(g.word)

    assert Contexts(app).run(visit) == "/pagepage"


def test_whoever_is_called_at_the_end_of_a_context_is_called() -> None:
    app = Flask("app")
    contexts = Contexts(app)
    ended: list[BaseException | None] = []
    app.teardown_appcontext(ended.append)

    contexts.run(lambda: None)
    with pytest.raises(ZeroDivisionError):
        contexts.run(lambda: 1 / 0)

    assert ended[0] is None
    assert isinstance(ended[1], ZeroDivisionError)


def test_whoever_listens_to_the_signals_hears_them() -> None:
    app = Flask("app")
    contexts = Contexts(app)
    heard: list[object] = []

    with flask.appcontext_pushed.connected_to(heard.append, app):
        contexts.run(lambda: None)

    assert heard == [app]
