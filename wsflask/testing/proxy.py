"""A TCP proxy that misbehaves as it is told, in a process of its own: the same seed, the same mischief."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from ..embedded import free_port
from .talking import TalkingChild

__all__ = ["Faults", "Passed", "Proxy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What a proxy does to the connections through it; as given, nothing."""

    #: Seconds that bytes wait: a number between these two for each chunk.
    delay: tuple[float, float] = (0.0, 0.0)
    #: Seconds after which a connection is cut, within whatever is on its way then; None: never.
    cut_after: float | None = None
    #: Share of the cuts that are a reset (RST), without regard for what is on its way.
    resets: float = 0.0
    #: Largest number of bytes that are handed on at once; None: as they come.
    chunk: int | None = None
    #: Bytes a second that are handed on to a client; 0: none at all; None: as many as there are.
    rate: float | None = None
    #: Whether nothing passes in either direction, and nothing ends.
    is_frozen: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """What a proxy has counted."""

    connections: int
    open: int
    cuts: int
    resets: int
    #: Cuts that went through what was just on its way.
    midway: int
    bytes: int


class Proxy:
    """A proxy on a free port of 127.0.0.1, or the one given, in front of another port. A context manager.

    Args:
        seed: of what is drawn: where connections are cut, and how.
        receive_buffer: bytes that the kernel may hold for a client that reads slowly; None: as many as it likes.
    """

    def __init__(
        self, target: int, *, port: int | None = None, seed: int = 0, receive_buffer: int | None = None
    ) -> None:
        self.port = port or free_port()
        command = [sys.executable, "-m", "wsflask.testing.relays", str(self.port), str(target), str(seed)]
        self._child = TalkingChild([*command, str(receive_buffer or 0)])
        self._child.ask(do="count")

    def set(self, faults: Faults) -> None:
        """Treat all connections like this from now on; lives count from now, too."""
        self._child.ask(do="set", faults=asdict(faults))

    def cut(self, *, share: float = 1.0) -> int:
        """Cut connections now, all of them or a share; return how many."""
        return int(self._child.ask(do="cut", share=share)["cut"])

    def count(self) -> Passed:
        """Return what has passed."""
        return Passed(**self._child.ask(do="count"))

    def point(self, target: int) -> None:
        """Lead new connections to another port."""
        self._child.ask(do="point", target=target)

    def stop(self) -> None:
        """End the proxy; its connections end with it."""
        self._child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
