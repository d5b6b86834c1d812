"""What is asked of the database, counted."""

from __future__ import annotations

from typing import Any

from pymongo.monitoring import CommandListener

__all__ = ["Commands"]

#: What the feed asks by itself, and what a client does to keep its connections.
_ASIDE = ("getMore", "hello", "aggregate", "killCursors", "endSessions")
#: The collection from which the feed learns, whenever it opens, whose history it reads.
_EPOCH = "wsflask_feed"


class Commands(CommandListener):
    """Counts what is asked of the database, the feed's own requests aside."""

    def __init__(self) -> None:
        #: Name and collection of each.
        self.seen: list[tuple[str, str]] = []

    def started(self, event: Any) -> None:
        if event.command_name not in _ASIDE and event.command.get("find") != _EPOCH:
            self.seen.append((event.command_name, str(event.command.get(event.command_name))))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def clear(self) -> None:
        """Forget what was counted."""
        self.seen.clear()

    @property
    def names(self) -> list[str]:
        """What was asked, in order."""
        return [name for name, _ in self.seen]

    def on(self, collection: str) -> list[str]:
        """Return what was asked of the collection."""
        return [name for name, seen in self.seen if seen == collection]
