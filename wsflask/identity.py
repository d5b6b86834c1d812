"""Who a connection belongs to, as the session said at its handshake."""

from __future__ import annotations

from typing import Any

__all__ = ["Identity"]


class Identity:
    """A signed-in user, the groups he is in, and the session he came with."""

    __slots__ = ("groups", "session_id", "user", "user_id")

    def __init__(self, user: Any, user_id: str, groups: frozenset[str], session_id: str) -> None:
        #: The user object of Flask-Login's loader.
        self.user = user
        #: `user.get_id()`.
        self.user_id = user_id
        self.groups = groups
        #: Names the session on the server; ends with a logout.
        self.session_id = session_id
