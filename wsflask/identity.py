"""Who a connection belongs to, as the session said at its handshake and the user's data since."""

from __future__ import annotations

import math
import time
from typing import Any

__all__ = ["Identity"]


class Identity:
    """A signed-in user, the groups he is in, and the session he came with."""

    __slots__ = ("expires", "fingerprint", "groups", "loaded", "session_id", "user", "user_id")

    def __init__(
        self,
        user: Any,
        user_id: str,
        groups: frozenset[str],
        session_id: str,
        *,
        fingerprint: int | None = None,
        loaded: float | None = None,
        expires: float = math.inf,
    ) -> None:
        #: The user object of Flask-Login's loader.
        self.user = user
        #: `user.get_id()`.
        self.user_id = user_id
        self.groups = groups
        #: Names the session on the server; ends with a logout.
        self.session_id = session_id
        #: Equal for equal contents of a user document; None where that cannot be told.
        self.fingerprint = fingerprint
        #: Monotonic time at which the user had not been loaded yet; None: now. 0 once nobody asks for it any more.
        self.loaded = time.monotonic() if loaded is None else loaded
        #: Monotonic time at which the cookie that the session came with expires.
        self.expires = expires

    def differs(self, other: Identity) -> bool:
        """Return whether the user or his groups are not the same as there, as far as that can be told."""
        return self.fingerprint != other.fingerprint or self.groups != other.groups

    def in_session_of(self, other: Identity) -> Identity:
        """Return this user in the session of another identity."""
        return Identity(
            self.user,
            self.user_id,
            self.groups,
            other.session_id,
            fingerprint=self.fingerprint,
            expires=other.expires,
        )
