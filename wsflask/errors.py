"""The error tree.

WSFlaskError
├── ConfigError         misuse found at start: the sentence says what to write instead
├── Refusal             a client's request is refused, with one of the in-band codes
└── ConnectionClosed    something was sent to a connection that is closed
"""

from __future__ import annotations

__all__ = ["ConfigError", "ConnectionClosed", "Refusal", "WSFlaskError"]


class WSFlaskError(Exception):
    """Root of every error that wsflask raises on purpose."""


class ConfigError(WSFlaskError):
    """The application or a setting is wrong; raised before anything is served."""


class Refusal(WSFlaskError):
    """Refuse the client's request; the socket stays open.

    Raise it from `Service.on_message`. The client gets the code and the fixed sentence that belongs to it
    (`protocol.codes.ERRORS`), never this exception's text.

    Args:
        code: one of `protocol.codes.ERRORS`.
        reason: for the server's log at debug level only.
    """

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code = code
        self.reason = reason
        #: Id of the refused request, where it was read before the refusal.
        self.request_id: str | None = None


class ConnectionClosed(WSFlaskError):
    """The connection is closed; nothing can be sent on it."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the connection was closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason
