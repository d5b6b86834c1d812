"""The contract between a connection and the socket under it, parked or with a greenlet of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from ..tasks import spawn

__all__ = ["Link", "Owner"]


class Owner(Protocol):
    """Who is told what happens on a socket; none of these may block."""

    def bytes_arrived(self, data: bytes) -> None:
        """Take bytes of the peer, in order."""

    def may_write(self) -> None:
        """Write what waits; called after `Link.call_when_writable`."""

    def peer_gone(self) -> None:
        """Note that nothing more arrives: end of file or an error. Called once at most."""


class Link(ABC):
    """One client's socket. Its owner alone writes on it."""

    __slots__ = ("owner",)

    owner: Owner
    #: Whether the owner is called from several threads at once and has to guard its state.
    is_threaded: bool = False
    #: Of the non-blocking socket that others may write whole frames on; -1 where they may not.
    descriptor: int = -1

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Return how many bytes the kernel took at once; 0 when it takes none now. Never blocks.

        Raises:
            OSError: the peer is gone.
        """

    @abstractmethod
    def call_when_writable(self) -> None:
        """Have `owner.may_write` called once the socket takes bytes again."""

    @abstractmethod
    def pause(self) -> None:
        """Stop reading: the peer's bytes wait in its kernel and ours."""

    @abstractmethod
    def resume(self) -> None:
        """Read on."""

    @abstractmethod
    def run(self, work: Callable[[], None]) -> None:
        """Run work that may block, beside the event loop, on behalf of this socket."""

    def beside(self, work: Callable[[], None]) -> None:
        """Do work beside the caller, whoever that is; it may block."""
        spawn("wsflask work", work)

    @abstractmethod
    def end_writing(self) -> None:
        """Tell the peer's kernel that nothing more comes, and keep reading."""

    @abstractmethod
    def close(self) -> None:
        """Shut the socket down both ways and free it. May be called twice."""
