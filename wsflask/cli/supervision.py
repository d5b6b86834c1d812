"""End in good order on a signal, or when the process that started this one is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ParentWatch", "Stopped", "stops_on_signals"]

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stopped(BaseException):
    """Somebody wants this process to end; raised wherever the main thread is."""


@contextmanager
def stops_on_signals() -> Iterator[None]:
    """Raise `Stopped` in the block at the first Ctrl-C, SIGTERM or SIGHUP; later ones do not disturb the clean-up."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ParentWatch:
    """Know whether the process that started this one is still there."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def check(self) -> None:
        """Raise `Stopped` when the parent has ended."""
        if os.getppid() != self._parent:
            raise Stopped("its parent has ended")
