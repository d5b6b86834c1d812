"""What a store of presence promises: the entries of all workers, each under the lease of its worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...errors import WSFlaskError

__all__ = ["BEAT", "Entry", "Follower", "Key", "Left", "Missed", "PresenceStore", "StoreUnavailable", "Stored"]

#: Seconds between two renewals of a lease.
BEAT = 2.0

#: Room, user id and tab. Neither room nor tab holds a line break; the user's id may hold anything.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A tab that is in a room."""

    key: Key
    #: The lease that it stands under.
    process: str
    #: JSON texts: what others are shown of the user, and of the tab.
    about: str
    meta: str


@dataclass(frozen=True, slots=True)
class Left:
    """The entry is there no more."""

    key: Key


@dataclass(frozen=True, slots=True)
class Missed:
    """Something may have been missed: load again. What follows is whole again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that a store has."""

    entries: list[Entry]
    #: Whether it may have lost what it had since it was loaded last. Each worker writes its own entries again: who is
    #: missing may be here all the same.
    is_anew: bool = False


class StoreUnavailable(WSFlaskError):
    """The store could not be reached, or did not answer in time; what was asked of it may have happened or not."""


class Follower(Protocol):
    """What happens to the entries, from the moment it was made; take it from one greenlet."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing will come any more."""

    @property
    def is_behind(self) -> bool:
        """Whether more waits to be taken."""

    def take(self, most: int, timeout: float) -> list[Entry | Left | Missed]:
        """Return about `most` items in the order of the store; none if none came within `timeout` seconds. May switch.

        It raises nothing where the store is away: then none come, and `Missed` if any may have.
        """

    def close(self) -> None:
        """End it, also a take that waits. May be called twice."""


class PresenceStore(ABC):
    """The entries that all workers share.

    Every method but `is_mine` may switch, takes a few seconds at most, and raises StoreUnavailable, nothing else of its
    database. Entries are idempotent: a write whose outcome is unknown is repeated.
    """

    #: Whether a follower is told of what this worker writes too.
    tells_own = True

    def __init__(self) -> None:
        #: Name of this worker's lease; "" before the first `renew`.
        self.lease = ""
        self._leases: set[str] = set()

    def is_mine(self, process: str | None) -> bool:
        """Return whether this is a lease that this worker has or had."""
        return process in self._leases

    @abstractmethod
    def follow(self) -> Follower:
        """Follow the entries of all workers, this one's too; what is written after it returns is not missed."""

    @abstractmethod
    def load(self) -> Stored:
        """Return every entry."""

    @abstractmethod
    def write(self, taken: Sequence[Entry], kept: Sequence[Entry], gone: Sequence[Key]) -> None:
        """Write in one go; a key is named once.

        Args:
            taken: put, whoever had them.
            kept: put, but where another worker has one by now that stays.
            gone: removed, but where another worker has one by now.
        """

    @abstractmethod
    def renew(self) -> bool:
        """Show that this worker lives, to be called every `BEAT` seconds.

        False: there was no lease, or it was over and its entries were removed; `lease` is a new one now, and what this
        worker has is to be written again.
        """

    @abstractmethod
    def sweep(self) -> None:
        """Remove the entries of workers that have not renewed for as long as they said, after each `renew`.

        Nobody's clock counts but the caller's monotonic one, and of that only the time in which its own renewals went
        well: an outage of the store makes nobody leave.
        """

    @abstractmethod
    def interrupted(self) -> None:
        """Note that a renewal or a sweep has failed: what was observed before does not count; never switches."""

    @abstractmethod
    def release(self, seconds: float) -> None:
        """Have the lease end these seconds from now; who comes back elsewhere until then has not left.

        After it nothing is asked of the store before it is followed again.
        """
