"""Functions that are given as options: what they want to be called with, and what is said when they fail."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError

__all__ = ["Complaints", "count_parameters"]

_log = logging.getLogger(__name__)

#: Seconds between two lines about the same fault: a predicate may fail for each document of each user.
_PAUSE = 10.0

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def count_parameters(function: Callable[..., Any], option: str, *, most: int = 1) -> int:
    """Return how many positional arguments the function wants: 1, for the user, or more up to `most`.

    Args:
        option: how a sentence begins, such as `expose(Order): read`.

    Raises:
        ConfigError: it wants another number, or it cannot be told.
    """
    wanted = "(user)" if most == 1 else "(user) or (user, document)"
    advice = f"give it the parameters {wanted}"
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - its own, to look at
        raise ConfigError(f"{option} is a coroutine function; write it with def instead of async def")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ConfigError(f"{option} does not say what it is called with; wrap it in a lambda: {wanted}") from None
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        raise ConfigError(f"{option} takes any number of arguments; {advice}, or decorate it with functools.wraps")
    required = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty]
    if any(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in required):
        raise ConfigError(f"{option} needs a keyword argument, which it never gets; {advice}")
    count = sum(parameter.kind in _POSITIONAL for parameter in required)
    if not 1 <= count <= most:
        raise ConfigError(f"{option} wants {count} arguments; {advice}")
    return count


class Complaints:
    """The log's lines about an application's functions, at most one for each fault in some seconds."""

    def __init__(self) -> None:
        self._latest: dict[str, float] = {}

    def error(self, sentence: str, *args: Any, error: Exception) -> None:
        """Log what an application's function raised."""
        if self._is_time(sentence):
            _log.error(sentence, *args, exc_info=error)

    def warning(self, sentence: str, *args: Any) -> None:
        """Log a fault."""
        if self._is_time(sentence):
            _log.warning(sentence, *args)

    def _is_time(self, sentence: str) -> bool:
        now = time.monotonic()
        if now - self._latest.get(sentence, -_PAUSE) < _PAUSE:
            return False
        self._latest[sentence] = now
        return True
