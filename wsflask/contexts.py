"""The application context in which hooks run: one for each call."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from flask import Flask, appcontext_popped, appcontext_pushed, appcontext_tearing_down
from flask.ctx import AppContext

__all__ = ["Contexts"]

_globals: contextvars.ContextVar[Any] = contextvars.ContextVar("wsflask.g")


class _SharedContext(AppContext):
    """An application context that many calls share, in which each has a `g` of its own."""

    @property
    def g(self) -> Any:
        found = _globals.get(None)
        if found is None:
            found = self.app.app_ctx_globals_class()
            _globals.set(found)
        return found

    @g.setter
    def g(self, value: Any) -> None:
        """Ignore the one that AppContext's constructor makes."""


class Contexts:
    """Call functions in an application context of their own, with context variables of their own.

    To push and pop one for each message costs a tenth of handling it. Where nobody listens to its beginning and end,
    by `teardown_appcontext` or signals, a copy of contextvars in which one was pushed once is the same.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._template: contextvars.Context | None = None

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return `function(*args)`. Switches if the function does."""
        if (
            self._app.teardown_appcontext_funcs
            or appcontext_pushed.receivers
            or appcontext_tearing_down.receivers
            or appcontext_popped.receivers
        ):
            return contextvars.Context().run(self._run_watched, function, args)
        if self._template is None:  # Not before: the application is still being configured then.
            self._template = contextvars.Context()
            self._template.run(_SharedContext(self._app).push)
        return self._template.copy().run(function, *args)

    def _run_watched(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        with self._app.app_context():
            return function(*args)
